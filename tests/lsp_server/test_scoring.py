"""Scores of what stands in a buffer, by the real model."""

from __future__ import annotations

import math

import pytest

from engine.errors import Cancelled, LacunaError
from engine.infiller import Infiller
from engine.results import Progress, TokenScore
from lsp_server.buffer import Buffer
from lsp_server.context import passage_for
from lsp_server.holes import hole_from_range
from lsp_server.scoring import RangeScore, budget_of, expected_text, placed, range_at, score_range
from lsp_server.syntax import parse
from tests.lsp_server.narrowed import Narrowed

TEXT = '''def total(orders):
    """The sum é😀."""
    result = 0
    for order in orders:
        result += order.price
    return result
'''


def buffer_of(text: str = TEXT) -> Buffer:
    return Buffer(text.encode(), "t.py")


def score(infiller: Infiller, text: str, start: int, end: int) -> RangeScore:
    buffer = buffer_of(text)
    return score_range(buffer, parse(buffer.source, "python"), start, end, infiller)


def assert_consistent(text: str, scored: RangeScore) -> None:
    """Figures add up, and the tokens are the text."""
    source = text.encode()
    assert scored.logprob == pytest.approx(math.fsum(token.logprob for token in scored.tokens))
    assert scored.bits_per_token == pytest.approx(-scored.logprob / math.log(2) / len(scored.tokens))
    assert b"".join(source[token.start : token.end] for token in scored.tokens) == source[scored.start : scored.end]
    assert scored.tokens[-1].start == scored.tokens[-1].end == scored.end
    for token in scored.tokens:
        assert token.logprob <= 0 and token.rank >= 1
        assert len(token.alternatives) == 5
        assert all(0 <= probability <= 1 for _, probability in token.alternatives)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_whole_file(infiller: Infiller, newline: str) -> None:
    text = TEXT.replace("\n", newline)
    scored = score(infiller, text, 0, len(text.encode()))
    assert (scored.start, scored.end) == (0, len(text.encode()))
    assert_consistent(text, scored)


def test_line_ends_make_no_difference(infiller: Infiller) -> None:
    windows = TEXT.replace("\n", "\r\n")
    first, second = (score(infiller, text, 0, len(text.encode())) for text in (TEXT, windows))
    assert first.logprob == pytest.approx(second.logprob, abs=1e-4)


def test_it_is_what_the_engine_says(infiller: Infiller) -> None:
    buffer, start = buffer_of(), TEXT.encode().index(b"result += ")
    end = start + len("result += order.price")
    text = "result += order.price"
    tokens = infiller.count_tokens(text)
    hole = hole_from_range(buffer, start, end, budget_of(tokens, infiller))
    assert tokens < hole.budget <= 2 * tokens + 4
    direct = infiller.score(passage_for(buffer, None, (hole,), infiller), (text,))
    assert score(infiller, TEXT, start, end).logprob == pytest.approx(direct.logprob, abs=1e-4)


def test_a_long_range_is_scored_in_chunks(infiller: Infiller) -> None:
    text = TEXT * 6
    narrow = Narrowed(infiller, 120)
    scored = score(narrow, text, 0, len(text.encode()))
    assert scored.passes == len(narrow.passages) > 1
    assert_consistent(text, scored)
    for before, after in zip(narrow.passages, narrow.passages[1:], strict=False):
        assert len(before.pieces) == len(after.pieces) == 2
        # Each chunk sees what was scored before it.
        assert after.pieces[0] and text.find(after.pieces[0][-20:]) >= 0
        assert after.pieces[1] == ""


def test_a_long_line_of_emoji_is_scored_in_chunks(infiller: Infiller) -> None:
    text = "'" + "😀é" * 150 + "'"
    scored = score(Narrowed(infiller, 60), text, 0, len(text.encode()))
    assert scored.passes > 1
    assert_consistent(text, scored)


@pytest.mark.parametrize(
    ("at", "node"),
    [("total", "total"), ("def", "def"), ("for", "for"), ("price", "price"), ("+=", "+="), ("The", "The sum é😀.")],
)
def test_a_cursor_means_the_smallest_node(at: str, node: str) -> None:
    buffer = buffer_of()
    found = range_at(buffer, parse(buffer.source, "python"), TEXT.encode().index(at.encode()))
    assert found is not None
    assert buffer.source[slice(*found)].decode() in (node, "result += order.price")


def test_white_space_means_nothing() -> None:
    buffer = buffer_of()
    assert range_at(buffer, parse(buffer.source, "python"), TEXT.encode().index(b"    result = 0") + 1) is None
    assert range_at(buffer, None, 3) is None
    assert range_at(buffer, None, len(buffer.source)) is None


def test_plain_text_means_the_word() -> None:
    buffer = buffer_of("some é😀 words_here")
    found = range_at(buffer, None, buffer.source.index(b"words") + 2)
    assert found is not None and buffer.source[slice(*found)] == b"words_here"


def test_a_cursor_is_scored(infiller: Infiller) -> None:
    place = TEXT.encode().index(b"price") + 1
    scored = score(infiller, TEXT, place, place)
    assert TEXT.encode()[scored.start : scored.end] == b"price"
    assert_consistent(TEXT, scored)


def test_nothing_to_score(infiller: Infiller) -> None:
    with pytest.raises(LacunaError, match="nothing to score"):
        score(infiller, "", 0, 0)
    with pytest.raises(LacunaError, match="nothing to score"):
        score(infiller, TEXT, 3, 3)
    with pytest.raises(LacunaError, match="at most 262,144 are scored"):
        score(infiller, "x" * 300_000, 0, 300_000)


def test_scoring_is_cancelled_between_chunks(infiller: Infiller) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    narrow = Narrowed(infiller, 60)
    buffer = buffer_of(TEXT * 4)
    with pytest.raises(Cancelled):
        score_range(buffer, None, 0, len(buffer.source), narrow, on_pass=stop)
    assert len(narrow.passages) == 1


def test_the_models_own_text(infiller: Infiller) -> None:
    buffer = buffer_of()
    start = TEXT.encode().index(b"price")
    first, second = (expected_text(buffer, parse(buffer.source, "python"), start, start + 5, infiller) for _ in range(2))
    assert first == second
    assert first.logprob <= 0 and first.tokens >= 1
    # Scored where it was written it has the same likelihood, as long as it is tokenised the same way.
    if first.complete and first.text:
        hole = hole_from_range(buffer, start, start + 5, budget_of(infiller.count_tokens("price"), infiller))
        direct = infiller.score(passage_for(buffer, None, (hole,), infiller), (first.text,))
        if direct.tokens == first.tokens:
            assert direct.logprob == pytest.approx(first.logprob, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "surfaces", "ranges"),
    [
        ("ab c", ["ab", " c"], [(0, 2), (2, 4)]),
        ("😀", ["\ufffd", "\ufffd\ufffd"], [(0, 2), (2, 4)]),
        ("é😀x", ["\ufffd", "\ufffd\ufffd", "\ufffd\ufffd\ufffd", "x"], None),
        ("\ufffd", ["\ufffd"], [(0, 3)]),
        ("", [], []),
    ],
)
def test_tokens_are_placed_even_within_characters(text: str, surfaces: list[str], ranges: list[tuple[int, int]] | None) -> None:
    tokens = [TokenScore(0, surface, -1.0, 1, ()) for surface in [*surfaces, ""]]
    source = text.encode()
    found = placed(Buffer(source, "t"), 0, len(source), tokens)
    assert b"".join(source[token.start : token.end] for token in found) == source
    if ranges is not None:
        assert [(token.start, token.end) for token in found[:-1]] == ranges
