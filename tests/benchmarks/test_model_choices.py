"""The comparison of training choices: equal compute, kept runs, and a table with a row for each arm."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import model_choices
from benchmarks.model_choices import COMPARISONS, Arm, Comparison, compare, rows_of
from export.model import AsArm
from export.utilisation import flops_per_row
from tests.export.workshop import RECIPE, write_corpus


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.name)
def test_all_arms_of_a_comparison_cost_the_same(comparison: Comparison) -> None:
    for arm in comparison.arms:
        flops = rows_of(arm, comparison.arms[0], 1e6) * flops_per_row(AsArm(arm.recipe.model), arm.recipe.rows)
        first = 1e6 * flops_per_row(AsArm(comparison.arms[0].recipe.model), arm.recipe.rows)
        assert flops == pytest.approx(arm.compute * first)


def test_a_comparison_pairs_the_arms_on_the_same_passages() -> None:
    first, second = Arm("first", RECIPE), Arm("second", RECIPE)
    sizes = np.array([10.0, 30.0, 60.0])
    noise = np.array([3.0, -2.0, 50.0])  # passages differ much more than arms do
    found = {("first", "all"): np.stack([sizes + noise, sizes + noise]), ("second", "all"): np.stack([1.5 * sizes + noise] * 2)}
    rows = compare(Comparison("pair", "?", (first, second), ("all",)), found, {"all": sizes})
    assert rows[0].bits_per_byte.value == pytest.approx(1.51)
    assert rows[0].worse_by is None
    worse = rows[1].worse_by
    assert worse is not None
    assert (worse.low, worse.value, worse.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.slow
def test_a_stopped_comparison_keeps_its_finished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    untied = replace(RECIPE, model=replace(RECIPE.model, tied=False))
    comparison = Comparison("output", "Tied?", (Arm("tied", RECIPE), Arm("its own", untied)), ("all", "told"))
    arguments = [str(corpus), str(tmp_path / "runs"), "--quick", "--seeds", "2", "--out", str(tmp_path)]
    assert model_choices.main(arguments, [comparison]) == 0
    assert "| its own" in capsys.readouterr().out
    record = json.loads((tmp_path / "quick" / "model_choices.json").read_text(encoding="utf-8"))
    assert [(row["arm"], len(row["seeds"])) for row in record["rows"]] == [("tied", 2), ("tied", 2), ("its own", 2), ("its own", 2)]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("checkpoint.pt")}
    assert len(before) == 4
    assert model_choices.main(arguments, [comparison]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("checkpoint.pt")}
