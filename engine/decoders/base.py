"""What all decoders share: the prompt's prefill, a growing draw per alternative, and the interface between them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.decoders.slots import SlotChain
from engine.infiller import OnPass
from engine.model import FloatArray, Model, Rows, State
from engine.results import Progress
from engine.sampling import Sampler
from engine.sequence import BoolArray, IntArray, MaskedSequence


@dataclass(frozen=True)
class Prefilled:
    """A prompt paid for once: its context (B = 1) and the first draft's logits `[1, W, V]` for slots `window` `[1, W]`."""

    chain: SlotChain
    state: State
    window: IntArray
    logits: FloatArray
    milliseconds: float


@dataclass(frozen=True)
class Draw:
    """One alternative: its tokens and the model's own log-probabilities, slot by slot in sigma, and the passes it took."""

    slots: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    passes: int


class Decoder(Protocol):
    """Draws `copies` independent alternatives as one batch. Invariant: passes <= tokens for every alternative."""

    def __call__(
        self, prefilled: Prefilled, copies: int, sampler: Sampler, width: int, rng: np.random.Generator, on_pass: OnPass
    ) -> list[Draw]: ...


def prefill(model: Model, sequence: MaskedSequence, width: int) -> Prefilled:
    """Run the prompt as one pass that also asks for the first `width` slots, from the prompt's last row."""
    began = time.perf_counter()
    chain = SlotChain.of(sequence, model.eoh)
    window = chain.window(np.zeros(1, dtype=np.int64), width)
    rows = len(sequence.ids)
    state = model.open()
    logits = state.run(
        Rows(
            ids=sequence.ids[None],
            positions=sequence.positions[None],
            counts=np.array([rows]),
            sources=np.full_like(window, rows - 1),
            targets=chain.positions[window],
            sees=np.full_like(window, rows),
        )
    )
    state.keep(np.array([rows]))
    return Prefilled(chain, state, window, chain.bar_end_marks(logits, window), (time.perf_counter() - began) * 1000)


class Drawing:
    """The alternatives while they are drawn. `frontier[b]` is the next slot of alternative b, `chain.done` at its end."""

    def __init__(self, chain: SlotChain, copies: int, on_pass: OnPass) -> None:
        self.chain = chain
        self.copies = copies
        self.frontier = np.zeros(copies, dtype=np.int64)
        self.passes = np.ones(copies, dtype=np.int64)  # the prefill
        self.all_passes = 1
        self.on_pass = on_pass
        self.slots: list[list[int]] = [[] for _ in range(copies)]
        self.tokens: list[list[int]] = [[] for _ in range(copies)]
        self.logprobs: list[list[float]] = [[] for _ in range(copies)]
        self.report()

    @property
    def active(self) -> BoolArray:
        """Bool `[B]`: which alternatives still have slots to fill."""
        return self.frontier < self.chain.done

    def emit(self, which: BoolArray, tokens: IntArray, logprobs: FloatArray) -> None:
        """Append `tokens[b]` with its log-probability to each alternative b of the bool mask `which`, and move on."""
        for row in np.flatnonzero(which):
            self.slots[row].append(int(self.frontier[row]))
            self.tokens[row].append(int(tokens[row]))
            self.logprobs[row].append(float(logprobs[row]))
        self.frontier = np.where(which, self.chain.advance(self.frontier, tokens), self.frontier)

    def count_pass(self, which: BoolArray) -> None:
        """One more pass for the alternatives of the mask; runs the hook, which may raise `Cancelled`."""
        self.passes = self.passes + which
        self.all_passes += 1
        self.report()

    def report(self) -> None:
        self.on_pass(Progress(self.all_passes, sum(map(len, self.tokens)), self.copies * self.chain.done))

    def finished(self) -> list[Draw]:
        return [
            Draw(tuple(self.slots[row]), tuple(self.tokens[row]), tuple(self.logprobs[row]), int(self.passes[row]))
            for row in range(self.copies)
        ]


def ask_from_last(state: State, chain: SlotChain, ids: IntArray, at: IntArray, which: BoolArray, window: IntArray) -> FloatArray:
    """One pass with a single content row each, token `ids[b]` at slot `at[b]`, kept where `which`; it asks `window` `[B, W]`."""
    logits = state.run(
        Rows(
            ids=ids[:, None],
            positions=chain.positions[at][:, None],
            counts=which.astype(np.int64),
            sources=np.zeros_like(window),
            targets=chain.positions[window],
            sees=np.ones_like(window),
        )
    )
    state.keep(which.astype(np.int64))
    return chain.bar_end_marks(logits, window)
