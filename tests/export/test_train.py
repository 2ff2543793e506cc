"""Training: it learns, it goes on where it stopped, and it refuses what it can't go on with."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.errors import LacunaError
from export import train as training
from export.corpus import load
from export.examples import IGNORED, Windows
from export.plots import read_metrics
from export.train import CHECKPOINT, METRICS, TOKENIZER, draft_rows, load_checkpoint, prepare_tokenizer, rate_at, train
from tests.export.workshop import RECIPE, StepClock


def steps(run: Path) -> list[dict[str, float]]:
    return [record for record in read_metrics(run / METRICS) if "loss" in record]


def test_the_loss_falls_and_the_run_is_kept(tiny_run: Path) -> None:
    losses = [record["loss"] for record in steps(tiny_run)]
    assert len(losses) == 60
    assert sum(losses[-3:]) / 3 < losses[0] - 0.5
    assert all((tiny_run / name).stat().st_size for name in (CHECKPOINT, TOKENIZER, "loss.png"))
    checks = [record for record in read_metrics(tiny_run / METRICS) if "hole_bits_per_byte" in record]
    assert checks and all(check["hole_bits_per_byte"] > 0 for check in checks)
    state = load_checkpoint(tiny_run)
    assert state["step"] == len(losses)
    assert state["recipe"] == dataclasses.asdict(RECIPE)


def test_a_resumed_run_equals_an_uninterrupted_one(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "time", StepClock())
    monkeypatch.setattr(training, "rate_at", lambda step, progress, recipe: 1.0)
    monkeypatch.setattr(training, "plot_training", lambda metrics, out: None)
    train(tiny_corpus, tmp_path / "whole", RECIPE, minutes=6 / 60)
    train(tiny_corpus, tmp_path / "parts", RECIPE, minutes=3 / 60)
    train(tiny_corpus, tmp_path / "parts", RECIPE, minutes=6 / 60)
    assert [record["step"] for record in steps(tmp_path / "parts")] == [1, 2, 3, 4, 5, 6]
    assert [record["loss"] for record in steps(tmp_path / "parts")] == [record["loss"] for record in steps(tmp_path / "whole")]
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    for name, weight in whole["model"].items():
        torch.testing.assert_close(parts["model"][name], weight, atol=1e-6, rtol=0)


def test_an_example_depends_on_seed_and_number_alone(tiny_corpus: Path, tiny_run: Path) -> None:
    files = load(tiny_corpus, "train")
    tokenizer = prepare_tokenizer(tiny_run, files, RECIPE.model.vocabulary)
    windows = Windows(files, tokenizer, RECIPE.rows, RECIPE.seed)
    first = [windows[index] for index in range(8)]
    again = Windows(files, tokenizer, RECIPE.rows, RECIPE.seed)
    for index in reversed(range(8)):
        assert all(torch.equal(a, b) for a, b in zip(again[index], first[index], strict=True))
    other = Windows(files, tokenizer, RECIPE.rows, RECIPE.seed + 1)
    assert any(not torch.equal(other[index][0], first[index][0]) for index in range(8))


def test_draft_rows_ask_for_later_rows_and_never_for_padding() -> None:
    ids = torch.arange(3 * 64).view(3, 64)
    meta = torch.tensor([[10, 5, 64], [10, 5, 40], [3, 0, 9]])
    sources, targets, labels = draft_rows(meta, ids + 1000, ids, 8, torch.Generator().manual_seed(0))
    ahead = targets - 1000 - ids.gather(1, sources)
    assert ((ahead >= 2) & (ahead <= 8)).all()
    row = sources + ahead
    expected = torch.where(row < meta[:, 2:3], ids.gather(1, row), IGNORED)
    assert torch.equal(labels, expected)


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = dataclasses.replace(RECIPE, warmup=4, decay=0.5)
    assert rate_at(0, 0.0, recipe) == 0.25
    assert rate_at(100, 0.4, recipe) == 1.0
    assert rate_at(100, 0.75, recipe) == 0.5
    assert rate_at(100, 1.0, recipe) == 0.0


def test_another_recipe_is_refused(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(LacunaError, match="was trained by another recipe"):
        train(tiny_corpus, run, dataclasses.replace(RECIPE, seed=2), minutes=1)
    larger = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, vocabulary=320))
    with pytest.raises(LacunaError, match="entries but the recipe wants 320"):
        train(tiny_corpus, run, larger, minutes=1)


def test_a_damaged_or_missing_checkpoint_is_refused(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    whole = (run / CHECKPOINT).read_bytes()
    (run / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LacunaError, match="is damaged"):
        train(tiny_corpus, run, RECIPE, minutes=1)
    with pytest.raises(LacunaError, match="there is no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    state = load_checkpoint(run)
    state["model"]["embedding.weight"][:] = float("nan")
    torch.save(state, run / CHECKPOINT)
    before = (run / CHECKPOINT).read_bytes()
    with pytest.raises(LacunaError, match="the loss at step"):
        train(tiny_corpus, run, RECIPE, minutes=2)
    assert (run / CHECKPOINT).read_bytes() == before


def test_metrics_are_json_lines(tiny_run: Path) -> None:
    for line in (tiny_run / METRICS).read_text(encoding="utf-8").splitlines():
        assert {"step", "seconds", "tokens"} <= set(json.loads(line))
