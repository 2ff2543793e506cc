"""Bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds between which it lies with 95% confidence."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def bootstrap(figure: Callable[[FloatArray], FloatArray], samples: FloatArray, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """The 95% percentile interval of `figure` over resampled tasks.

    `samples` is `[T, F]`: F measurements of each of T tasks, which stay together. `figure` maps `[..., T, F]` to `[...]`.
    """
    picks = np.random.default_rng(seed).integers(0, len(samples), size=(resamples, len(samples)))
    low, high = np.percentile(figure(samples[picks]), [2.5, 97.5])
    return Interval(float(figure(samples)), float(low), float(high))


def median(samples: FloatArray) -> FloatArray:
    """Median over tasks of the first measurement."""
    result: FloatArray = np.asarray(np.median(samples[..., 0], axis=-1))
    return result


def ratio_of_sums(samples: FloatArray) -> FloatArray:
    """Sum of the first measurement over the sum of the second, so that a long task counts for its length."""
    result: FloatArray = np.asarray(samples[..., 0].sum(axis=-1) / samples[..., 1].sum(axis=-1))
    return result
