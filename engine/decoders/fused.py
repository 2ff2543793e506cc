"""ASSD with verification and the next draft fused into one pass a round: Lacuna's own, past arXiv 2504.20456.

What a published round spends on its draft pass is spared. Drafts come from the model's draft head, a recurrence over slots that
starts from the state behind the last emitted token's slot row, sees every token drafted so far and costs a small share of a pass; mixed
with what followed the last tokens elsewhere in the text, which costs nothing. A round whose drafts are all accepted gives one
token more.

How far a round drafts follows how sure the drafts are: another one is worth its cost only if those before it are likely to be
accepted.

Invariants: those of `one_pass`. Passes <= tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.decoders.base import Draw, Drawing, Prefilled
from engine.decoders.ngrams import LONGEST, Following, NGrams
from engine.decoders.one_pass import one_pass_rounds
from engine.infiller import OnPass
from engine.model import FloatArray
from engine.sampling import Probabilities, Sampler, log_softmax
from engine.sequence import BoolArray, IntArray

# What matches of 1, 2, ... tokens weigh in a proposal beside the draft head.
_WEIGHTS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.97)
assert len(_WEIGHTS) == LONGEST
# Of 0.3 to 0.85 this took the least time, or nearly so, with one alternative and with three.
_WORTH = 0.5
_MOST = 16


def fused(prefilled: Prefilled, copies: int, sampler: Sampler, width: int | None, rng: np.random.Generator, on_pass: OnPass) -> list[Draw]:
    """Exactly distributed as `sequential`; up to `width` + 1 tokens a pass. With None the drafts of a round follow how sure they are."""
    proposer = _Mixed(prefilled, copies, worth=0.0 if width else _WORTH)
    return one_pass_rounds(prefilled, copies, sampler, width or _MOST, rng, on_pass, proposer, bonus=True)


class _Mixed:
    """Proposals of the draft head and of n-grams, as one distribution; of n-grams alone where the model has no draft head.

    Neither has anything to say of a hole's first slot: a draft never goes past its hole. A round stops drafting once the chance
    that all its drafts are accepted has sunk below `worth`.
    """

    def __init__(self, prefilled: Prefilled, copies: int, worth: float) -> None:
        self._worth = worth
        self._chain = prefilled.chain
        self._head = prefilled.draft_head
        self._vocabulary = prefilled.logits.shape[-1]
        self._ngrams = NGrams(prefilled.sequence)
        self._known: dict[tuple[int, ...], _Match | None] = {}
        self._seen = [0] * copies
        # The text right before the next slot: what stands before its hole, and the hole's own tokens so far.
        self._emitted: list[tuple[int, ...]] = [()] * copies
        self._contexts: list[tuple[int, ...]] = []
        self._matches: list[_Match | None] = []

    def begin(self, drawing: Drawing, last: IntArray, states: FloatArray) -> None:
        for row, (slots, tokens) in enumerate(zip(drawing.slots, drawing.tokens, strict=True)):
            for slot, token in zip(slots[self._seen[row] :], tokens[self._seen[row] :], strict=True):
                first = slot == 0 or self._chain.holes[slot] != self._chain.holes[slot - 1]
                before = self._ngrams.before(int(self._chain.holes[slot])) if first else self._emitted[row]
                self._emitted[row] = (*before, token)
            self._seen[row] = len(tokens)
        self._contexts = list(self._emitted)
        self._holes = self._chain.holes[np.array([slots[-1] for slots in drawing.slots])]
        self._last, self._states = last, states
        self._likely: Probabilities = np.ones(len(last))

    def wanted(self, slots: IntArray) -> BoolArray:
        wanted: BoolArray = (self._chain.holes[slots] == self._holes) & (self._likely >= self._worth)
        self._matches = [self._match(context) if own else None for context, own in zip(self._contexts, wanted.tolist(), strict=True)]
        if self._head is None:
            wanted = wanted & np.array([match is not None for match in self._matches])
        return wanted

    def propose(self, slots: IntArray, sampler: Sampler) -> Probabilities:
        if self._head is None:
            logs = np.full((len(slots), self._vocabulary), -np.inf)
            logs[[match is None for match in self._matches], 0] = 0  # never drawn from
        else:
            self._states, logits = self._head.step(self._states, self._last)
            logs = log_softmax(self._chain.bar_end_marks(logits[:, None], slots[:, None])[:, 0])
        for row, match in enumerate(self._matches):
            if match is not None:
                logs[row] += match.rest
                logs[row, match.tokens] = np.logaddexp(logs[row, match.tokens], match.logs)
        # A rough guess at the chance that a draft is accepted: too low for unsure drafts and too high for middling ones at
        # temperature 1, too low for sure ones at low temperatures, by up to 0.2.
        self._likely = self._likely * np.exp(logs.max(axis=-1) / 2)
        return sampler.probabilities(logs)

    def drafted(self, tokens: IntArray) -> None:
        self._last = tokens
        self._contexts = [(*context, token) for context, token in zip(self._contexts, tokens.tolist(), strict=True)]

    def _match(self, context: tuple[int, ...]) -> _Match | None:
        if context not in self._known:
            found = self._ngrams.following(context)
            self._known[context] = None if found is None else _Match.of(found, alone=self._head is None)
        return self._known[context]


@dataclass(frozen=True)
class _Match:
    """What n-grams add to a proposal: `logs` `[N]` of `tokens` `[N]`, with their share in it, and the log of the share left to the head."""

    tokens: IntArray
    logs: Probabilities
    rest: float

    @classmethod
    def of(cls, found: Following, *, alone: bool) -> _Match:
        logs = np.log(found.counts / found.counts.sum())
        if alone:
            return cls(found.tokens, logs, 0.0)
        share = _WEIGHTS[found.length - 1]
        return cls(found.tokens, logs + np.log(share), float(np.log1p(-share)))
