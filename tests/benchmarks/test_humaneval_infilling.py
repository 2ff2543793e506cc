"""The infilling benchmark, on programs made up here: tasks, ways to fill, figures and the report."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import humaneval_infilling as benchmark
from benchmarks.failure_report import write_report
from benchmarks.humaneval_infilling import interval_of_share, pair, rank, self_check, summarise
from benchmarks.infilling_runs import Filled, Outcome, Runner, Way, ways
from benchmarks.infilling_tasks import MULTI_HOLE, RANDOM_SPAN, SINGLE_LINE, InfillingTask, load_infilling_tasks
from benchmarks.sandbox import Court, Verdict
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions

BODY = ["    total = 0\n", "    for value in values:\n", "        total = total + value\n", "    return total\n"]


def records(program: int) -> Iterator[dict[str, str]]:
    name = f"add_up{program}"
    head = f'def {name}(values):\n    """The sum of <values> & more."""\n'
    test = f"def check(f):\n    assert f([1, 2, {program}]) == {3 + program}\n    assert f([]) == 0\n"
    for number, line in enumerate(BODY):
        yield {
            "task_id": f"SingleLineInfilling/HumanEval/{program}/L{number}",
            "entry_point": name,
            "prompt": head + "".join(BODY[:number]),
            "suffix": "".join(BODY[number + 1 :]),
            "canonical_solution": line,
            "test": test,
        }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    lines = [json.dumps(record) for program in range(6) for record in records(program)]
    for name in ("HumanEval-SingleLineInfilling.jsonl.gz", "HumanEval-RandomSpanInfillingLight.jsonl.gz"):
        with gzip.open(folder / name, "wt", encoding="utf-8") as file:
            file.write("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def infiller() -> LocalInfiller:
    return load_infiller()


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    made = Court(2)
    yield made
    made.close()


def outcome(task: InfillingTask, passed: bool, logprob: float, texts: tuple[str, ...] | None = ("x",)) -> Outcome:
    verdict: Verdict = "passed" if passed else "incomplete" if texts is None else "wrong"
    return Outcome(task, "way", 1, Filled(texts, logprob, 3), verdict, texts is not None, False)


def test_tasks_are_read_and_sampled_by_seed(data: Path) -> None:
    tasks = load_infilling_tasks(data, SINGLE_LINE, None, 0)
    assert len(tasks) == 24
    assert tasks[1].program(tasks[1].expected) == tasks[2].program(tasks[2].expected)
    sample = load_infilling_tasks(data, SINGLE_LINE, 5, 1)
    assert sample == load_infilling_tasks(data, SINGLE_LINE, 5, 1)
    assert sample != load_infilling_tasks(data, SINGLE_LINE, 5, 2)


def test_several_lines_are_masked_at_once(data: Path) -> None:
    tasks = load_infilling_tasks(data, MULTI_HOLE, None, 0)
    assert len(tasks) == 12
    whole = load_infilling_tasks(data, SINGLE_LINE, None, 0)[0]
    for task in tasks:
        assert 2 <= len(task.expected) <= 4
        assert set(task.expected) <= set(BODY)
    assert tasks[0].program(tasks[0].expected) == whole.program(whole.expected)
    assert len({task.name for task in tasks}) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not gzip", "can't be read"),
        (gzip.compress(b""), "holds no task"),
        (gzip.compress(b"{]\n"), "line 1 .* is no JSON"),
        (gzip.compress(b'{"task_id": "a"}\n'), "has no text in its field entry_point"),
        (gzip.compress(b"x" * 9999)[:-9], "can't be read"),
    ],
)
def test_damaged_data_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "HumanEval-SingleLineInfilling.jsonl.gz").write_bytes(content)
    with pytest.raises(LacunaError, match=message):
        load_infilling_tasks(tmp_path, SINGLE_LINE, None, 0)


def test_missing_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="there is no HumanEval-RandomSpan"):
        load_infilling_tasks(tmp_path, RANDOM_SPAN, None, 0)
    with pytest.raises(LacunaError, match="at least 1, not 0"):
        load_infilling_tasks(tmp_path, SINGLE_LINE, 0, 0)


def test_the_authors_programs_pass_and_broken_ones_fail(data: Path, court: Court) -> None:
    assert self_check(load_infilling_tasks(data, SINGLE_LINE, None, 0), court) == (6, 6)


def test_a_sandbox_that_passes_everything_is_noticed(data: Path, court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = court.submit("pass", "pass")
    monkeypatch.setattr(court, "submit", lambda program, check: passing)
    with pytest.raises(LacunaError, match="says 'passed' of a broken program"):
        self_check(load_infilling_tasks(data, SINGLE_LINE, None, 0), court)


@pytest.mark.parametrize("way", ways(1), ids=lambda way: way.name)
def test_every_way_fills_and_is_judged(way: Way, data: Path, infiller: LocalInfiller, court: Court) -> None:
    tasks = load_infilling_tasks(data, SINGLE_LINE, 3, 0)
    calls: list[int] = []
    outcomes = Runner(infiller, court, lambda: calls.append(1)).run(tasks, way)
    assert len(outcomes) == len(calls) == 3
    again = Runner(infiller, court, lambda: None).run(tasks, way)
    assert [each.filled.texts for each in outcomes] == [each.filled.texts for each in again]
    # The second time prompts are known already, which differs by rounding.
    assert [each.filled.logprob for each in outcomes] == pytest.approx([each.filled.logprob for each in again], abs=1e-3)
    for each in outcomes:
        assert (each.verdict == "incomplete") == (each.filled.texts is None)
        if way.mode == "told":
            assert each.filled.tokens == infiller.count_tokens(each.task.expected[0])
            assert each.filled.texts is not None


def test_one_after_another_hides_the_later_holes(
    data: Path, infiller: LocalInfiller, court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_infilling_tasks(data, MULTI_HOLE, None, 0)[0]
    seen: list[tuple[str, ...]] = []
    seeds: list[int | None] = []

    def author(runner: Runner, single: InfillingTask, options: FillOptions) -> Filled:
        seen.append(single.pieces)
        seeds.append(options.seed)
        return Filled(single.expected, -1.0, 2)

    monkeypatch.setattr(Runner, "_unknown", author)
    (done,) = Runner(infiller, court, lambda: None).run([task], Way("single", "one by one", 0.0, (0,)))
    assert done.passed and done.exact
    assert done.filled.logprob == -len(task.expected)
    assert len(set(seeds)) == len(task.expected)  # one seed for all would tie the holes' draws to each other
    for number, pieces in enumerate(seen):
        assert pieces[0] == "".join(p + e for p, e in zip(task.pieces[:number], task.expected[:number], strict=True)) + task.pieces[number]
        assert pieces[1] == "".join(task.pieces[number + 1 :])


def test_the_joint_likelihood_is_that_of_the_joint_fill(data: Path, infiller: LocalInfiller, court: Court) -> None:
    runner = Runner(infiller, court, lambda: None)
    task = load_infilling_tasks(data, MULTI_HOLE, None, 0)[0]
    assert (runner.joint_logprob(task, task.expected) or 0.0) < 0.0
    assert runner.joint_logprob(task, ["x = 1\n" * 100] * len(task.expected)) is None


def test_tasks_and_seeds_draw_independently(data: Path, infiller: LocalInfiller, court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int | None] = []

    def silent(runner: Runner, task: InfillingTask, options: FillOptions) -> Filled:
        seeds.append(options.seed)
        return Filled(None, 0.0, 0)

    monkeypatch.setattr(Runner, "_unknown", silent)
    tasks = load_infilling_tasks(data, SINGLE_LINE, 5, 0)
    Runner(infiller, court, lambda: None).run(tasks, Way("drawn", "unknown", 0.2, (1, 2)))
    assert len(set(seeds)) == 10


def test_seeds_of_a_task_stay_together(data: Path) -> None:
    tasks = load_infilling_tasks(data, SINGLE_LINE, 4, 0)
    outcomes = [outcome(task, passed=index < 2, logprob=-1.0) for _ in range(3) for index, task in enumerate(tasks)]
    row = summarise(SINGLE_LINE, Way("way", "unknown", 0.2, (1, 2, 3)), outcomes)
    assert (row.tasks, row.passed.value, row.verdicts) == (4, 0.5, {"passed": 6, "wrong": 6})
    assert row.passed.low < 0.2 and row.passed.high > 0.8  # four tasks, not twelve fills


def test_none_of_a_few_tasks_is_not_none_at_all() -> None:
    none, every = interval_of_share(np.zeros((164, 1))), interval_of_share(np.ones((164, 1)))
    assert (none.value, none.low, round(none.high, 4)) == (0.0, 0.0, 0.0229)  # Wilson's bound for 0 of 164
    assert (every.value, round(every.low, 4), every.high) == (1.0, 0.9771, 1.0)


def test_pairs_gain_where_the_joint_fill_passes(data: Path, infiller: LocalInfiller, court: Court) -> None:
    tasks = load_infilling_tasks(data, MULTI_HOLE, None, 0)
    runner = Runner(infiller, court, lambda: None)
    joint = [outcome(task, passed=True, logprob=0.0, texts=task.expected) for task in tasks]
    single = [outcome(task, passed=False, logprob=0.0, texts=None) for task in tasks]
    found = pair(runner, "greedy", joint, single)
    assert (found.passing.value, found.compared) == (1.0, 0)
    assert np.isnan(found.loglikelihood.value)
    assert pair(runner, "greedy", joint, joint).loglikelihood.value == pytest.approx(0.0, abs=1e-3)


def test_ranking_by_likelihood(data: Path) -> None:
    tasks = load_infilling_tasks(data, SINGLE_LINE, 6, 0)
    better = [each for task in tasks for each in (outcome(task, True, -1.0), outcome(task, False, -2.0), outcome(task, False, -3.0))]
    found = rank(better)
    assert found is not None
    assert (found.tasks, found.fills, found.within.value) == (6, 18, 1.0)
    assert found.pooled > 0.5
    assert rank([each for each in better if each.passed]) is None


def test_the_report_holds_everything_and_runs_nothing_of_it(tmp_path: Path, data: Path) -> None:
    tasks = load_infilling_tasks(data, SINGLE_LINE, 2, 0)
    texts = ("</pre><script>alert(1)</script>",)
    write_report(tmp_path / "report", "A & B", [outcome(tasks[0], False, -2.5, texts), outcome(tasks[1], False, -1.0, None)])
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "A &amp; B" in page and "&lt;values&gt; &amp; more" in page
    assert "http" not in page
    lines = [json.loads(line) for line in (tmp_path / "report" / "outcomes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["got"] for line in lines] == [list(texts), None]
    assert [line["verdict"] for line in lines] == ["wrong", "incomplete"]


def test_a_folder_with_few_tasks_can_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gzip.open(tmp_path / "HumanEval-SingleLineInfilling.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(next(records(1))))
    monkeypatch.setattr(benchmark, "_measure", lambda *arguments: 0)
    assert benchmark.main(["--data", str(tmp_path), "--only", SINGLE_LINE]) == 0


@pytest.mark.slow
def test_a_quick_run_leaves_figures_and_a_report(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments: list[Any] = [
        "--data",
        str(data),
        "--quick",
        "--alternatives",
        "3",
        "--out",
        str(tmp_path),
        "--report",
        str(tmp_path / "report"),
    ]
    assert benchmark.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "38.59" in shown and "pass@1" in shown and "jointly less one after another" in shown
    record = json.loads((tmp_path / "quick" / "humaneval_infilling.json").read_text(encoding="utf-8"))
    assert {row["kind"] for row in record["rows"]} == {"single-line", "random-span", "multi-hole"}
    assert (tmp_path / "report" / "index.html").stat().st_size
