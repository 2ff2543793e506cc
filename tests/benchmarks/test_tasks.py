"""Where the benchmarks' holes come from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.tasks import load_tasks
from engine.errors import LacunaError
from engine.infiller import Infiller


def test_own_files_give_tasks_that_fit_and_a_seed_gives_the_same_again(infiller: Infiller) -> None:
    source, tasks = load_tasks(None, infiller, 5, seed=3)
    assert source == "own files"
    assert len({task.name for task in tasks}) == 5
    for task in tasks:
        rows = sum(map(infiller.count_tokens, task.passage.pieces)) + sum(task.passage.budgets) + 2
        assert rows <= infiller.window
    assert load_tasks(None, infiller, 5, seed=3)[1] == tasks


def test_humaneval_tasks_are_read_from_the_folder(infiller: Infiller, tmp_path: Path) -> None:
    records = [{"task_id": f"t{number}", "prompt": "def f(x):\n", "suffix": "    return y\n"} for number in range(3)]
    with gzip.open(tmp_path / "HumanEval-SingleLineInfilling.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(map(json.dumps, records)))
    _, tasks = load_tasks(tmp_path, infiller, 10, seed=0)
    assert sorted(task.name for task in tasks) == ["t0", "t1", "t2"]
    assert tasks[0].passage.pieces == ("def f(x):\n", "    return y\n")


def test_a_folder_without_the_task_file_is_refused(infiller: Infiller, tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match=r"HumanEval-SingleLineInfilling\.jsonl\.gz"):
        load_tasks(tmp_path, infiller, 1, seed=0)


def test_no_tasks_are_refused(infiller: Infiller) -> None:
    with pytest.raises(LacunaError, match="at least 1"):
        load_tasks(None, infiller, 0, seed=0)
