"""The measures of calibration on claims whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.reliability import (
    FloatArray,
    best_temperature,
    calibration_error,
    calibration_error_interval,
    chance_error,
    equal_mass,
    temperature_interval,
    wilson,
)

TEMPERATURES = 2.0 ** np.linspace(-1, 1, 41)


def claims(count: int) -> tuple[FloatArray, np.random.Generator]:
    rng = np.random.default_rng(7)
    return rng.beta(0.7, 0.7, count), rng


def test_wilson_s_interval_is_the_published_one() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I."""
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):
        assert wilson(hits / count, count) == pytest.approx((low, high), abs=6e-5)


def test_bins_have_equal_mass_and_keep_claims_with_their_hits() -> None:
    made = equal_mass(np.array([0.9, 0.1, 0.2, 0.8]), np.array([True, False, False, True]), 2)
    assert [(part.count, part.observed) for part in made] == [(2, 0.0), (2, 1.0)]
    assert [part.claimed for part in made] == pytest.approx([0.15, 0.85])
    sizes = [part.count for part in equal_mass(np.linspace(0, 1, 100), np.ones(100, dtype=bool), 15)]
    assert sum(sizes) == 100 and max(sizes) - min(sizes) <= 1


def test_true_claims_err_no_more_than_by_chance_and_false_ones_do() -> None:
    said, rng = claims(20_000)
    honest, boastful = rng.random(len(said)) < said, rng.random(len(said)) < said**2
    expected = chance_error(said, 15)
    assert 0 < expected < 0.02
    assert calibration_error(said, honest, 15) < 2 * expected
    assert calibration_error(said, boastful, 15) == pytest.approx(float((said - said**2).mean()), abs=0.02)


def test_fewer_claims_than_bins_are_their_own_bins() -> None:
    assert calibration_error(np.array([0.25]), np.array([True]), 15) == 0.75


def test_an_error_s_interval_is_wider_where_claims_stick_together() -> None:
    said, rng = claims(4_000)
    alone = np.arange(4_000)
    in_lumps = alone // 200
    hits = np.repeat(rng.random(20) < 0.5, 200)
    lumpy, single = (calibration_error_interval(said, hits, which, 10) for which in (in_lumps, alone))
    assert lumpy.value == single.value
    assert lumpy.high - lumpy.low > 2 * (single.high - single.low)


@pytest.mark.parametrize("true", [0.8, 1.0, 1.37])
def test_the_temperature_that_sharpened_a_model_is_found_again(true: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(scale=2.0, size=(8_000, 12))
    tokens = (logits + rng.gumbel(size=logits.shape)).argmax(axis=-1)
    sharpened = logits * true
    losses = []
    for temperature in TEMPERATURES:
        scaled = sharpened / temperature
        losses.append(np.log(np.exp(scaled).sum(axis=-1)) - scaled[np.arange(len(tokens)), tokens])
    by_window = np.stack(losses, axis=-1).reshape(80, 100, -1).sum(axis=1)
    interval = temperature_interval(TEMPERATURES, by_window)
    assert interval.low <= true <= interval.high
    assert interval.high - interval.low < 0.1 * true


def test_the_least_of_a_parabola_lies_between_the_grid_s_points() -> None:
    losses = (np.log(TEMPERATURES) - np.log(1.234)) ** 2
    assert float(best_temperature(TEMPERATURES, losses)) == pytest.approx(1.234)
    assert float(best_temperature(TEMPERATURES, np.arange(41.0))) == pytest.approx(0.5)
