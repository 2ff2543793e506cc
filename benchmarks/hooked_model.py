"""A model whose logits pass through a hook on their way to the decoder: to write them down, or to put others in their place."""

from __future__ import annotations

from collections.abc import Callable

from engine.model import DraftHead, FloatArray, Model, Rows, State
from engine.sequence import IntArray

Hook = Callable[[FloatArray], FloatArray]


class HookedModel:
    """All that `model` does, its draft head included, with `hook` called on each array of logits in the order of the calls."""

    def __init__(self, model: Model, hook: Hook) -> None:
        self._model, self._hook = model, hook

    @property
    def eoh(self) -> int:
        return self._model.eoh

    @property
    def draft_head(self) -> HookedDraftHead | None:
        head = self._model.draft_head
        return None if head is None else HookedDraftHead(head, self._hook)

    def open(self) -> HookedState:
        return HookedState(self._model.open(), self._hook)


class HookedState:
    """A context of a `HookedModel`."""

    def __init__(self, state: State, hook: Hook) -> None:
        self._state, self._hook = state, hook

    @property
    def states(self) -> FloatArray:
        return self._state.states

    @property
    def nbytes(self) -> int:
        return self._state.nbytes

    def run(self, rows: Rows) -> FloatArray:
        return self._hook(self._state.run(rows))

    def keep(self, counts: IntArray) -> None:
        self._state.keep(counts)

    def fork(self, copies: int, rows: int | None = None) -> HookedState:
        return HookedState(self._state.fork(copies, rows), self._hook)

    def cut(self, rows: int) -> None:
        self._state.cut(rows)


class HookedDraftHead:
    """The draft head of a `HookedModel`."""

    def __init__(self, head: DraftHead, hook: Hook) -> None:
        self._head, self._hook = head, hook

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        following, logits = self._head.step(states, ids)
        return following, self._hook(logits)
