"""A pass's rows as one sequence: which are real, what they see, and where their answers go."""

from __future__ import annotations

import numpy as np

from engine.laid_rows import LaidRows
from engine.model import Rows

# Three content rows of the first context, of which two see each other, and one of the second; a slot row of each is padding.
ROWS = Rows(
    ids=np.array([[10, 11, 12], [20, 0, 0]]),
    positions=np.array([[3, 4, 5], [7, 0, 0]]),
    counts=np.array([3, 1]),
    sources=np.array([[2, 0, 3], [0, 0, 1]]),
    targets=np.array([[6, 4, 9], [8, 30, 9]]),
    sees=np.array([[3, 1, 3], [1, 1, 1]]),
    mutual=2,
)


def test_real_rows_stand_one_context_s_behind_another_s() -> None:
    laid = LaidRows.of(ROWS)
    assert laid.ids.tolist() == [10, 11, 12, 20]
    assert laid.positions.tolist() == [3, 4, 5, 7]
    assert laid.sources.tolist() == [2, 0, 3, 3]  # of the four
    assert laid.targets.tolist() == [6, 4, 8, 30]


def test_rows_see_their_own_context_as_far_as_they_reach() -> None:
    laid = LaidRows.of(ROWS)
    assert laid.reach.tolist() == [2, 2, 3, 2] and laid.slot_reach.tolist() == [3, 1, 1, 1]
    assert laid.visible.astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    assert laid.slot_visible.astype(int).tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]


def test_kept_rows_are_the_first_of_each_context() -> None:
    laid = LaidRows.of(ROWS)
    assert laid.kept(np.array([2, 1])).tolist() == [0, 1, 3]
    assert laid.kept(np.array([0, 0])).tolist() == []


def test_answers_go_back_to_where_they_were_asked() -> None:
    apart = LaidRows.of(ROWS).apart(np.arange(1, 9, dtype=np.float32).reshape(4, 2))
    assert apart.tolist() == [[[1, 2], [3, 4], [0, 0]], [[5, 6], [7, 8], [0, 0]]]
