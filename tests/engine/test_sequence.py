"""A passage laid out as rows and positions in the order sigma."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sequence import PROMPT_ORDERS, SpecialIds, mask, teacher_forced, typing_step

SPECIALS = SpecialIds(pad=0, bos=1, sof=2, eof=3, eoh=4)


def test_suffix_first_puts_the_piece_before_the_first_hole_last() -> None:
    sequence = mask([[10, 11], [20], [30]], [3, 2], SPECIALS, at_start=True, at_end=True)
    # Line: bos sof 10 11 [4 5 6] 20 [8 9] 30 eof
    assert sequence.ids.tolist() == [1, 20, 30, 3, 2, 10, 11]
    assert sequence.positions.tolist() == [0, 7, 10, 11, 1, 2, 3]
    assert [slots.tolist() for slots in sequence.slots] == [[4, 5, 6], [8, 9]]


def test_prefix_first_leaves_the_pieces_in_the_document_s_order() -> None:
    sequence = mask([[10, 11], [20], [30]], [3, 2], SPECIALS, at_start=False, at_end=False, order="prefix-first")
    assert sequence.ids.tolist() == [1, 10, 11, 20, 30]
    assert sequence.positions.tolist() == [0, 1, 2, 6, 9]
    assert [slots.tolist() for slots in sequence.slots] == [[3, 4, 5], [7, 8]]


def test_empty_pieces_make_neighbouring_holes() -> None:
    sequence = mask([[], [], []], [1, 2], SPECIALS, at_start=False, at_end=False)
    assert sequence.ids.tolist() == [1]
    assert [slots.tolist() for slots in sequence.slots] == [[1], [2, 3]]


pieces_and_budgets = st.integers(1, 5).flatmap(
    lambda holes: st.tuples(
        st.lists(st.lists(st.integers(5, 99), max_size=6), min_size=holes + 1, max_size=holes + 1),
        st.lists(st.integers(1, 6), min_size=holes, max_size=holes),
    )
)


@given(pieces_and_budgets, st.booleans(), st.booleans(), st.sampled_from(PROMPT_ORDERS))
def test_every_position_belongs_to_one_row_or_slot(
    parts: tuple[list[list[int]], list[int]], at_start: bool, at_end: bool, order: str
) -> None:
    pieces, budgets = parts
    sequence = mask(pieces, budgets, SPECIALS, at_start=at_start, at_end=at_end, order=order)
    taken = np.concatenate([sequence.positions, *sequence.slots])
    total = 1 + at_start + at_end + sum(map(len, pieces)) + sum(budgets)
    assert sorted(taken.tolist()) == list(range(total))
    assert [len(slots) for slots in sequence.slots] == budgets
    in_document_order = sequence.ids[np.argsort(sequence.positions)].tolist()
    text = [token for piece in pieces for token in piece]
    assert in_document_order == [1, *([2] if at_start else []), *text, *([3] if at_end else [])]


def test_typing_before_the_first_hole_only_appends_rows() -> None:
    short = mask([[10], [20]], [4], SPECIALS, at_start=True, at_end=True)
    long = mask([[10, 11], [20]], [4], SPECIALS, at_start=True, at_end=True)
    assert long.ids[: len(short.ids)].tolist() == short.ids.tolist()


def test_teacher_forced_appends_each_fill_at_its_first_slots() -> None:
    sequence = mask([[10], [20], [30]], [3, 2], SPECIALS, at_start=False, at_end=False)
    ids, positions = teacher_forced(sequence, [[50, 4], [4]])
    assert ids.tolist() == [1, 20, 30, 10, 50, 4, 4]
    assert positions.tolist() == [0, 5, 8, 1, 2, 3, 6]


def test_teacher_forced_refuses_another_number_of_fills() -> None:
    with pytest.raises(ValueError):
        teacher_forced(mask([[10], [20]], [3], SPECIALS, at_start=False, at_end=False), [[4], [4]])


@given(pieces_and_budgets, st.sampled_from(PROMPT_ORDERS), st.integers(1, 9))
def test_a_step_moves_only_what_follows_the_first_hole(parts: tuple[list[list[int]], list[int]], order: str, step: int) -> None:
    pieces, budgets = parts
    tight, stepped = (mask(pieces, budgets, SPECIALS, at_start=True, at_end=True, order=order, step=each) for each in (1, step))
    assert stepped.ids.tolist() == tight.ids.tolist()
    behind = int(tight.slots[0][-1]) + 1
    shift = -behind % step
    for before, after in zip([tight.positions, *tight.slots], [stepped.positions, *stepped.slots], strict=True):
        assert after.tolist() == [position + shift if position >= behind else position for position in before.tolist()]


def test_typing_before_the_first_hole_keeps_the_rows_that_are_there_until_a_step_is_full() -> None:
    typed = [mask([[10] * count, [20, 21]], [12], SPECIALS, at_start=False, at_end=True, step=typing_step(12)) for count in range(1, 8)]
    moved = 0
    for before, after in pairwise(typed):
        rows = len(before.ids)
        assert after.ids[:rows].tolist() == before.ids.tolist()
        moved += after.positions[:rows].tolist() != before.positions.tolist()
    assert moved == 2


@pytest.mark.parametrize("budget", [1, 2, 3, 12, 32, 64, 500])
def test_no_hole_seems_to_have_a_quarter_as_many_slots_again(budget: int) -> None:
    for count in range(40):
        sequence = mask([[10] * count, [20]], [budget], SPECIALS, at_start=False, at_end=False, step=typing_step(budget))
        seeming = int(sequence.positions[1] - sequence.slots[0][0])
        assert budget <= seeming < max(budget + 1, 1.25 * budget)
