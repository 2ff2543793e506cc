"""Filling holes of buffers with the real model. What it writes is its own affair; where and how sound it is, is not."""

from __future__ import annotations

import ast
import math
from dataclasses import replace

import pytest

from engine.errors import Cancelled, LacunaError
from engine.infiller import Infiller
from engine.options import FillOptions
from engine.passage import Wording
from engine.results import Progress
from lsp_server.buffer import Buffer
from lsp_server.filling import Filling, apply_edits, fill_holes
from lsp_server.holes import Hole, find_markers, hole_from_range, hole_from_selection
from lsp_server.syntax import count_errors, parse
from tests.lsp_server.narrowed import Narrowed

TEXT = '''import csv


def total(orders):
    """The sum 😀."""
    result = ___
    for order in ___:
        result += order.price
    return ___
'''


def fill(text: str, infiller: Infiller, *, count: int = 1, temperature: float = 0.8, seed: int = 1) -> tuple[Buffer, Filling]:
    buffer = Buffer(text.encode(), "t.py")
    tree = parse(buffer.source, "python")
    options = FillOptions(count=count, temperature=temperature, seed=seed)
    return buffer, fill_holes(buffer, tree, find_markers(buffer, tree), infiller, options)


def assert_sound(buffer: Buffer, filling: Filling, count: int) -> None:
    """Every candidate fills exactly the markers and leaves valid Python; all figures agree."""
    holes = find_markers(buffer, parse(buffer.source, "python"))
    assert len(filling.candidates) <= count
    assert filling.candidates or filling.refused, "with nothing to show there must be a reason"
    likelihoods = [candidate.logprob for candidate in filling.candidates]
    assert likelihoods == sorted(likelihoods, reverse=True)
    assert len({tuple(edit.text for edit in candidate.edits) for candidate in filling.candidates}) == len(filling.candidates)
    for candidate in filling.candidates:
        assert [(edit.start, edit.end) for edit in candidate.edits] == [(hole.start, hole.end) for hole in holes]
        after = apply_edits(buffer.source, candidate.edits)
        assert b"___" not in after
        tree = parse(after, "python")
        assert tree is not None and count_errors(tree) == 0
        ast.parse(after)
        assert candidate.logprob == pytest.approx(math.fsum(fill.logprob for fill in candidate.fills))
        assert candidate.logprob <= 0 and 0 < candidate.passes <= filling.passes
        shown, written = [edit.text.replace("\r\n", "\n") for edit in candidate.edits], [fill.text for fill in candidate.fills]
        if candidate.mended:  # in layout alone
            shown, written = ["".join(text.split()) for text in shown], ["".join(text.split()) for text in written]
        assert shown == written
    assert filling.tokens >= sum(candidate.tokens for candidate in filling.candidates)
    assert filling.elapsed_ms >= filling.prefill_ms > 0


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_holes_are_filled_jointly(infiller: Infiller, newline: str) -> None:
    buffer, filling = fill(TEXT.replace("\n", newline), infiller, count=3)
    assert_sound(buffer, filling, 3)
    for candidate in filling.candidates:
        after = apply_edits(buffer.source, candidate.edits).decode()
        assert after.replace("\r\n", "").count("\n") == (0 if newline == "\r\n" else after.count("\n"))


def test_the_same_seed_fills_the_same(infiller: Infiller) -> None:
    texts = [[candidate.edits for candidate in fill(TEXT, infiller, count=2, seed=5)[1].candidates] for _ in range(2)]
    assert texts[0] == texts[1]


def test_greedy_has_one_answer_at_most(infiller: Infiller) -> None:
    buffer, filling = fill(TEXT, infiller, count=4, temperature=0)
    assert_sound(buffer, filling, 1)


def test_more_holes_than_the_model_takes_are_filled_in_groups(infiller: Infiller) -> None:
    narrow = Narrowed(infiller, infiller.window, max_holes=2)
    buffer, filling = fill(TEXT, narrow, count=2)
    assert_sound(buffer, filling, 2)
    assert len(narrow.passages) >= 2
    assert all(len(passage.budgets) <= 2 for passage in narrow.passages)
    if filling.candidates:
        # The last group has seen what was written before it.
        seen = narrow.passages[-1].pieces[0]
        assert any(f"result = {candidate.fills[0].text}" in seen for candidate in filling.candidates)


def test_budgets_beyond_the_window_are_filled_in_groups(infiller: Infiller) -> None:
    narrow = Narrowed(infiller, 120)
    buffer, filling = fill(TEXT, narrow)
    assert_sound(buffer, filling, 1)
    assert all(sum(passage.budgets) <= 60 for passage in narrow.passages)


def test_a_selection_is_rewritten(infiller: Infiller) -> None:
    text = TEXT.replace("___", "orders")
    buffer = Buffer(text.encode(), "t.py")
    tree = parse(buffer.source, "python")
    start = text.encode().index(b"result += order.price")
    hole = hole_from_selection(buffer, tree, start, start + len("result += order.price\n"))
    filling = fill_holes(buffer, tree, [hole], infiller, FillOptions(seed=2))
    assert filling.candidates or filling.refused
    for candidate in filling.candidates:
        ast.parse(apply_edits(buffer.source, candidate.edits))
        assert candidate.edits[0].text != "result += order.price"


def test_a_torso_is_refused_with_a_reason(infiller: Infiller) -> None:
    buffer = Buffer(TEXT.encode(), "t.py")
    tree = parse(buffer.source, "python")
    holes = find_markers(buffer, tree, max_tokens=1)
    filling = fill_holes(buffer, tree, holes, infiller, FillOptions(temperature=0))
    assert not filling.candidates and filling.refused


def test_plain_text_is_filled_too(infiller: Infiller) -> None:
    buffer = Buffer(b"Some prose with a ___ in it.\n", "notes.txt")
    filling = fill_holes(buffer, None, find_markers(buffer, None), infiller, FillOptions(seed=3))
    assert filling.candidates or filling.refused


def test_progress_goes_up_over_groups_and_never_past_the_most(infiller: Infiller) -> None:
    buffer = Buffer(TEXT.encode(), "t.py")
    tree = parse(buffer.source, "python")
    seen: list[Progress] = []
    narrow = Narrowed(infiller, infiller.window, max_holes=1)
    filling = fill_holes(buffer, tree, find_markers(buffer, tree), narrow, FillOptions(seed=1), seen.append)
    assert [progress.passes for progress in seen] == sorted(progress.passes for progress in seen)
    assert all(progress.tokens <= progress.most for progress in seen)
    assert seen[-1].passes <= filling.passes


def test_a_fill_is_cancelled_between_passes(infiller: Infiller) -> None:
    calls = []

    def stop(progress: Progress) -> None:
        calls.append(progress)
        if len(calls) == 2:
            raise Cancelled

    buffer = Buffer(TEXT.encode(), "t.py")
    tree = parse(buffer.source, "python")
    with pytest.raises(Cancelled):
        fill_holes(buffer, tree, find_markers(buffer, tree), infiller, FillOptions(count=8, seed=1), stop)
    assert len(calls) == 2


def test_bad_requests(infiller: Infiller) -> None:
    buffer = Buffer(b"x = 1\n", "t.py")
    with pytest.raises(LacunaError, match="there is no hole in"):
        fill_holes(buffer, None, [], infiller, FillOptions())
    with pytest.raises(LacunaError, match="overlap"):
        fill_holes(buffer, None, [hole_from_range(buffer, 0, 3), hole_from_range(buffer, 2, 5)], infiller, FillOptions())


def test_an_empty_buffer_can_be_written(infiller: Infiller) -> None:
    buffer = Buffer(b"", "t.py")
    filling = fill_holes(buffer, parse(b"", "python"), [hole_from_range(buffer, 0, 0)], infiller, FillOptions(seed=1))
    assert filling.candidates or filling.refused


RENAMED = """def total(orders):
    ___ = 0
    for order in orders:
        ___ += order.price  # 😀
    print("{}".format(___))
    if ___ > ___:
        ___ = 0
    return ___
"""


def tied(text: str, name: str = "n", budget: int = 4) -> tuple[Buffer, list[Hole]]:
    """Every marker tied to the others, with a larger budget each but the first."""
    buffer = Buffer(text.encode(), "t.py")
    holes = find_markers(buffer, parse(buffer.source, "python"))
    return buffer, [replace(hole, tie=name, budget=budget + number) for number, hole in enumerate(holes)]


@pytest.mark.parametrize("most", [8, 3], ids=["one passage", "several"])
def test_tied_holes_get_one_text_also_across_passages(infiller: Infiller, most: int) -> None:
    buffer, holes = tied(RENAMED)
    narrow = Narrowed(infiller, infiller.window, max_holes=most)
    filling = fill_holes(buffer, parse(buffer.source, "python"), holes, narrow, FillOptions(count=2, temperature=1, seed=1))
    assert filling.candidates
    for passage in narrow.passages:
        assert passage.ties == (0,) * len(passage.budgets) or len(passage.budgets) == 1
        assert len(set(passage.budgets)) == 1
    for candidate in filling.candidates:
        assert [edit.start for edit in candidate.edits] == [hole.start for hole in holes]
        assert len({edit.text for edit in candidate.edits}) == 1 and len(candidate.fills) == len(holes)
        ast.parse(apply_edits(buffer.source, candidate.edits))
        assert 0 > candidate.logprob == pytest.approx(math.fsum(fill.logprob for fill in candidate.fills))
        assert all(len(fill.tokens) == len(fill.logprobs) > 0 for fill in candidate.fills)


def test_copies_of_tied_holes_and_free_ones_take_turns(infiller: Infiller) -> None:
    buffer, holes = tied(RENAMED)
    holes[3] = replace(holes[3], tie=None, budget=16)
    narrow = Narrowed(infiller, infiller.window, max_holes=2)
    filling = fill_holes(buffer, parse(buffer.source, "python"), holes, narrow, FillOptions(temperature=0))
    assert filling.candidates or filling.refused
    for candidate in filling.candidates:
        texts = [edit.text for edit in candidate.edits]
        assert len(texts) == len(holes) and len({*texts[:3], *texts[4:]}) == 1


def test_a_search_for_tied_holes_that_was_cut_short_is_told_and_still_ties(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer, holes = tied(RENAMED)
    words = [replace(hole, wording=Wording.WORD) for hole in holes]
    monkeypatch.setattr("engine.decoders.tied.TiedSearch.__init__.__defaults__", (2,))
    filling = fill_holes(buffer, parse(buffer.source, "python"), words, infiller, FillOptions(seed=1))
    assert not filling.exact and filling.candidates
    for candidate in filling.candidates:
        (name,) = {edit.text for edit in candidate.edits}
        assert name.isidentifier()


def test_where_no_text_suits_all_tied_holes_that_is_the_reason(infiller: Infiller) -> None:
    buffer, holes = tied(RENAMED)
    # A word of one token, and then there is no room for its end.
    words = [replace(hole, wording=Wording.WORD, budget=1) for hole in holes]
    filling = fill_holes(buffer, parse(buffer.source, "python"), words, infiller, FillOptions(seed=1))
    assert not filling.candidates and set(filling.refused) == {"no text was found that suits all of the tied holes"}
