"""An AS-ARM whose any-subset conditionals are exact: a random hidden Markov chain, conditioned by forward-backward.

It stands in for the ONNX model behind `engine.model.Model`, so that what a decoder draws can be held against the
enumerated joint. Positions that no row tells of (not yet decoded, or absent after `<eoh>`) are summed out.

A context is one integer: digit i, in base V + 1, is 0 where position i is unknown and its token + 1 where it is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, Rows, State
from engine.sampling import Sampler
from engine.sequence import IntArray, MaskedSequence

Array = NDArray[np.float64]


class Oracle:
    """A chain of `length` positions over `vocabulary` tokens, the last of which is `<eoh>`; `passes` counts its passes.

    A small `concentration` makes neighbours depend strongly on each other, so that drafts are often wrong.
    """

    def __init__(self, seed: int, length: int, vocabulary: int = 4, hidden: int = 4, concentration: float = 0.4) -> None:
        assert (vocabulary + 1) ** length * length < 2**62, "a context must fit into one integer"
        rng = np.random.default_rng(seed)
        self.length = length
        self.vocabulary = vocabulary
        self.start: Array = rng.dirichlet(np.full(hidden, 1.0))
        self.steps: Array = rng.dirichlet(np.full(hidden, concentration), size=(length, hidden))
        self.emits: Array = rng.dirichlet(np.full(vocabulary, concentration), size=hidden)
        self._draft_head = OracleDraftHead(rng, vocabulary)
        self.passes = 0

    @property
    def eoh(self) -> int:
        return self.vocabulary - 1

    @property
    def draft_head(self) -> OracleDraftHead:
        return self._draft_head

    def open(self) -> OracleState:
        return OracleState(self, np.zeros(1, dtype=np.int64))

    def digits(self, ids: IntArray, positions: IntArray) -> IntArray:
        """What each known (token, position) adds to its context."""
        added: IntArray = (ids + 1) * (self.vocabulary + 1) ** positions
        return added

    def known(self, contexts: IntArray) -> IntArray:
        """Contexts `[N]` as tokens `[N, L]`, -1 where unknown."""
        base = self.vocabulary + 1
        tokens: IntArray = contexts[:, None] // base ** np.arange(self.length) % base - 1
        return tokens

    def log_conditionals(self, contexts: IntArray, targets: IntArray) -> Array:
        """Log-probabilities `[N, V]` of the token at position `targets[n]` given all that `contexts[n]` knows."""
        questions, origin = np.unique(contexts * self.length + targets, return_inverse=True)
        answers = self._forward_backward(self.known(questions // self.length), questions % self.length)
        with np.errstate(divide="ignore"):
            logs: Array = np.log(answers)[origin.reshape(-1)]
        return logs

    def _forward_backward(self, known: IntArray, targets: IntArray) -> Array:
        rows = np.arange(len(known))
        # Evidence [N, L, H]: how well each hidden state explains a position; 1 where it is unknown.
        evidence = np.where((known < 0)[..., None], 1.0, self.emits.T[known])
        before = np.empty_like(evidence)
        message = np.broadcast_to(self.start, (len(known), len(self.start)))
        for position in range(self.length):
            before[:, position] = message
            message = (message * evidence[:, position]) @ self.steps[position]
            message = message / message.sum(axis=1, keepdims=True)
        after = np.empty_like(evidence)
        message = np.ones((len(known), len(self.start)))
        for position in reversed(range(self.length)):
            after[:, position] = message
            message = (message * evidence[:, position]) @ self.steps[position - 1].T
            message = message / message.sum(axis=1, keepdims=True)
        tokens: Array = (before[rows, targets] * after[rows, targets]) @ self.emits
        there = known[rows, targets]
        told = there >= 0
        tokens[told] = np.eye(self.vocabulary)[there[told]]
        tokens /= tokens.sum(axis=1, keepdims=True)
        return tokens


class OracleDraftHead:
    """Guesses that are mostly wrong, each another by what was drafted before: a state is a number, which chooses a random distribution.

    From padding's states, which are NaN, come NaN.
    """

    def __init__(self, rng: np.random.Generator, vocabulary: int, states: int = 17) -> None:
        self.logits: Array = np.log(rng.dirichlet(np.full(vocabulary, 0.7), size=states) + 1e-3)

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        padding = np.isnan(states[:, 0])
        following = (np.where(padding, 0, states[:, 0]).astype(np.int64) * 5 + ids * 3 + 1) % len(self.logits)
        logits = np.where(padding[:, None], np.nan, self.logits[following])
        return np.where(padding, np.nan, following)[:, None], logits


class OracleState:
    """A batch of contexts. Logits and states that would rest on padding are NaN: a decoder must not read them."""

    def __init__(self, oracle: Oracle, contexts: IntArray) -> None:
        self.oracle = oracle
        self.contexts = contexts
        self._after = contexts  # of a single context: what it was with no row kept, with one, with two ...
        self.states: FloatArray = np.zeros((len(contexts), 0, 1))
        self._told = np.zeros((len(contexts), 1), dtype=np.int64)
        self._counts = np.zeros(len(contexts), dtype=np.int64)

    def run(self, rows: Rows) -> FloatArray:
        oracle = self.oracle
        oracle.passes += 1
        batch, content = rows.ids.shape
        real = np.arange(content) < rows.counts[:, None]
        positions = np.where(real, rows.positions, 0)
        batch_index = np.arange(batch)[:, None]
        assert (oracle.known(self.contexts)[batch_index, positions][real] < 0).all(), "a content row repeats a kept position"
        added = np.where(real, oracle.digits(rows.ids, positions), 0)
        # Column c: all that the first c content rows tell.
        self._told = np.concatenate((np.zeros((batch, 1), dtype=np.int64), np.cumsum(added, axis=1)), axis=1)
        self._counts = rows.counts
        seen = self.contexts[:, None] + self._told[batch_index, rows.sees]
        logits = oracle.log_conditionals(seen.ravel(), rows.targets.ravel()).reshape(*rows.targets.shape, -1)
        padding = (rows.sees > rows.counts[:, None]) | (rows.sources >= rows.counts[:, None])
        logits[padding] = np.nan
        self.states = np.where(padding, np.nan, (seen * oracle.length + rows.targets) % 101)[..., None]
        return logits

    def keep(self, counts: IntArray) -> None:
        assert (counts <= self._counts).all(), "padding is kept"
        if len(counts) == 1:
            self._after = np.append(self._after, self.contexts + self._told[0, 1 : counts[0] + 1])
        self.contexts = self.contexts + self._told[np.arange(len(counts)), counts]

    def fork(self, copies: int, rows: int | None = None) -> OracleState:
        assert len(self.contexts) == 1
        after = self._after if rows is None else self._after[: rows + 1]
        forked = OracleState(self.oracle, np.repeat(after[-1:], copies))
        forked._after = after
        return forked

    def cut(self, rows: int) -> None:
        assert len(self.contexts) == 1
        self._after = self._after[: rows + 1]
        self.contexts = self._after[-1:]

    @property
    def nbytes(self) -> int:
        return self._after.nbytes


class Tampered:
    """A model that changes every pass's rows before they are run: what a decoder with a wrong mask would ask."""

    def __init__(self, oracle: Oracle, change: Callable[[Rows], Rows]) -> None:
        self.oracle = oracle
        self.change = change

    @property
    def eoh(self) -> int:
        return self.oracle.eoh

    @property
    def draft_head(self) -> OracleDraftHead:
        return self.oracle.draft_head

    def open(self) -> State:
        return _TamperedState(self.oracle.open(), self.change)


class _TamperedState:
    def __init__(self, state: State, change: Callable[[Rows], Rows]) -> None:
        self.state = state
        self.change = change

    @property
    def states(self) -> FloatArray:
        return self.state.states

    def run(self, rows: Rows) -> FloatArray:
        return self.state.run(self.change(rows))

    def keep(self, counts: IntArray) -> None:
        self.state.keep(counts)

    def fork(self, copies: int, rows: int | None = None) -> State:
        return _TamperedState(self.state.fork(copies, rows), self.change)

    def cut(self, rows: int) -> None:
        self.state.cut(rows)

    @property
    def nbytes(self) -> int:
        return self.state.nbytes


@dataclass(frozen=True)
class Outcome:
    """One joint fill: its probability under a sampler, its slots in sigma and the model's own log-probabilities there."""

    probability: float
    slots: tuple[int, ...]
    logprobs: tuple[float, ...]


Joint = dict[tuple[int, ...], Outcome]


def sequence_with(
    budgets: Sequence[int],
    oracle: Oracle,
    seed: int = 0,
    fixed: tuple[bool, ...] = (),
    visible: int = 1,
    nonempty: tuple[bool, ...] = (),
) -> MaskedSequence:
    """Holes of these budgets with `visible` random known tokens before, between and behind them; suffix first.

    `fixed` says which holes' lengths are fixed, `nonempty` which must hold something; empty: none.
    """
    pieces = np.random.default_rng(seed).integers(0, oracle.eoh, size=(len(budgets) + 1, visible))
    starts = np.concatenate(([0], np.cumsum(np.array(budgets) + visible)))
    positions = starts[:, None] + np.arange(visible)
    slots = tuple(start + visible + np.arange(budget) for start, budget in zip(starts, budgets, strict=False))
    assert positions.max() < oracle.length
    return MaskedSequence(np.roll(pieces, -1, axis=0).ravel(), np.roll(positions, -1, axis=0).ravel(), slots, fixed, nonempty)


def length_for(budgets: Sequence[int], visible: int = 1) -> int:
    """Positions that `sequence_with` needs, and one beyond them that is never known."""
    return sum(budgets) + visible * (len(budgets) + 1) + 1


@dataclass(frozen=True)
class _Partial:
    hole: int
    taken: int
    context: int
    probability: float
    tokens: tuple[int, ...]
    slots: tuple[int, ...]
    logprobs: tuple[float, ...]


def enumerate_joint(oracle: Oracle, sequence: MaskedSequence, sampler: Sampler) -> Joint:
    """Every joint fill with a probability above 0: a hole takes tokens until `<eoh>` or its budget's end, then the next does.

    Where its length is fixed, `<eoh>` is out of the question and the other tokens' probabilities add up to 1. The sampler
    changes each conditional on the way, and gets those of a first slot that must hold a token without `<eoh>`. Nothing here uses
    the engine's slot bookkeeping.
    """
    prompt = int(oracle.digits(sequence.ids, sequence.positions).sum())
    budgets = [len(slots) for slots in sequence.slots]
    joint: Joint = {}
    pending = [_Partial(0, 0, prompt, 1.0, (), (), ())]
    while pending:
        contexts = np.array([partial.context for partial in pending])
        targets = np.array([sequence.slots[partial.hole][partial.taken] for partial in pending])
        logs = oracle.log_conditionals(contexts, targets)
        for row, partial in enumerate(pending):
            if sequence.fixed_lengths and sequence.fixed_lengths[partial.hole]:
                logs[row, oracle.eoh] = -np.inf
                logs[row] -= np.log(np.exp(logs[row]).sum())
        seen = logs.copy()
        for row, partial in enumerate(pending):
            if sequence.nonempty and sequence.nonempty[partial.hole] and partial.taken == 0:
                seen[row, oracle.eoh] = -np.inf
        chances = sampler.probabilities(seen)
        grown = [
            longer
            for partial, target, row, chance in zip(pending, targets, logs, chances, strict=True)
            for longer in _continued(oracle, partial, int(target), row, chance, budgets)
        ]
        joint.update({done.tokens: Outcome(done.probability, done.slots, done.logprobs) for done in grown if done.hole == len(budgets)})
        pending = [partial for partial in grown if partial.hole < len(budgets)]
    assert abs(sum(outcome.probability for outcome in joint.values()) - 1) < 1e-9
    return joint


def _continued(oracle: Oracle, partial: _Partial, target: int, logs: Array, chances: Array, budgets: list[int]) -> Iterator[_Partial]:
    slot = sum(budgets[: partial.hole]) + partial.taken
    for token in np.flatnonzero(chances):
        closed = token == oracle.eoh or partial.taken + 1 == budgets[partial.hole]
        yield _Partial(
            hole=partial.hole + closed,
            taken=0 if closed else partial.taken + 1,
            context=partial.context + int(oracle.digits(np.array(token), np.array(target))),
            probability=partial.probability * float(chances[token]),
            tokens=(*partial.tokens, int(token)),
            slots=(*partial.slots, slot),
            logprobs=(*partial.logprobs, float(logs[token])),
        )


def tied(joint: Joint, budgets: Sequence[int], ties: Sequence[int]) -> dict[tuple[int, ...], float]:
    """The probabilities of those fills whose tied holes have the same tokens, renormalised; `ties` are a passage's."""
    kept = {}
    for tokens, outcome in joint.items():
        texts = hole_texts(outcome.slots, tokens, budgets)
        if all(texts[hole] == texts[first] for hole, first in enumerate(ties)):
            kept[tokens] = outcome.probability
    total = sum(kept.values())
    return {tokens: probability / total for tokens, probability in kept.items()}


def hole_texts(slots: Sequence[int], tokens: Sequence[int], budgets: Sequence[int]) -> list[tuple[int, ...]]:
    """Each hole's tokens, of tokens that stand in these slots."""
    borders = np.cumsum(budgets)
    texts: list[list[int]] = [[] for _ in budgets]
    for slot, token in zip(slots, tokens, strict=True):
        texts[int(np.searchsorted(borders, slot, side="right"))].append(token)
    return [tuple(text) for text in texts]
