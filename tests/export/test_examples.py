"""Training examples: what each row sees, what it asks for, and that lines are packed without mixing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from engine.sequence import IntArray
from export.corpus import load
from export.examples import IGNORED, Batch, Example, Prompting, Windows, encode, pack
from export.holes import HoledText, HoleMix
from export.losses import draft_rows
from export.train import prepare_tokenizer
from export.visibility import dense_mask
from export.vocabulary import SPECIAL_IDS
from tests.export.workshop import RECIPE


@pytest.fixture(scope="module")
def tokenizer(tiny_run: Path) -> Tokenizer:
    return prepare_tokenizer(tiny_run, (), RECIPE.model.vocabulary)


def example(rows: int, prompt: int, start: int, bidirectional: bool = False) -> Example:
    ids: IntArray = np.arange(start, start + rows)
    return Example(ids, ids + 1000, prompt, bidirectional)


def sees_of(line: Batch) -> torch.Tensor:
    sees = dense_mask(line.first[None], line.reach[None], len(line.ids))
    assert isinstance(sees, torch.Tensor)
    return sees[0, 0]


def test_an_example_depends_on_seed_and_number_alone(tiny_corpus: Path, tokenizer: Tokenizer) -> None:
    split = load(tiny_corpus, "train")
    windows = Windows(split, tokenizer, RECIPE.rows, RECIPE.seed)
    first = [windows[index] for index in range(8)]
    again = Windows(split, tokenizer, RECIPE.rows, RECIPE.seed)
    for index in reversed(range(8)):
        assert all(torch.equal(a, b) for a, b in zip(again[index], first[index], strict=True))
    other = Windows(split, tokenizer, RECIPE.rows, RECIPE.seed + 1)
    assert any(not torch.equal(other[index][0], first[index][0]) for index in range(8))


def test_rows_see_their_own_example_up_to_themselves() -> None:
    line = pack([example(5, 3, 10), example(4, 2, 20)], 12)
    sees = sees_of(line)
    for row in range(12):
        expected = {row} if row >= 9 else set(range(0 if row < 5 else 5, row + 1))
        assert set(torch.nonzero(sees[row]).flatten().tolist()) == expected


def test_rows_of_a_bidirectional_prompt_see_all_of_it_and_ask_for_nothing() -> None:
    line = pack([example(6, 4, 10, bidirectional=True)], 6)
    sees = sees_of(line)
    for row in range(6):
        assert set(torch.nonzero(sees[row]).flatten().tolist()) == set(range(max(4, row + 1)))
    assert line.labels.tolist() == [IGNORED] * 3 + [14, 15, IGNORED]


def test_every_row_asks_for_its_successor_at_its_position() -> None:
    line = pack([example(5, 3, 10), example(4, 2, 20)], 12)
    assert line.labels.tolist() == [11, 12, 13, 14, IGNORED, 21, 22, 23, *[IGNORED] * 4]
    asked = line.labels != IGNORED
    assert torch.equal(line.targets[asked], line.labels[asked] + 1000)
    assert torch.nonzero(line.holes * asked).flatten().tolist() == [2, 3, 6, 7]
    assert set(line.ids[9:].tolist()) == {SPECIAL_IDS.pad}


def test_what_has_no_room_is_cut_off() -> None:
    line = pack([example(5, 3, 10), example(9, 7, 20)], 8)
    assert line.ids.tolist() == [10, 11, 12, 13, 14, 20, 21, 22]
    assert line.labels.tolist() == [11, 12, 13, 14, IGNORED, 21, 22, IGNORED]


def test_draft_rows_ask_within_their_example_and_never_for_padding() -> None:
    lines = [pack([example(30, 20, 100), example(20, 10, 200)], 64), pack([example(40, 30, 300, bidirectional=True)], 64)]
    batch = type(lines[0])(*(torch.stack(parts) for parts in zip(*lines, strict=True)))
    sources, targets, labels = draft_rows(batch, 8, torch.Generator().manual_seed(0))
    asked = labels != IGNORED
    assert asked[0].any() and asked[1].any()
    assert torch.equal(targets[asked], labels[asked] + 1000)
    ahead = labels - batch.ids.gather(1, sources)
    assert ((ahead >= 2) & (ahead <= 8))[asked].all()
    assert (sources[1][asked[1]] >= 29).all()  # the rows before have seen the whole prompt


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(max_size=12), min_size=3, max_size=7), st.integers(0, 2**32), st.booleans())
def test_rows_spell_the_pieces_and_the_holes(texts: list[str], seed: int, suffix_first: bool) -> None:
    tokenizer = _BYTES
    if len(texts) % 2 == 0:
        texts = texts[:-1]
    holed = HoledText(tuple(texts[::2]), tuple(texts[1::2]), ("line",) * (len(texts) // 2))
    made = encode(holed, tokenizer, random.Random(seed), at_start=True, at_end=True, prompting=Prompting(suffix_first=float(suffix_first)))
    prompt, holes = made.ids[: made.prompt].tolist(), made.ids[made.prompt :].tolist()
    assert tokenizer.decode(holes, skip_special_tokens=True) == "".join(holed.holes)
    assert holes.count(SPECIAL_IDS.eoh) == len(holed.holes)
    pieces = [*holed.pieces[1:], holed.pieces[0]] if suffix_first else holed.pieces
    assert tokenizer.decode(prompt, skip_special_tokens=True) == "".join(pieces)
    by_position = [made.ids[index] for index in np.argsort(made.positions, kind="stable")]
    assert tokenizer.decode(by_position, skip_special_tokens=True) == holed.whole()
    assert len(set(made.positions.tolist())) == len(made.positions)


def test_lines_are_well_filled(tiny_corpus: Path, tokenizer: Tokenizer) -> None:
    windows = Windows(load(tiny_corpus, "train"), tokenizer, 256, 3, HoleMix())
    used = [float((windows[index].ids != SPECIAL_IDS.pad).float().mean()) for index in range(40)]
    assert sum(used) / len(used) > 0.7
    assert any(len(set(windows[index].first[windows[index].ids != SPECIAL_IDS.pad].tolist())) > 1 for index in range(40))


def _byte_tokenizer() -> Tokenizer:
    from export.vocabulary import train_tokenizer

    tokenizer = train_tokenizer(["x"], 300)
    tokenizer.encode_special_tokens = True
    return tokenizer


_BYTES = _byte_tokenizer()
