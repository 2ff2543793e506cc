"""Masked sequences: a passage as rows of tokens and positions in the order sigma.

sigma is one fixed order per masked subset (mask decomposition, arXiv 2504.20456 section 3): first the visible rows,
then the hole slots ascending. The visible rows stand suffix first: what follows the first hole comes before what
precedes it, so that the row right before the first hole is the last one and typing there only appends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NO_MARK = -1
PROMPT_ORDERS = ("suffix-first", "prefix-first")
_LARGEST_STEP = 16


@dataclass(frozen=True)
class SpecialIds:
    """Token ids with a meaning of their own: padding, start of every sequence, start and end of a document, end of a hole.

    `NO_MARK` where a model has no such token; no row is laid for it then.
    """

    pad: int
    bos: int
    sof: int
    eof: int
    eoh: int


@dataclass(frozen=True)
class MaskedSequence:
    """The visible rows in sigma order and the slots that each hole owns.

    `ids` and `positions` are `[P]`; `slots[h]` is `[K_h]`, the ascending positions of hole h. The positions of what
    follows a hole are as if all its slots were used, whatever its fill turns out to be (`mask` may leave a few more free).
    Where `fixed_lengths[h]` is true it uses all of them, and none holds an end mark; empty: true of no hole.
    Where `nonempty[h]` is true its first slot holds no end mark; empty: true of no hole.
    `mutual`: each visible row sees all of them, instead of those before it in sigma alone.
    """

    ids: IntArray
    positions: IntArray
    slots: tuple[IntArray, ...]
    fixed_lengths: tuple[bool, ...] = ()
    nonempty: tuple[bool, ...] = ()
    mutual: bool = False

    def fixed_rows(self, lengths: Sequence[int]) -> BoolArray:
        """For `lengths[h]` rows of each hole h, in order: whether they belong to a hole of fixed length. Bool `[sum of lengths]`."""
        return np.repeat(np.array(self.fixed_lengths or (False,) * len(self.slots)), lengths)


def typing_step(budget: int) -> int:
    """What follows a first hole of `budget` slots starts at a multiple of this, so that typing before the hole seldom moves it.

    A model takes the positions up to what follows for a hint at how long the fill is. So the step is at most a quarter of the
    budget: with it the default model's fills of lines grow by half a token in the mean, with half of the budget by one.
    """
    return max(1, min(_LARGEST_STEP, budget // 4))


def mask(
    pieces: Sequence[Sequence[int]],
    budgets: Sequence[int],
    specials: SpecialIds,
    *,
    at_start: bool,
    at_end: bool,
    order: str = "suffix-first",
    fixed_lengths: tuple[bool, ...] = (),
    nonempty: tuple[bool, ...] = (),
    step: int = 1,
    mutual: bool = False,
) -> MaskedSequence:
    """Lay token pieces and holes out on one line of positions. `pieces` has one more entry than `budgets`.

    What follows the first hole starts at a multiple of `step`, so that it mostly stays where it is while somebody types
    before that hole; up to `step - 1` positions behind the hole's slots then belong to nothing.
    """
    begin = [] if specials.bos == NO_MARK else [specials.bos]
    position = len(begin)
    laid: list[tuple[list[int], range]] = []
    slots: list[IntArray] = []
    for index, piece in enumerate(pieces):
        ids = list(piece)
        if index == 0 and at_start and specials.sof != NO_MARK:
            ids = [specials.sof, *ids]
        if index == len(pieces) - 1 and at_end and specials.eof != NO_MARK:
            ids = [*ids, specials.eof]
        laid.append((ids, range(position, position + len(ids))))
        position += len(ids)
        if index < len(budgets):
            slots.append(np.arange(position, position + budgets[index], dtype=np.int64))
            position += budgets[index]
        if index == 0:
            position += -position % step
    if order == "suffix-first":
        laid = [*laid[1:], laid[0]]
    ids_in_order, positions = list(begin), list(range(len(begin)))
    for ids, places in laid:
        ids_in_order.extend(ids)
        positions.extend(places)
    rows = np.array(ids_in_order, dtype=np.int64), np.array(positions, dtype=np.int64)
    return MaskedSequence(*rows, tuple(slots), fixed_lengths, nonempty, mutual)


def teacher_forced(sequence: MaskedSequence, fills: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """All rows of a sequence whose holes are filled: `(ids, positions)`, each `[P + sum of fill lengths]`, in sigma order.

    `fills[h]` are hole h's tokens, its `<eoh>` included where its length is not fixed; at most as many as the hole has slots.
    """
    ids = [sequence.ids]
    positions = [sequence.positions]
    for fill, slots in zip(fills, sequence.slots, strict=True):
        ids.append(np.array(fill, dtype=np.int64))
        positions.append(slots[: len(fill)])
    return np.concatenate(ids), np.concatenate(positions)
