"""Rounds of one pass each: what `fused` and `assd_ngram` share. They differ in where their drafts come from.

A pass carries the last emitted token and drafts d_1..d_k behind it as content rows. Slot row i is asked from content row i, for
the slot after it, and sees the rows up to it: the model's conditional p_(i+1) given d_1..d_i. Drafts are accepted in turn, d_i with
probability min(1, p_i(d_i) / q_i(d_i)); at the first refusal its slot is drawn from (p_i - q_i)+ and the round ends (Leviathan
et al., arXiv 2211.17192, Algorithm 1). Where all drafts are accepted, the last slot row gives one token more.

Invariants. A proposal q_i, and whether there is a draft i at all, is settled before d_i is drawn, from what came before it:
then every slot's token is distributed as p whatever q is. The prompt's pass emits a token and every other pass emits at least
one, so passes <= tokens. Rows kept are those of emitted tokens alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.decoders.base import Draw, Drawing, Prefilled
from engine.decoders.slots import SlotChain
from engine.infiller import OnPass
from engine.model import FloatArray, Rows, State
from engine.sampling import Probabilities, Sampler, accept, draw, log_probability
from engine.sequence import BoolArray, IntArray


class Proposer(Protocol):
    """Where drafts come from. Made for one batch of alternatives."""

    def begin(self, drawing: Drawing, last: IntArray, states: FloatArray) -> None:
        """A round begins: the tokens `last` `[B]` were emitted, from slot rows with the states `[B, E]`."""

    def wanted(self, slots: IntArray) -> BoolArray:
        """Which alternatives should have a draft at `slots` `[B]`, those right behind their last tokens, emitted or drafted. Bool `[B]`."""

    def propose(self, slots: IntArray, sampler: Sampler) -> Probabilities:
        """Proposals q `[B, V]` for the same slots; anything that can be drawn from where no draft is wanted."""

    def drafted(self, tokens: IntArray) -> None:
        """The drafts `[B]` that were drawn from what was proposed last."""


@dataclass(frozen=True)
class Drafts:
    """Drafts behind the last emitted token of each alternative.

    `tokens` `[B, K]`, of which `lengths` `[B]` are real; the proposals they were drawn from, K of `[B, V]`; their `slots` `[B, K + 1]`, and
    the slot after the last draft, which a bonus token takes (`chain.done` where there is none).
    """

    slots: IntArray
    tokens: IntArray
    proposals: tuple[Probabilities, ...]
    lengths: IntArray


def one_pass_rounds(
    prefilled: Prefilled,
    copies: int,
    sampler: Sampler,
    width: int,
    rng: np.random.Generator,
    on_pass: OnPass,
    proposer: Proposer,
    *,
    bonus: bool,
) -> list[Draw]:
    """Draw `copies` alternatives with at most `width` drafts a round; without `bonus` a round of accepted drafts ends with the last."""
    chain = prefilled.chain
    drawing = Drawing(chain, copies, on_pass)
    state = prefilled.state.fork(copies)
    logits = np.repeat(prefilled.logits[:, 0], copies, axis=0)
    states = np.repeat(prefilled.states[:, 0], copies, axis=0)
    at = drawing.frontier
    last = draw(chain.chances(sampler, logits, at), rng)
    drawing.emit(np.arange(copies), last, log_probability(logits, last))
    while (active := drawing.active).any():
        proposer.begin(drawing, last, states)
        drafts = draw_drafts(chain, drawing, proposer, sampler, width, rng)
        logits = verify(state, chain, last, at, drafts, active)
        drawing.count_pass(active)
        done = emit_round(chain, drawing, sampler, drafts, logits, rng, bonus=bonus)
        # The row of the token before, and those of all tokens of this round but the last, which the next pass carries.
        state.keep(done.emitted)
        last, at, states = done.last, done.at, state.states[np.arange(copies), done.row]
    return drawing.finished()


def draw_drafts(chain: SlotChain, drawing: Drawing, proposer: Proposer, sampler: Sampler, width: int, rng: np.random.Generator) -> Drafts:
    """Draw drafts one after another, each seen by the next one's proposal."""
    at, alive = drawing.frontier, drawing.active
    slots, tokens, proposals = [at], [], []
    lengths = np.zeros(len(at), dtype=np.int64)
    for _ in range(width):
        alive = alive & (at < chain.done) & proposer.wanted(at)
        if not alive.any():
            break
        chances = proposer.propose(at, sampler)
        drawn = draw(chances, rng)
        proposer.drafted(drawn)
        lengths += alive
        at = np.where(alive, chain.advance(at, drawn), at)
        slots.append(at)
        tokens.append(drawn)
        proposals.append(chances)
    columns = np.array(tokens, dtype=np.int64).reshape(len(tokens), len(at)).T
    return Drafts(np.stack(slots, axis=1), columns, tuple(proposals), lengths)


def verify(state: State, chain: SlotChain, last: IntArray, at: IntArray, drafts: Drafts, active: BoolArray) -> FloatArray:
    """One pass: logits `[B, K + 1, V]` for `drafts.slots`, each row seeing the drafts before its slot."""
    ids = np.concatenate((last[:, None], drafts.tokens), axis=1)
    index = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    logits = state.run(
        Rows(
            ids=ids,
            positions=chain.positions[np.concatenate((at[:, None], drafts.slots[:, :-1]), axis=1)],
            counts=np.where(active, drafts.lengths + 1, 0),
            sources=index,
            targets=chain.positions[drafts.slots],
            sees=index + 1,
        )
    )
    return chain.bar_end_marks(logits, drafts.slots)


@dataclass(frozen=True)
class Round:
    """How a round went for each alternative, `[B]`: tokens emitted, the last of them, its slot, and the slot row it came from."""

    emitted: IntArray
    last: IntArray
    at: IntArray
    row: IntArray


def emit_round(
    chain: SlotChain, drawing: Drawing, sampler: Sampler, drafts: Drafts, logits: FloatArray, rng: np.random.Generator, *, bonus: bool
) -> Round:
    """Accept drafts in turn and emit what comes of it: at least one token for every active alternative."""
    batch, rows = drafts.slots.shape
    emitted, last, at, source = (np.zeros(batch, dtype=np.int64) for _ in range(4))
    going = np.flatnonzero(drawing.active)
    for row in range(rows):
        # Past its drafts, an alternative gets the bonus token if there is a slot for it; with no draft at all, its one token.
        tested = drafts.lengths[going] > row
        extra = (drafts.slots[going, row] < chain.done) & (bonus or row == 0)
        going, tested = going[tested | extra], tested[tested | extra]
        if len(going) == 0:
            break
        target = chain.chances(sampler, logits[going, row], drafts.slots[going, row])
        tokens = np.empty(len(going), dtype=np.int64)
        passed = np.zeros(len(going), dtype=bool)
        if tested.any():
            own = going[tested]
            tokens[tested], passed[tested] = accept(target[tested], drafts.proposals[row][own], drafts.tokens[own, row], rng)
        if not tested.all():
            tokens[~tested] = draw(target[~tested], rng)
        drawing.emit(going, tokens, log_probability(logits[going, row], tokens))
        emitted[going] += 1
        last[going], at[going], source[going] = tokens, drafts.slots[going, row], row
        going = going[passed]
    return Round(emitted, last, at, source)
