"""How long holes are, for models that can't say: their likelihoods at several lengths, compared.

A model without `<eoh>` has a distribution over texts of any one length, and none over lengths. So each candidate length gets its likeliest
text, greedily, and the mean log-probability of that text's tokens, all holes' together, decides: the joint likelihood, normalised by
the number of tokens, as a longer text would otherwise always lose. Guo & Ermon, arXiv 2504.20456, don't look for lengths: their holes are
as long as the answer. This rule is a heuristic: it prefers lengths at which every token is foreseen, long repetitions among them, and a
fill of no tokens has no mean, so that none is ever left empty.

Lengths of several holes are looked for one hole after another, the others at the lengths found so far or, to begin with, at the
middle one of their candidates: as many trials as the holes have candidates together, where all combinations would be too many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_GROWTH = 1.5


def candidate_lengths(budget: int) -> tuple[int, ...]:
    """1, 2, 3, and so on, each half as long again as the one before, up to `budget`, which is the last."""
    lengths = [1]
    while lengths[-1] < budget:
        lengths.append(min(budget, max(lengths[-1] + 1, int(lengths[-1] * _GROWTH))))
    return tuple(lengths)


def likeliest_lengths(
    budgets: Sequence[int], fixed: Sequence[bool], ties: Sequence[int], mean_logprob: Callable[[tuple[int, ...]], float]
) -> tuple[int, ...]:
    """The lengths of all holes: `budgets` where `fixed`, else those at which `mean_logprob` of the greedy fill is found largest.

    Tied holes (`ties[h]` is the first hole that hole h repeats) have one length. Of equally good lengths the shortest is taken.
    """
    candidates = [(budget,) if known else candidate_lengths(budget) for budget, known in zip(budgets, fixed, strict=True)]
    lengths = [each[(len(each) - 1) // 2] for each in candidates]
    tried: dict[tuple[int, ...], float] = {}
    for first in range(len(budgets)):
        if ties[first] != first or len(candidates[first]) == 1:
            continue
        for length in candidates[first]:
            trial = _with(lengths, ties, first, length)
            if trial not in tried:
                tried[trial] = mean_logprob(trial)
        best = max(candidates[first], key=lambda length: tried[_with(lengths, ties, first, length)])
        lengths = list(_with(lengths, ties, first, best))
    return tuple(lengths)


def _with(lengths: Sequence[int], ties: Sequence[int], first: int, length: int) -> tuple[int, ...]:
    return tuple(length if tie == first else other for tie, other in zip(ties, lengths, strict=True))
