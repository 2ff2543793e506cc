"""Training: it learns, it goes on where it stopped, portions and processes don't matter, and it refuses what it can't go on with."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import LacunaError
from export import train as training
from export.corpus import load
from export.examples import Windows
from export.parallel import Team
from export.plots import read_metrics
from export.train import CHECKPOINT, METRICS, TOKENIZER, MicroBatches, State, load_checkpoint, load_lines, rate_at, train
from tests.export.workshop import RECIPE, rows

ROOT = Path(__file__).parents[2]


def steps(run: Path) -> list[dict[str, float]]:
    return [record for record in read_metrics(run / METRICS) if "loss" in record]


def same_weights(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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


def test_the_average_lags_behind_the_weights_and_both_are_kept(tiny_run: Path) -> None:
    state = load_checkpoint(tiny_run)
    assert state["model"].keys() == state["weights"].keys()
    assert not same_weights(state["model"], state["weights"])


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "plot_training", lambda metrics, out: None)
    monkeypatch.setattr(training, "rate_at", lambda step, reached, recipe: 1.0)  # the parts have fewer steps to plan for
    train(tiny_corpus, tmp_path / "whole", RECIPE, rows(6))
    train(tiny_corpus, tmp_path / "parts", RECIPE, rows(3))
    train(tiny_corpus, tmp_path / "parts", RECIPE, rows(6))
    assert [record["step"] for record in steps(tmp_path / "parts")] == [1, 2, 3, 4, 5, 6]
    assert [record["loss"] for record in steps(tmp_path / "parts")] == [record["loss"] for record in steps(tmp_path / "whole")]
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert same_weights(whole["weights"], parts["weights"])
    assert same_weights(whole["model"], parts["model"])


def test_a_signal_stops_cleanly_and_the_run_goes_on_bit_for_bit(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_corpus, tmp_path / "whole", RECIPE, rows(5))
    taken = State.update

    def update(state: State, rate: float) -> None:
        taken(state, rate)
        if state.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(State, "update", update)
        train(tiny_corpus, tmp_path / "parts", RECIPE, rows(5))
    assert load_checkpoint(tmp_path / "parts")["step"] == 2
    assert "stopped at step 2 of 5" in capsys.readouterr().out
    train(tiny_corpus, tmp_path / "parts", RECIPE, rows(5))
    whole, parts = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "parts")
    assert parts["step"] == 5
    assert same_weights(whole["weights"], parts["weights"])
    assert same_weights(whole["model"], parts["model"])


def test_processes_make_the_lines_that_one_makes(tiny_corpus: Path, tiny_run: Path) -> None:
    tokenizer = training.prepare_tokenizer(tiny_run, (), RECIPE.model.vocabulary)
    windows = Windows(load(tiny_corpus, "train"), tokenizer, RECIPE.rows, RECIPE.seed)
    cpu = torch.device("cpu")
    numbers = MicroBatches(3, 4, 3, Team(0, 1, cpu))
    taken = [list(itertools.islice(load_lines(windows, RECIPE.furthest, numbers, workers, cpu), 6)) for workers in (0, 2)]
    for (batch, drafts), (other, others) in zip(*taken, strict=True):
        assert all(torch.equal(a, b) for a, b in zip((*batch, *drafts), (*other, *others), strict=True))
    assert [len(batch.ids) for batch, _ in taken[0]] == [3, 1, 3, 1, 3, 1]
    lines = [windows[index] for index in range(12, 15)]
    assert all(torch.equal(part, torch.stack(parts)) for part, *parts in zip(taken[0][0][0], *lines, strict=True))


def test_windows_sent_to_another_process_take_marks_for_text(tiny_corpus: Path, tiny_run: Path) -> None:
    tokenizer = training.prepare_tokenizer(tiny_run, (), RECIPE.model.vocabulary)
    sent = pickle.loads(pickle.dumps(Windows(load(tiny_corpus, "train"), tokenizer, RECIPE.rows, RECIPE.seed)))
    assert sent.tokenizer.encode("a<eoh>b").ids == tokenizer.encode("a<eoh>b").ids


def test_portions_add_up_to_the_whole_batch(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients: list[torch.Tensor] = []
    monkeypatch.setattr(State, "update", lambda state, rate: _keep_gradient(state, gradients))
    for micro in (None, 3, 1):
        train(tiny_corpus, tmp_path / f"run-{micro}", RECIPE, rows(1), micro=micro)
    whole, *portioned = gradients
    for portions in portioned:
        assert float((portions - whole).norm()) < 0.02 * float(whole.norm())  # bfloat16 sums in another order


def _keep_gradient(state: State, kept: list[torch.Tensor]) -> None:
    kept.append(torch.cat([parameter.grad.flatten() for parameter in state.model.parameters() if parameter.grad is not None]))
    state.step += 1


def test_two_processes_under_torchrun_do_what_one_does(tiny_corpus: Path, tmp_path: Path) -> None:
    train(tiny_corpus, tmp_path / "one", RECIPE, rows(3))
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport torch\nfrom export.train import train\n"
        "from tests.export.workshop import RECIPE, rows\ntorch.set_num_threads(1)\n"
        "train(Path(sys.argv[1]), Path(sys.argv[2]), RECIPE, rows(3))\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(tiny_corpus), str(tmp_path / "two")], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = steps(tmp_path / "one"), steps(tmp_path / "two")
    assert [record["step"] for record in two] == [1, 2, 3]
    assert [record["loss"] for record in two] == pytest.approx([record["loss"] for record in one], abs=5e-3)


def test_a_batch_that_cannot_be_shared_is_refused(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "join_team", lambda: _Team(3))
    with pytest.raises(LacunaError, match="3 processes can't share the recipe's batch of 4 lines"):
        train(tiny_corpus, tmp_path / "run", RECIPE, rows(1))


class _Team:
    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> _Team:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def test_the_rate_rises_stays_and_falls() -> None:
    recipe = dataclasses.replace(RECIPE, warmup=4, decay=0.5)
    assert [rate_at(step, step / 100, recipe) for step in (0, 3, 40, 75, 100)] == [0.25, 1.0, 1.0, 0.5, 0.0]


def test_a_goal_in_minutes_is_met_by_the_clock_and_the_rate_with_it(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = itertools.count(100.0, 2.0)  # a reading at the start, one before the first step, and one after each
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr("time.perf_counter", itertools.count(0.0, 2.0).__next__)
    recipe = dataclasses.replace(RECIPE, warmup=1, decay=0.5)
    train(tiny_corpus, tmp_path / "run", recipe, minutes=20 / 60)
    assert [record["rate"] for record in steps(tmp_path / "run")] == pytest.approx([1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert [record["seconds"] for record in steps(tmp_path / "run")] == [4, 6, 8, 10, 12, 14, 16, 18, 20]
    assert {record["tokens_per_second"] for record in steps(tmp_path / "run")} == {rows(1) / 2}
    assert load_checkpoint(tmp_path / "run")["seconds"] == 20
    train(tiny_corpus, tmp_path / "run", recipe, minutes=30 / 60)
    assert [record["seconds"] for record in steps(tmp_path / "run")][9:] == [24, 26, 28, 30]


def test_a_run_whose_time_is_over_when_it_starts_has_one_step(tiny_corpus: Path, tmp_path: Path) -> None:
    train(tiny_corpus, tmp_path / "run", RECIPE, minutes=1e-6)
    assert load_checkpoint(tmp_path / "run")["step"] == 1


def test_a_new_run_may_start_from_another_ones_weights(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    still = dataclasses.replace(RECIPE, muon_rate=0.0, adam_rate=0.0, seed=9)
    train(tiny_corpus, tmp_path / "run", still, rows(1), start_from=tiny_run)
    assert (tmp_path / "run" / TOKENIZER).read_bytes() == (tiny_run / TOKENIZER).read_bytes()
    before, after = load_checkpoint(tiny_run)["model"], load_checkpoint(tmp_path / "run")["weights"]
    assert same_weights(before, after)
    other = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, layers=1))
    with pytest.raises(LacunaError, match="a model of another shape"):
        train(tiny_corpus, tmp_path / "other", other, rows(1), start_from=tiny_run)
    with pytest.raises(LacunaError, match="there is no checkpoint"):
        train(tiny_corpus, tmp_path / "none", RECIPE, rows(1), start_from=tmp_path / "nothing")


def test_another_recipe_is_refused(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(LacunaError, match="was trained by another recipe"):
        train(tiny_corpus, run, dataclasses.replace(RECIPE, seed=2), rows(60))
    (run / CHECKPOINT).unlink()
    larger = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, vocabulary=320))
    with pytest.raises(LacunaError, match="entries but the recipe wants 320"):
        train(tiny_corpus, run, larger, rows(60))


def test_a_damaged_or_missing_checkpoint_is_refused(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    whole = (run / CHECKPOINT).read_bytes()
    (run / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LacunaError, match="is damaged"):
        train(tiny_corpus, run, RECIPE, rows(60))
    with pytest.raises(LacunaError, match="there is no checkpoint"):
        load_checkpoint(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(tiny_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    state = load_checkpoint(run)
    state["weights"]["embedding.weight"][:] = float("nan")
    torch.save(state, run / CHECKPOINT)
    before = (run / CHECKPOINT).read_bytes()
    with pytest.raises(LacunaError, match="the loss at step 60 is nan"):
        train(tiny_corpus, run, RECIPE, rows(70))
    assert (run / CHECKPOINT).read_bytes() == before


def test_a_full_disk_keeps_the_last_checkpoint(tiny_corpus: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    before = (run / CHECKPOINT).read_bytes()

    def full(contents: object, path: Path) -> None:
        path.write_bytes(b"part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(LacunaError, match="can't be written to"):
        train(tiny_corpus, run, RECIPE, rows(61))
    assert (run / CHECKPOINT).read_bytes() == before
    assert not list(run.glob("*.new"))


def test_metrics_are_json_lines(tiny_run: Path) -> None:
    for line in (tiny_run / METRICS).read_text(encoding="utf-8").splitlines():
        assert {"step", "seconds", "tokens", "flops"} <= set(json.loads(line))
