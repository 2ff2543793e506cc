"""What all decoders share: the prompt's prefill, a growing draw per alternative, and the interface between them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.decoders.slots import SlotChain
from engine.infiller import OnPass
from engine.model import DraftHead, FloatArray, Model, Rows, State
from engine.prompt_cache import PromptCache
from engine.results import Progress
from engine.sampling import Sampler
from engine.sequence import BoolArray, IntArray, MaskedSequence

PUBLISHED_WIDTH = 5  # k in the experiments of arXiv 2504.20456
# Rows of a prompt that run at a time. A pass computes the scores that the mask hides with the others: of a prompt in one piece
# half of them are wasted, and their memory grows with its square.
MOST_ROWS = 256


@dataclass(frozen=True)
class Prefilled:
    """A prompt paid for once: its context (B = 1), and the logits `[1, W, V]` for the slots `window` `[1, W]` with the states behind them.

    The context is the prompt cache's, and good until the next prompt comes: fork it, never append to it. `reused_rows` of its
    rows were there already.
    """

    sequence: MaskedSequence
    chain: SlotChain
    draft_head: DraftHead | None
    state: State
    window: IntArray
    logits: FloatArray
    states: FloatArray
    milliseconds: float
    reused_rows: int


@dataclass(frozen=True)
class Draw:
    """One alternative: its tokens and the model's own log-probabilities, slot by slot in sigma, and the passes it took."""

    slots: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    passes: int


class Decoder(Protocol):
    """Draws `copies` independent alternatives as one batch, `width` slots drafted a round (None: as many as the method finds good).

    Invariant: passes <= tokens for every alternative. (Where holes are tied, `engine.decoders.tied` draws instead, and it can't hold.)
    """

    def __call__(
        self, prefilled: Prefilled, copies: int, sampler: Sampler, width: int | None, rng: np.random.Generator, on_pass: OnPass
    ) -> list[Draw]: ...


def prefill(
    model: Model, sequence: MaskedSequence, width: int = 1, cache: PromptCache | None = None, *, most_rows: int = MOST_ROWS
) -> Prefilled:
    """Run the prompt, or what the cache lacks of it, as one pass that also asks for the first `width` slots, from the prompt's last row.

    The published algorithm drafts from them; all others read the first alone. A pass has `most_rows` rows at the most.
    """
    began = time.perf_counter()
    chain = SlotChain.of(sequence, model.eoh)
    window = chain.window(np.zeros(1, dtype=np.int64), width)
    state, known = (model.open(), 0) if cache is None else cache.start(model, sequence)
    last = len(sequence.ids) - 1
    chunk = len(sequence.ids) if sequence.mutual else most_rows  # rows that see each other run in one pass
    for start in range(known, last + 1, chunk):
        end = min(start + chunk, last + 1)
        asked = window if end > last else window[:, :1]
        logits = state.run(
            Rows(
                ids=sequence.ids[None, start:end],
                positions=sequence.positions[None, start:end],
                counts=np.array([end - start]),
                sources=np.full_like(asked, end - start - 1),
                targets=chain.positions[asked],
                sees=np.full_like(asked, end - start),
                mutual=end - start if sequence.mutual else 0,
            )
        )
        state.keep(np.array([end - start]))
    if cache is not None:
        cache.keep(sequence, state)
    logits = chain.bar_end_marks(logits, window)
    milliseconds = (time.perf_counter() - began) * 1000
    return Prefilled(sequence, chain, model.draft_head, state, window, logits, state.states, milliseconds, known)


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

    def emit(self, which: IntArray, tokens: IntArray, logprobs: FloatArray) -> None:
        """Append `tokens[n]` with its log-probability to the alternative `which[n]`, and move on. All `[N]`."""
        slots = self.frontier[which]
        for row, slot, token, logprob in zip(which.tolist(), slots.tolist(), tokens.tolist(), logprobs.tolist(), strict=True):
            self.slots[row].append(slot)
            self.tokens[row].append(token)
            self.logprobs[row].append(logprob)
        self.frontier = self.frontier.copy()
        self.frontier[which] = self.chain.advance(slots, tokens)

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
