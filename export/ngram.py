"""An interpolated n-gram model with modified Kneser-Ney smoothing: the yardstick for what the left context alone tells.

Kneser & Ney, "Improved backing-off for m-gram language modeling" (1995); Chen & Goodman, "An empirical study of
smoothing techniques for language modeling" (1999). An n-gram is known by its rank among the distinct n-grams of its
order, sorted by (rank of its first n - 1 tokens, last token), so that tens of millions of tokens fit in plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.sequence import IntArray

FloatArray = NDArray[np.float64]
_Shares = NDArray[np.float32]

# KenLM's choice for orders whose counts of counts can't tell (Heafield et al. 2013).
_USUAL_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class _Order:
    """Order n: `keys` `[N]` ascending, context rank * vocabulary + token; `shares[g]` is what n-gram g keeps of its
    context's mass after the discount; `rest[c]` is what context c leaves to the next shorter context."""

    keys: IntArray
    shares: _Shares
    rest: _Shares


@dataclass(frozen=True)
class NGram:
    """Sums to one over the vocabulary after any history, and gives every token some probability."""

    vocabulary: int
    orders: tuple[_Order, ...]

    def logprobs(self, tokens: IntArray) -> FloatArray:
        """Natural-log probability of each token `[T]` after those before it, of which the last order - 1 count."""
        tokens = np.asarray(tokens, dtype=np.int64)
        probabilities: FloatArray = np.full(len(tokens), 1.0 / self.vocabulary)
        contexts = np.zeros(len(tokens), dtype=np.int64)  # the one empty context
        for order in self.orders:
            grams = _find(order.keys, np.where(contexts < 0, -1, contexts * self.vocabulary + tokens))
            rest = np.where(contexts < 0, 1.0, order.rest[contexts])
            probabilities = np.where(grams < 0, 0.0, order.shares[grams]) + rest * probabilities
            contexts = np.concatenate(([-1], grams[:-1]))
        logarithms: FloatArray = np.log(probabilities)
        return logarithms


def _find(keys: IntArray, wanted: IntArray) -> IntArray:
    """Indices of `wanted` in the ascending `keys`; -1 where there is no such key."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: IntArray = np.where(keys[places] == wanted, places, -1)
    return found


def train(tokens: IntArray, order: int, vocabulary: int, mark: int) -> NGram:
    """Count `tokens` `[T]`, documents one after another, each begun by `mark`, which is a context but never foretold.

    Raises ValueError for an order below 1, tokens outside the vocabulary, or no token but marks.
    """
    if order < 1:
        raise ValueError(f"the order must be at least 1, not {order}")
    marks = tokens == mark
    if marks.all():
        raise ValueError("there is no token to count")
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise ValueError(f"the tokens must lie in 0..{vocabulary - 1}")
    orders: list[_Order] = []
    ending = np.zeros(len(tokens), dtype=np.int32)  # the n-gram of the order before that ends at each token; -1: none
    contexts = 1
    previous: tuple[IntArray, IntArray, int] | None = None
    for n in range(1, order + 1):
        before = np.concatenate((np.array([0 if n == 1 else -1], dtype=np.int32), ending[:-1]))
        # Order 1 lists the marks too, so that they can be contexts; a longer n-gram has a mark in its first place or nowhere.
        places = np.flatnonzero((before >= 0) & (~marks if n > 1 else True))
        if not len(places):  # no document is that long
            break
        keys, grams, counts = np.unique(before[places] * np.int64(vocabulary) + tokens[places], return_inverse=True, return_counts=True)
        if previous is not None:
            # Below the highest order a count is the number of distinct tokens seen before the n-gram (Kneser & Ney);
            # nothing stands before one that starts a document, so it keeps its plain count.
            shorter = np.empty(len(keys), dtype=np.int64)
            shorter[grams] = ending[places]
            shorter_keys, shorter_counts, shorter_contexts = previous
            followed = np.bincount(shorter, minlength=len(shorter_keys))
            orders.append(_smoothed(shorter_keys, np.where(followed > 0, followed, shorter_counts), shorter_contexts, vocabulary))
        if n == 1:
            counts = np.where(keys == mark, 0, counts)
        previous = keys, counts, contexts
        ending = np.full(len(tokens), -1, dtype=np.int32)
        ending[places] = grams
        contexts = len(keys)
    assert previous is not None
    orders.append(_smoothed(*previous, vocabulary))
    return NGram(vocabulary, tuple(orders))


def _smoothed(keys: IntArray, counts: IntArray, contexts: int, vocabulary: int) -> _Order:
    owners = keys // vocabulary
    totals = np.bincount(owners, weights=counts, minlength=contexts)
    discounts = np.array([0.0, *_discounts(counts)])[np.minimum(counts, 3)]
    taken = np.bincount(owners, weights=discounts, minlength=contexts)
    rest = np.divide(taken, totals, out=np.ones(contexts), where=totals > 0)
    shares = np.divide(counts - discounts, totals[owners], out=np.zeros(len(keys)), where=counts > 0)
    return _Order(keys, shares.astype(np.float32), rest.astype(np.float32))


def _discounts(counts: IntArray) -> tuple[float, ...]:
    """What n-grams seen once, twice, and more often give away (Chen & Goodman 1999, equation 26)."""
    once, twice, thrice, four = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    if not (once and twice and thrice and four):
        return _USUAL_DISCOUNTS
    base = once / (once + 2 * twice)
    estimates = (1 - 2 * base * twice / once, 2 - 3 * base * thrice / twice, 3 - 4 * base * four / thrice)
    return estimates if all(0 < estimate < seen for seen, estimate in enumerate(estimates, 1)) else _USUAL_DISCOUNTS
