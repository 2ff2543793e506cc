"""Bootstrap intervals hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import bootstrap, median, ratio_of_sums


def test_median_is_that_of_the_first_measurement() -> None:
    samples = np.array([(3.0, 100.0), (1.0, 200.0), (2.0, 300.0)])
    assert bootstrap(median, samples).value == 2.0


def test_a_ratio_weighs_tasks_by_their_length() -> None:
    samples = np.array([(1.0, 1.0), (10.0, 40.0)])
    assert bootstrap(ratio_of_sums, samples).value == pytest.approx(11 / 41)


def test_equal_tasks_leave_no_doubt() -> None:
    interval = bootstrap(ratio_of_sums, np.full((20, 2), 3.0))
    assert (interval.low, interval.value, interval.high) == (1.0, 1.0, 1.0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    intervals = [bootstrap(median, rng.normal(size=(60, 1)), resamples=300) for _ in range(200)]
    covered = sum(interval.low <= 0 <= interval.high for interval in intervals)
    assert 180 <= covered <= 199
