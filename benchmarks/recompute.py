"""A model without a cache: every pass runs all kept rows anew, as the published algorithm's code does."""

from __future__ import annotations

import numpy as np

from engine.model import DraftHead, FloatArray, Model, Rows
from engine.sequence import IntArray


class RecomputingModel:
    """The same weights as `model`'s, behind the same interface, so that the same decoders draw the same fills from it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def eoh(self) -> int:
        return self.model.eoh

    @property
    def draft_head(self) -> DraftHead | None:
        return self.model.draft_head

    def open(self) -> RecomputingState:
        nothing = np.zeros((1, 0), dtype=np.int64)
        return RecomputingState(self.model, nothing, nothing)


class RecomputingState:
    """A batch of contexts of equal length, as the ids and positions of their rows, each `[B, N]`."""

    def __init__(self, model: Model, ids: IntArray, positions: IntArray) -> None:
        self.model = model
        self.ids = ids
        self.positions = positions
        self.states: FloatArray = np.zeros((len(ids), 0, 0), dtype=np.float32)
        self._last: Rows | None = None

    def run(self, rows: Rows) -> FloatArray:
        self._last = rows
        kept = self.ids.shape[1]
        state = self.model.open().fork(len(self.ids))
        logits = state.run(
            Rows(
                ids=np.concatenate((self.ids, rows.ids), axis=1),
                positions=np.concatenate((self.positions, rows.positions), axis=1),
                counts=rows.counts + kept,
                sources=rows.sources + kept,
                targets=rows.targets,
                sees=rows.sees + kept,
            )
        )
        self.states = state.states
        return logits

    def keep(self, counts: IntArray) -> None:
        """Raises ValueError where contexts would come to differ in length, which no figure here needs."""
        if self._last is None or counts.min() != counts.max():
            raise ValueError("contexts without a cache must grow alike, after a pass")
        self.ids = np.concatenate((self.ids, self._last.ids[:, : counts[0]]), axis=1)
        self.positions = np.concatenate((self.positions, self._last.positions[:, : counts[0]]), axis=1)

    def fork(self, copies: int, rows: int | None = None) -> RecomputingState:
        ids, positions = self.ids[:, :rows], self.positions[:, :rows]
        return RecomputingState(self.model, np.repeat(ids, copies, axis=0), np.repeat(positions, copies, axis=0))

    def cut(self, rows: int) -> None:
        self.ids, self.positions = self.ids[:, :rows], self.positions[:, :rows]

    @property
    def nbytes(self) -> int:
        return self.ids.nbytes + self.positions.nbytes
