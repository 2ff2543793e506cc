"""A pass's rows laid one behind another: what a model with one cache for several contexts computes for them as one sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import Rows
from engine.sequence import BoolArray, IntArray


@dataclass(frozen=True)
class LaidRows:
    """The real rows of a pass, one context's after another's: their contexts and indices in these, of content `[R]`, slot rows `[S']`."""

    rows: Rows
    context: IntArray
    index: IntArray
    slot_context: IntArray
    slot_index: IntArray

    @classmethod
    def of(cls, rows: Rows) -> LaidRows:
        counts = rows.counts[:, None]
        content = np.nonzero(np.arange(rows.ids.shape[1]) < counts)
        slots = np.nonzero((rows.sources < counts) & (rows.sees <= counts))
        return cls(rows, *content, *slots)

    @property
    def ids(self) -> IntArray:
        """Tokens `[R]`."""
        return self.rows.ids[self.context, self.index]

    @property
    def positions(self) -> IntArray:
        """Of the content rows, `[R]`."""
        return self.rows.positions[self.context, self.index]

    @property
    def sources(self) -> IntArray:
        """Which of the `R` content rows each slot row asks from, `[S']`."""
        starts = np.cumsum(self.rows.counts) - self.rows.counts
        return starts[self.slot_context] + self.rows.sources[self.slot_context, self.slot_index]

    @property
    def targets(self) -> IntArray:
        """Positions that the slot rows ask for, `[S']`."""
        return self.rows.targets[self.slot_context, self.slot_index]

    @property
    def reach(self) -> IntArray:
        """How many of its context's content rows of this pass each of them sees, `[R]`: those up to itself, and all that are mutual."""
        return np.where(self.index < self.rows.mutual, self.rows.mutual, self.index + 1)

    @property
    def slot_reach(self) -> IntArray:
        """The same of the slot rows, `[S']`."""
        return self.rows.sees[self.slot_context, self.slot_index]

    @property
    def visible(self) -> BoolArray:
        """Which content rows of this pass each of them sees, `[R, R]`."""
        return self._visible(self.context, self.reach)

    @property
    def slot_visible(self) -> BoolArray:
        """Which content rows of this pass each slot row sees, `[S', R]`."""
        return self._visible(self.slot_context, self.slot_reach)

    def _visible(self, contexts: IntArray, reach: IntArray) -> BoolArray:
        visible: BoolArray = (self.context == contexts[:, None]) & (self.index < reach[:, None])
        return visible

    def kept(self, counts: IntArray) -> IntArray:
        """The content rows that are among the first `counts[b]` of their context, as indices `[K]`."""
        return np.flatnonzero(self.index < counts[self.context])

    def apart(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Answers `[S', E]` to the slot rows as `[B, S, E]`, 0 for padding."""
        shape = (*self.rows.targets.shape, answers.shape[1])
        if len(answers) == self.rows.targets.size:
            return answers.reshape(shape)
        apart = np.zeros(shape, dtype=answers.dtype)
        apart[self.slot_context, self.slot_index] = answers
        return apart
