"""The tokenizer: every text comes back, and none holds a special token."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from export.vocabulary import SPECIAL_IDS, SPECIAL_TOKENS, train_tokenizer
from tests.export.workshop import source

TOKENIZER = train_tokenizer([source(f"shape{index}") for index in range(8)], 400)


@settings(deadline=None)
@given(st.text())
@example("\r\n\t  x \r\r\n")
@example("def größe(面積):\n    return '🙂‍🏭'\n")
@example("a\u0301\ufeff\u00a0\u2028 \x00\x7f")
def test_every_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


@settings(deadline=None)
@given(st.lists(st.sampled_from([*SPECIAL_TOKENS, " ", "x", "\n"]), max_size=12).map("".join))
def test_typed_marks_are_plain_text(text: str) -> None:
    ids = TOKENIZER.encode(text).ids
    assert all(id >= len(SPECIAL_TOKENS) for id in ids)
    assert TOKENIZER.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(("name", "token"), list(zip(("pad", "bos", "sof", "eof", "eoh"), SPECIAL_TOKENS, strict=True)))
def test_special_ids_are_those_of_the_tokens(name: str, token: str) -> None:
    assert TOKENIZER.token_to_id(token) == getattr(SPECIAL_IDS, name)


def test_a_line_break_takes_the_indentation_along() -> None:
    ids = TOKENIZER.encode("\n        return result").ids
    assert TOKENIZER.decode(ids[:1]) == "\n        "


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TOKENIZER.save(str(path))
    again = Tokenizer.from_file(str(path))
    again.encode_special_tokens = True
    assert again.encode(source("<eoh>")).ids == TOKENIZER.encode(source("<eoh>")).ids
