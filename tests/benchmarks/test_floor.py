"""The floor under pass times: what a pass must read and compute, and the rates that it is divided by."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.floor import multiplying, reading
from benchmarks.pass_shape import Work, work_of
from export.model import AsArm, ModelConfig, parameter_count

SMALL = ModelConfig(vocabulary=300, width=32, layers=2, heads=2, hidden=48)


def test_a_pass_reads_all_products_weights_and_its_caches_once() -> None:
    model = AsArm(SMALL)
    norms = sum(weight.numel() for name, weight in model.named_parameters() if "norm" in name)
    weights = parameter_count(model) - norms - model.head.offset.weight.numel()  # the embedding is the tied output matrix
    for past in (0, 10):
        exact, rounded = (work_of(SMALL, precision, 1, 1, past) for precision in ("float32", "int8"))
        kept = 2 * 3 * past * SMALL.width
        assert exact.bytes == 4 * weights + 4 * kept
        assert rounded.bytes == (1 + 4 / 64) * weights + 2 * kept
        assert exact.products == rounded.products == 2 * weights
        assert exact.attention == rounded.attention == 3 * 4 * SMALL.width * (past + 1)


def test_rows_of_either_kind_cost_what_they_run_through() -> None:
    one, content, slot = (work_of(SMALL, "float32", *rows, 10) for rows in ((1, 1), (2, 1), (1, 2)))
    assert content.bytes == slot.bytes == one.bytes
    trunk = 2 * (2 * (4 * 32**2 + 3 * 32 * 48) + 2 * 32**2)
    assert content.products - one.products == trunk
    assert slot.products - one.products == one.products - trunk


@pytest.mark.parametrize(("bytes_per_s", "expected"), [(1e6, 1000.0), (1e9, 50.0)])
def test_the_floor_is_the_longer_of_reading_and_computing(bytes_per_s: float, expected: float) -> None:
    assert Work(bytes=1e6, products=3e6, attention=1e6).milliseconds(bytes_per_s, 1e8, 5e7) == pytest.approx(expected)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_is_timed_is_what_is_counted(precision: str) -> None:
    case, operations = multiplying(3, precision)
    made = case()
    assert isinstance(made, list)
    assert operations == sum(2 * each.size * 256 for each in made)
    assert all(np.array_equal(each, made[0]) for each in made)
    assert reading(Work(bytes=4e3, products=0, attention=0))() == 1
