"""The chain of slots: what follows a slot, and what a draft may ask for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decoders.slots import SlotChain, column_of
from engine.sequence import SpecialIds, mask

EOH = 4
SPECIALS = SpecialIds(pad=0, bos=1, sof=2, eof=3, eoh=EOH)


def chain_of(budgets: list[int]) -> SlotChain:
    pieces = [[9]] * (len(budgets) + 1)
    return SlotChain.of(mask(pieces, budgets, SPECIALS, at_start=False, at_end=False), EOH)


def test_slots_are_numbered_through_all_holes() -> None:
    chain = chain_of([3, 1, 2])
    assert chain.done == 6
    assert chain.positions.tolist() == [2, 3, 4, 6, 8, 9, 0]
    assert chain.holes.tolist() == [0, 0, 0, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("slot", "after_token", "after_end"), [(0, 1, 3), (1, 2, 3), (2, 3, 3), (3, 4, 4), (4, 5, 6), (5, 6, 6), (6, 6, 6)]
)
def test_a_token_leads_to_the_next_slot_and_an_end_mark_to_the_next_hole(slot: int, after_token: int, after_end: int) -> None:
    chain = chain_of([3, 1, 2])
    assert chain.advance(np.array([slot, slot]), np.array([9, EOH])).tolist() == [after_token, after_end]


def test_a_window_holds_the_next_slots_here_and_the_first_of_the_hole_after() -> None:
    chain = chain_of([3, 1, 2])
    window = chain.window(np.array([0, 1, 2, 3, 4, 5, 6]), 2)
    assert window.tolist() == [
        [0, 1, 3, 6],
        [1, 2, 3, 6],
        [2, 6, 3, 6],
        [3, 6, 4, 5],
        [4, 5, 6, 6],
        [5, 6, 6, 6],
        [6, 6, 6, 6],
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 6))
def test_a_window_starts_at_the_frontier_and_repeats_nothing(budgets: list[int], width: int) -> None:
    chain = chain_of(budgets)
    for slot in range(chain.done):
        (window,) = chain.window(np.array([slot]), width).tolist()
        real = [other for other in window if other != chain.done]
        assert window[0] == slot and len(window) == 2 * width
        assert real == sorted(set(real))
        assert {chain.holes[other] for other in real} <= {chain.holes[slot], chain.holes[slot] + 1}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.lists(st.booleans(), min_size=20, max_size=20))
def test_walking_the_chain_reaches_its_end_through_every_hole(budgets: list[int], ends: list[bool]) -> None:
    chain = chain_of(budgets)
    at, visited = 0, []
    for end in ends:
        if at == chain.done:
            break
        visited.append(at)
        at = int(chain.advance(np.array([at]), np.array([EOH if end else 9]))[0])
    assert at == chain.done
    assert {chain.holes[slot] for slot in visited} == set(range(len(budgets)))


def test_column_of_finds_a_slot_or_says_that_it_is_not_there() -> None:
    columns, found = column_of(np.array([[3, 4, 6], [1, 2, 3]]), np.array([4, 9]))
    assert columns[0] == 1
    assert found.tolist() == [True, False]
