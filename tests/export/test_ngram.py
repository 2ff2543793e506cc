"""The n-gram model against the definition, counted slowly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sequence import IntArray
from export.ngram import train

MARK = 0
VOCABULARY = 6

documents = st.lists(st.lists(st.integers(1, VOCABULARY - 1), max_size=12), min_size=1, max_size=5).filter(any)
histories = st.lists(st.integers(0, VOCABULARY - 1), max_size=5)

Gram = tuple[int, ...]


def joined(texts: Sequence[Sequence[int]]) -> IntArray:
    return np.array([token for text in texts for token in (MARK, *text)], dtype=np.int64)


class Slow:
    """Chen & Goodman's modified Kneser-Ney, straight from its recursive definition."""

    def __init__(self, texts: Sequence[Sequence[int]], order: int) -> None:
        plain: dict[int, Counter[Gram]] = {n: Counter() for n in range(1, order + 2)}
        for text in texts:
            marked = (MARK, *text)
            for end in range(1, len(marked)):
                for n in range(1, min(order, end + 1) + 1):
                    plain[n][marked[end - n + 1 : end + 1]] += 1
        self.counts: list[Counter[Gram]] = []
        for n in range(1, order + 1):
            seen_before = Counter(gram[1:] for gram in plain[n + 1])
            top = n == order
            self.counts.append(Counter({gram: count if top or gram[0] == MARK else seen_before[gram] for gram, count in plain[n].items()}))

    def discount(self, counts: Counter[Gram], count: int) -> float:
        one, two, three, four = (sum(value == number for value in counts.values()) for number in (1, 2, 3, 4))
        usual = (0.5, 1.0, 1.5)
        found = usual
        if one and two and three and four:
            y = one / (one + 2 * two)
            estimated = (1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three)
            found = estimated if all(0 < d < number for number, d in enumerate(estimated, 1)) else usual
        return found[min(count, 3) - 1]

    def probability(self, token: int, history: Gram) -> float:
        counts = self.counts[len(history)]
        followers = {gram: count for gram, count in counts.items() if gram[:-1] == history}
        shorter = self.probability(token, history[1:]) if history else 1 / VOCABULARY
        if not followers:
            return shorter
        total = sum(followers.values())
        discounts = {gram: self.discount(counts, count) for gram, count in followers.items()}
        gram = (*history, token)
        kept = max(0.0, followers.get(gram, 0) - discounts.get(gram, 0.0))
        return (kept + sum(discounts.values()) * shorter) / total


@settings(max_examples=60, deadline=None)
@given(documents, histories, st.integers(1, 4))
def test_sums_to_one_and_leaves_no_token_out(texts: list[list[int]], history: list[int], order: int) -> None:
    model = train(joined(texts), order, VOCABULARY, MARK)
    probabilities = [math.exp(model.logprobs(np.array([*history, token]))[-1]) for token in range(VOCABULARY)]
    assert sum(probabilities) == pytest.approx(1, abs=1e-6)
    assert min(probabilities) > 0


@settings(max_examples=60, deadline=None)
@given(documents, documents, st.integers(1, 4))
def test_agrees_with_the_definition(texts: list[list[int]], others: list[list[int]], order: int) -> None:
    model = train(joined(texts), order, VOCABULARY, MARK)
    slow = Slow(texts, order)
    for text in others:
        tokens = (MARK, *text)
        expected = [slow.probability(tokens[i], tokens[max(0, i - order + 1) : i]) for i in range(1, len(tokens))]
        assert np.exp(model.logprobs(np.array(tokens))[1:]) == pytest.approx(expected, rel=1e-5)


def test_agrees_where_the_discounts_are_estimated() -> None:
    rng = np.random.default_rng(0)
    texts = [(1 + rng.geometric(0.35, size=12) % (VOCABULARY - 1)).tolist() for _ in range(40)]
    model = train(joined(texts), 3, VOCABULARY, MARK)
    slow = Slow(texts, 3)
    assert slow.discount(slow.counts[2], 1) not in (0.5, 1.0, 1.5)
    tokens = (MARK, *texts[0], *texts[1])
    expected = [slow.probability(tokens[i], tokens[max(0, i - 2) : i]) for i in range(1, len(tokens))]
    assert np.exp(model.logprobs(np.array(tokens))[1:]) == pytest.approx(expected, rel=1e-5)


def test_a_longer_history_helps_on_a_pattern() -> None:
    tokens = np.array([MARK, *([1, 2, 1, 3] * 50)])
    costs = [-train(tokens, order, VOCABULARY, MARK).logprobs(tokens)[1:].mean() for order in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


def test_no_context_reaches_over_a_document_boundary() -> None:
    together = train(joined([[1, 2], [3, 4]]), 3, VOCABULARY, MARK)
    swapped = train(joined([[3, 4], [1, 2]]), 3, VOCABULARY, MARK)
    probe = np.array([MARK, 1, 2, 3, 4, 5])
    assert together.logprobs(probe) == pytest.approx(swapped.logprobs(probe))


@pytest.mark.parametrize(
    ("tokens", "order", "sentence"),
    [([1, 2], 0, "order must be at least 1"), ([0, 0], 2, "no token to count"), ([1, VOCABULARY], 2, "must lie in 0..5")],
)
def test_refuses(tokens: list[int], order: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        train(np.array(tokens), order, VOCABULARY, MARK)
