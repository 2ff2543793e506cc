"""ASSD with n-gram drafts, a variant of Guo & Ermon, arXiv 2504.20456; here the n-grams are bigrams of the prompt.

Drafts cost no pass: they are drawn from how often tokens followed one another in the prompt. So a round is one pass; as in the
paper it ends with the last accepted draft, without a bonus token.

What differs from the paper: where the last token never occurred in the prompt there is no draft, and the round emits one token, as
sequential decoding does. `<eoh>` never stands in a prompt, so a draft goes past its hole only where all of that hole's slots are used.

Invariants: those of `one_pass`. Passes <= tokens.
"""

from __future__ import annotations

import numpy as np

from engine.decoders.base import PUBLISHED_WIDTH, Draw, Drawing, Prefilled
from engine.decoders.ngrams import NGrams
from engine.decoders.one_pass import one_pass_rounds
from engine.infiller import OnPass
from engine.model import FloatArray
from engine.sampling import Probabilities, Sampler
from engine.sequence import BoolArray, IntArray


def assd_ngram(
    prefilled: Prefilled, copies: int, sampler: Sampler, width: int | None, rng: np.random.Generator, on_pass: OnPass
) -> list[Draw]:
    """Exactly distributed as `sequential`; up to `width` tokens a pass."""
    bigrams = _Bigrams(prefilled)
    return one_pass_rounds(prefilled, copies, sampler, width or PUBLISHED_WIDTH, rng, on_pass, bigrams, bonus=False)


class _Bigrams:
    """Proposes what followed the last token in the prompt, as often as it did."""

    def __init__(self, prefilled: Prefilled) -> None:
        self._ngrams = NGrams(prefilled.sequence)
        self._vocabulary = prefilled.logits.shape[-1]
        self._known: dict[int, FloatArray | None] = {}
        self._rows: list[FloatArray | None] = []

    def begin(self, drawing: Drawing, last: IntArray, states: FloatArray) -> None:
        self._last = last

    def wanted(self, slots: IntArray) -> BoolArray:
        self._rows = [self._log_counts(token) for token in self._last.tolist()]
        return np.array([row is not None for row in self._rows])

    def propose(self, slots: IntArray, sampler: Sampler) -> Probabilities:
        anything = np.zeros(self._vocabulary)
        return sampler.probabilities(np.stack([anything if row is None else row for row in self._rows]))

    def drafted(self, tokens: IntArray) -> None:
        self._last = tokens

    def _log_counts(self, token: int) -> FloatArray | None:
        """Of what followed `token`, `[V]`; None where nothing did."""
        if token not in self._known:
            found = self._ngrams.following((token,))
            logs = np.full(self._vocabulary, -np.inf)
            if found is not None:
                logs[found.tokens] = np.log(found.counts)
            self._known[token] = None if found is None else logs
        return self._known[token]
