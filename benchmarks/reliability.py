"""Do probabilities mean what they say? Bins of claims against what came true, their gap, and the temperature that suits best.

Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599; with bins of equal mass instead of equal width, so
that none is nearly empty (Nixon et al., "Measuring Calibration in Deep Learning", arXiv 1904.01685).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import Interval

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

_Z = 1.959964  # 95% of a normal distribution


@dataclass(frozen=True)
class Bin:
    """`count` claims of about equal probability: their mean, and how often they came true with its 95% Wilson interval."""

    count: int
    claimed: float
    observed: float
    low: float
    high: float


def equal_mass(claims: FloatArray, hits: BoolArray, bins: int) -> list[Bin]:
    """At most `bins` bins of near equal size over the sorted claims `[N]`; `hits` `[N]` tells which came true."""
    order = np.argsort(claims, kind="stable")
    made = []
    for part in np.array_split(order, min(bins, len(order))):
        count, observed = len(part), float(hits[part].mean())
        low, high = wilson(observed, count)
        made.append(Bin(count, float(claims[part].mean()), observed, low, high))
    return made


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95% interval of a probability of which `share` of `count` independent trials came true (Wilson, 1927)."""
    spread = _Z * np.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    middle = share + _Z**2 / (2 * count)
    scale = 1 + _Z**2 / count
    return float((middle - spread) / scale), float((middle + spread) / scale)


def calibration_error(claims: FloatArray, hits: BoolArray, bins: int) -> float:
    """Mean gap between claimed and observed over bins of equal mass, weighted by their counts (ECE)."""
    order = np.argsort(claims, kind="stable")
    gaps = (claims - hits)[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, min(bins, len(order)))) / len(order))


def calibration_error_interval(claims: FloatArray, hits: BoolArray, groups: IntArray, bins: int, resamples: int = 300) -> Interval:
    """The error with a 95% percentile interval by a bootstrap over groups (windows, say), whose claims stay together."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(resamples):
        picked = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        errors.append(calibration_error(claims[picked], hits[picked], bins))
    low, high = np.percentile(errors, [2.5, 97.5])
    return Interval(calibration_error(claims, hits, bins), float(low), float(high))


def chance_error(claims: FloatArray, bins: int, draws: int = 100) -> float:
    """The mean error that so many claims show by chance where each is exactly right: below it nothing can be told."""
    rng = np.random.default_rng(0)
    return float(np.mean([calibration_error(claims, rng.random(len(claims)) < claims, bins) for _ in range(draws)]))


def best_temperature(temperatures: FloatArray, losses: FloatArray) -> FloatArray:
    """Where the losses `[..., T]` over ascending temperatures `[T]` are least, between them by a parabola over their logarithms."""
    logs = np.log(temperatures)
    least = losses.argmin(axis=-1)
    middle = least.clip(1, len(logs) - 2)
    left, centre, right = (np.take_along_axis(losses, (middle + step)[..., None], -1)[..., 0] for step in (-1, 0, 1))
    bend = left - 2 * centre + right
    shift = np.where(least == middle, (left - right) / np.where(bend > 0, 2 * bend, 1), least - middle)
    best: FloatArray = np.exp(logs[middle] + shift * (logs[1] - logs[0]))
    return best


def temperature_interval(temperatures: FloatArray, losses: FloatArray, resamples: int = 2000) -> Interval:
    """The temperature of least total loss over windows, losses `[W, T]`, with a 95% percentile interval by a bootstrap over them."""
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(losses), np.full(len(losses), 1 / len(losses)), size=resamples)
    low, high = np.percentile(best_temperature(temperatures, weights @ losses), [2.5, 97.5])
    return Interval(float(best_temperature(temperatures, losses.sum(axis=0))), float(low), float(high))
