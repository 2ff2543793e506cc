"""Exponents come out as they were put in, and caches are counted once."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from scipy import stats

from benchmarks.growth import BASE, Cost, Point, fit, growth_of, live_cache_bytes, points_of
from benchmarks.memory import peak_growth
from engine.local import load_infiller
from engine.model import Rows


def test_a_power_law_is_found_again() -> None:
    sizes = (128, 256, 512, 1024)
    exact = fit(sizes, [3 * size**1.5 for size in sizes])
    assert exact.value == pytest.approx(1.5)
    assert exact.high - exact.low == pytest.approx(0, abs=1e-6)
    assert fit(sizes, [7.0] * 4).value == pytest.approx(0)


def test_the_interval_is_that_of_a_straight_line() -> None:
    noise = np.array([0.3, -0.1, -0.2, 0.4, -0.5])
    sizes = np.array([1, 2, 4, 8, 16])
    line = stats.linregress(np.log(sizes), 0.7 * np.log(sizes) + noise)
    found = fit(sizes.tolist(), np.exp(0.7 * np.log(sizes) + noise).tolist())
    assert found.value == pytest.approx(line.slope)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 3) * line.stderr)


def test_the_last_doubling_tells_of_growth_that_a_constant_hides() -> None:
    sizes = (1, 2, 4, 8, 16)
    costs = {Point(alternatives=size): Cost(*[10 + size] * 7) for size in sizes}
    for growth in growth_of("alternatives", sizes, costs):
        assert growth.exponent.value < growth.last_doubling == pytest.approx(np.log2(26 / 18))


def test_the_base_is_measured_once() -> None:
    assert points_of({"context": (128, BASE.context), "holes": (1, 2)}) == [Point(context=128), BASE, Point(holes=2)]


def test_caches_of_all_living_contexts_are_counted() -> None:
    model = load_infiller().model
    gc.collect()  # what earlier tests left may be collected at any time
    before = live_cache_bytes()
    state = model.open()
    one = np.array([[0]])
    state.run(Rows(ids=one + 20, positions=one, counts=np.array([1]), sources=one, targets=one + 1, sees=one + 1))
    state.keep(np.array([1]))
    single = live_cache_bytes() - before
    assert single == state.nbytes > 0
    forked = state.fork(3)
    assert live_cache_bytes() - before == single + forked.nbytes


def test_a_peak_counts_though_all_is_freed_again() -> None:
    size = 64 << 20
    grown = peak_growth(lambda: np.ones(size, dtype=np.uint8).sum())
    assert grown == pytest.approx(size, rel=0.1)
