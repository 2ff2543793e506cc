"""Any-Subset Speculative Decoding as published: Guo & Ermon, arXiv 2504.20456, Algorithm 1 (ASSD).

A round is two passes. The draft pass carries the last token and asks for the next slots at once, each seeing only what
is decoded; drafts are drawn from these proposals q independently. The verify pass carries the drafts as content rows;
its slot rows see the earlier drafts, which gives the model's conditionals p. Draft i is accepted with probability
min(1, p_i(d_i) / q_i(d_i)); at the first refusal its slot is drawn from (p_i - q_i)+ and the round stops. The first
draft's proposal is the conditional itself, so it is always accepted.

What differs from the paper's setting: holes end with `<eoh>` where they like, so a drafted `<eoh>` continues with the
next hole's first slot (in a hole of fixed length `<eoh>` has probability 0, to conditionals and proposals alike); and keys
and values of accepted rows are kept.
"""

from __future__ import annotations

import numpy as np

from engine.decoders.base import PUBLISHED_WIDTH, Draw, Drawing, Prefilled, ask_from_last
from engine.decoders.slots import SlotChain, column_of
from engine.infiller import OnPass
from engine.model import FloatArray, Rows, State
from engine.sampling import Probabilities, Sampler, accept, draw, log_probability
from engine.sequence import IntArray


def assd(prefilled: Prefilled, copies: int, sampler: Sampler, width: int | None, rng: np.random.Generator, on_pass: OnPass) -> list[Draw]:
    """Exactly distributed as `sequential`; up to `width` tokens a round. Passes <= tokens: a round of two yields >= 2."""
    width = width or PUBLISHED_WIDTH
    chain = prefilled.chain
    drawing = Drawing(chain, copies, on_pass)
    state = prefilled.state.fork(copies)
    window = np.repeat(prefilled.window, copies, axis=0)
    logits = np.repeat(prefilled.logits, copies, axis=0)
    while True:
        slots, drafts, proposals, lengths = draw_drafts(chain, drawing.frontier, window, logits, sampler, width, rng)
        # The frontier is the window's first slot, and what it was asked with is all that is decoded: q = p there.
        first = np.flatnonzero(lengths > 0)
        drawing.emit(first, drafts[first, 0], log_probability(logits[first, 0], drafts[first, 0]))
        last, at = drafts[:, 0].copy(), slots[:, 0].copy()
        if (lengths > 1).any():
            conditionals = verify(state, chain, slots, drafts, lengths)
            drawing.count_pass(lengths > 1)
            accepted = _accept(drawing, sampler, slots, drafts, proposals, lengths, conditionals, last, at, rng)
            # Rows of accepted drafts stay; the round's last token is the next pass's content row.
            state.keep(np.minimum(accepted, np.maximum(lengths - 1, 0)))
        active = drawing.active
        if not active.any():
            return drawing.finished()
        window = chain.window(drawing.frontier, width)
        logits = ask_from_last(state, chain, last, at, active, window)
        drawing.count_pass(active)


def draw_drafts(
    chain: SlotChain, frontier: IntArray, window: IntArray, logits: FloatArray, sampler: Sampler, width: int, rng: np.random.Generator
) -> tuple[IntArray, IntArray, Probabilities, IntArray]:
    """Walk from the frontier through the window, drawing each slot from its proposal.

    Returns slots and drafts `[B, width]`, the proposals they were drawn from `[B, width, V]`, and how many are real
    `[B]`: a walk ends at the window's border or when all holes are filled.
    """
    batch = len(frontier)
    slots = np.full((batch, width), chain.done)
    drafts = np.zeros((batch, width), dtype=np.int64)
    used = np.empty((batch, width, logits.shape[-1]), dtype=np.float64)
    lengths = np.zeros(batch, dtype=np.int64)
    at = frontier
    alive = frontier < chain.done
    for step in range(width):
        columns, found = column_of(window, at)
        alive = alive & found & (at < chain.done)
        used[:, step] = chain.chances(sampler, logits[np.arange(batch), columns], at)
        drafts[:, step] = draw(used[:, step], rng)
        slots[:, step] = np.where(alive, at, chain.done)
        lengths += alive
        at = np.where(alive, chain.advance(at, drafts[:, step]), chain.done)
    return slots, drafts, used, lengths


def verify(state: State, chain: SlotChain, slots: IntArray, drafts: IntArray, lengths: IntArray) -> FloatArray:
    """One pass: the conditionals' logits `[B, W - 1, V]` of the drafts after the first, each seeing those before it."""
    width = int(lengths.max())
    index = np.broadcast_to(np.arange(width - 1), (len(drafts), width - 1))
    logits = state.run(
        Rows(
            ids=drafts[:, : width - 1],
            positions=chain.positions[slots[:, : width - 1]],
            counts=np.maximum(lengths - 1, 0),
            sources=index,
            targets=chain.positions[slots[:, 1:width]],
            sees=index + 1,
        )
    )
    return chain.bar_end_marks(logits, slots[:, 1:width])


def _accept(
    drawing: Drawing,
    sampler: Sampler,
    slots: IntArray,
    drafts: IntArray,
    proposals: Probabilities,
    lengths: IntArray,
    conditionals: FloatArray,
    last: IntArray,
    at: IntArray,
    rng: np.random.Generator,
) -> IntArray:
    """Run the accept test from the second draft on, emitting tokens; updates `last` and `at`; returns accepted counts `[B]`."""
    accepted = (lengths > 0).astype(np.int64)
    running = np.flatnonzero(lengths > 1)
    for step in range(1, conditionals.shape[1] + 1):
        if len(running) == 0:
            break
        targets = drawing.chain.chances(sampler, conditionals[running, step - 1], slots[running, step])
        tokens, passed = accept(targets, proposals[running, step], drafts[running, step], rng)
        drawing.emit(running, tokens, log_probability(conditionals[running, step - 1], tokens))
        last[running], at[running] = tokens, slots[running, step]
        running = running[passed]
        accepted[running] += 1
        running = running[lengths[running] > step + 1]
    return accepted
