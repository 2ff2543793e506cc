"""Texts that suit all the holes they are to stand in, found by the holes together.

Each hole, alone with the prompt, has its own opinion on what stands in it. A text's score is the sum of its log-likelihoods in all
the holes that it is tied to (a product of experts: Hinton, Neural Computation 14, 2002), and the best are looked for token by token with
a beam. The joint knows more: what one hole holds is evidence for the next. So these texts are candidates, nothing more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import numpy as np

from engine.decoders.base import Prefilled
from engine.decoders.tied_paths import Constraint, Texts
from engine.model import FloatArray, Rows
from engine.sampling import log_softmax
from engine.sequence import IntArray

_MOST_CONTEXTS = 64  # of one pass: so many beginnings of texts times so many holes
_FEWEST_BEGINNINGS = 4
# A score, and the text.
_Scored = tuple[float, tuple[int, ...]]


def candidate_texts(
    prefilled: Prefilled, constraint: Constraint, groups: Sequence[int], most: int, count_pass: Callable[[], None]
) -> list[Texts]:
    """At most `most` ways to write the holes of `groups`, each the first of its tie, the most promising first."""
    found = {first: _texts(prefilled, constraint, first, most, count_pass) for first in groups}
    return [dict(zip(groups, texts, strict=True)) for texts in _best_first([found[first] for first in groups], most)]


def _best_first(lists: Sequence[Sequence[_Scored]], most: int) -> list[tuple[tuple[int, ...], ...]]:
    """One text of each list, in the `most` ways with the largest sums of scores."""
    ways: list[tuple[float, tuple[tuple[int, ...], ...]]] = [(0.0, ())]
    for texts in lists:
        longer = ((score + own, (*chosen, text)) for score, chosen in ways for own, text in texts)
        ways = heapq.nlargest(most, longer, key=lambda way: way[0])
    return [chosen for _, chosen in ways]


def _texts(prefilled: Prefilled, constraint: Constraint, first: int, most: int, count_pass: Callable[[], None]) -> list[_Scored]:
    """Texts of the holes tied to `first`, by falling score."""
    chain = prefilled.chain
    holes = [hole for hole, tie in enumerate(constraint.ties) if tie == first]
    slots = np.array([np.flatnonzero(chain.holes[:-1] == hole) for hole in holes])  # [K, budget]
    width = max(_FEWEST_BEGINNINGS, _MOST_CONTEXTS // len(holes))
    done: list[_Scored] = []
    beginnings: list[_Scored] = [(0.0, ())]
    logits = _of_first_slots(prefilled, slots[:, 0])
    for step in range(slots.shape[1]):
        count_pass()
        scores = log_softmax(logits).sum(axis=1) + np.array([score for score, _ in beginnings])[:, None]  # [beginnings, V]
        allowed = constraint.allowed[slots[0, step]]
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        last = step + 1 == slots.shape[1]
        longer = [
            (float(scores[row, token]), (*beginnings[row][1], int(token)))
            for row, token in zip(*np.unravel_index(np.argsort(-scores, axis=None)[: most + width], scores.shape), strict=True)
            if scores[row, token] > -np.inf
        ]
        ended = [one for one in longer if last or one[1][-1] == chain.eoh]
        done = heapq.nlargest(most, [*done, *ended], key=lambda one: one[0])
        beginnings = [one for one in longer if one not in ended][:width]
        # A text only gets less likely as it grows.
        if not beginnings or (len(done) == most and beginnings[0][0] <= done[-1][0]):
            break
        logits = _of_slots(prefilled, slots, step + 1, np.array([text for _, text in beginnings]))
    return done


def _of_first_slots(prefilled: Prefilled, slots: IntArray) -> FloatArray:
    """Logits `[1, K, V]` of the holes' first slots, asked from the prompt's last row, which is run once more for it."""
    sequence, chain = prefilled.sequence, prefilled.chain
    last = len(sequence.ids) - 1
    asked = slots[None]
    rows = Rows(
        ids=sequence.ids[None, last:],
        positions=sequence.positions[None, last:],
        counts=np.ones(1, dtype=np.int64),
        sources=np.zeros_like(asked),
        targets=chain.positions[asked],
        sees=np.ones_like(asked),
    )
    return chain.bar_end_marks(prefilled.state.fork(1, last).run(rows), asked)


def _of_slots(prefilled: Prefilled, slots: IntArray, step: int, beginnings: IntArray) -> FloatArray:
    """Logits `[B, K, V]` of slot number `step` of the K holes, each given the prompt and one of the `beginnings` `[B, step]` in it."""
    chain = prefilled.chain
    texts, holes = len(beginnings), len(slots)
    at = np.tile(slots[:, :step], (texts, 1))
    asked = np.tile(slots[:, step], texts)[:, None]
    rows = Rows(
        ids=np.repeat(beginnings, holes, axis=0),
        positions=chain.positions[at],
        counts=np.full(texts * holes, step),
        sources=np.full_like(asked, step - 1),
        targets=chain.positions[asked],
        sees=np.full_like(asked, step),
    )
    logits = chain.bar_end_marks(prefilled.state.fork(texts * holes).run(rows), asked)
    return logits.reshape(texts, holes, -1)
