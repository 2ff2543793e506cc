"""What a decoder needs of a model: passes over content rows and slot rows, with a context that grows.

A pass takes *content rows* (known tokens at positions) and *slot rows* (which token stands at a position?). Content
rows see the kept context and the earlier content rows of their pass, and the first `mutual` of them see each other; a slot row
sees the context and the first `sees` content rows. `OnnxModel` implements this with a key/value cache; the tests' oracle with exact
conditionals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.sequence import IntArray

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Rows:
    """One pass for a batch.

    Content: `ids`, `positions` `[B, C]`, of which the first `counts[b]` are real and the rest padding. Slots:
    `sources` (the content row of this pass that asks), `targets` (positions asked for) and `sees`, all `[B, S]`.
    `mutual`: so many content rows of each context, its first, see each other, whichever comes first.
    """

    ids: IntArray
    positions: IntArray
    counts: IntArray
    sources: IntArray
    targets: IntArray
    sees: IntArray
    mutual: int = 0


class State(Protocol):
    """A batch of contexts, each the rows kept so far.

    `states` `[B, S, E]` are what the last pass's logits were read from: where a draft head goes on from.
    """

    @property
    def states(self) -> FloatArray: ...

    def run(self, rows: Rows) -> FloatArray:
        """One pass: logits `[B, S, V]`; -inf for tokens that never stand in a hole. Keeps nothing by itself."""

    def keep(self, counts: IntArray) -> None:
        """Append the first `counts[b]` content rows of the last pass to context b. `counts` is `[B]`."""

    def fork(self, copies: int, rows: int | None = None) -> State:
        """A batch of `copies` contexts equal to this single one's (B = 1) first `rows` rows (None: all), independent of it from then on."""

    def cut(self, rows: int) -> None:
        """Forget all but the first `rows` rows of this single context (B = 1)."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the kept rows take, spare room included."""


class DraftHead(Protocol):
    """A cheap guess at the next slot's token, for drafts alone: no fill's distribution rests on it."""

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        """From the states `[N, E]` of slots and the tokens `ids` `[N]` they got: states and logits `[N, V]` of the slots after them."""


class Model(Protocol):
    """`eoh` is the id of the end-of-hole mark, `NO_MARK` where all holes are of fixed length; `draft_head` is None for models without."""

    @property
    def eoh(self) -> int: ...

    @property
    def draft_head(self) -> DraftHead | None: ...

    def open(self) -> State:
        """One empty context (B = 1)."""
