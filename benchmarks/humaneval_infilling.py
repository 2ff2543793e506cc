"""pass@1 on HumanEval-Infilling, the length of the answer unknown and told, and several holes filled jointly.

Each program with a fill runs in a child process without network, with 512 MiB and 3 seconds; it passes when its check comes to
the end. Before anything is filled, the authors' own programs must pass and broken ones must fail.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau
from tqdm import tqdm

from benchmarks import report
from benchmarks.failure_report import write_report
from benchmarks.infilling_runs import BUDGETS, Outcome, Runner, Way, by_task, multi_hole_ways, ways
from benchmarks.infilling_tasks import KINDS, MULTI_HOLE, SINGLE_LINE, InfillingTask, load_infilling_tasks
from benchmarks.intervals import FloatArray, Interval, bootstrap
from benchmarks.sandbox import Court, Verdict
from engine.errors import LacunaError
from engine.local import load_infiller

PAPER = 38.59  # single line, told the length, 110 million parameters: Guo & Ermon, arXiv 2504.20456, table of infilling results
_Z = 1.96
_SAMPLE = 20  # programs that the check of the sandbox runs before a benchmark; --self-check runs all
# Bodies that must fail: wrong answers, endless loops, and ways out before the check.
_BROKEN: Mapping[str, Sequence[Verdict]] = {
    "    raise ValueError\n": ("exception",),
    "    while True: pass\n": ("timeout",),
    "    import sys; sys.exit(0)\n": ("exception",),
    "    import os; os._exit(0)\n": ("exception",),
    "    return object()\n": ("wrong", "exception"),
    "    return (\n": ("syntax",),
}


@dataclass(frozen=True)
class Row:
    """Shares of tasks, seeds averaged within a task; intervals by a bootstrap over tasks."""

    kind: str
    way: str
    tasks: int
    seeds: int
    passed: Interval
    exact: Interval
    parses: Interval
    ended: Interval
    tokens: float
    verdicts: dict[str, int]


@dataclass(frozen=True)
class Pairing:
    """Joint filling against one after another on the same tasks: gain in passing, and in joint log-likelihood (nats) where both ended."""

    temperature: str
    tasks: int
    passing: Interval
    compared: int
    loglikelihood: Interval


@dataclass(frozen=True)
class Ranking:
    """Whether likelier alternatives pass more often.

    `within`: probability that of a passing and a failing fill of one task the passing one is the likelier (0.5: no relation), mean
    over the `tasks` that have both; `pooled`: Kendall's tau-b over all `fills`.
    """

    tasks: int
    fills: int
    within: Interval
    pooled: float


def mean(samples: FloatArray) -> FloatArray:
    """Mean over tasks of the first measurement."""
    result: FloatArray = np.asarray(samples[..., 0].mean(axis=-1))
    return result


def interval_of_share(values: FloatArray) -> Interval:
    """Of shares `[T, 1]` of T tasks: a bootstrap over tasks, or Wilson's bounds where all or none count, which no resampling can doubt."""
    found = bootstrap(mean, values)
    if found.low < found.high:
        return found
    margin = _Z**2 / (len(values) + _Z**2)
    return Interval(found.value, 0.0, margin) if found.value == 0 else Interval(found.value, 1 - margin, 1.0) if found.value == 1 else found


def summarise(kind: str, way: Way, outcomes: Sequence[Outcome]) -> Row:
    groups = list(by_task(outcomes))

    def share(figure: str) -> Interval:
        values = [[np.mean([_flag(outcome, figure) for outcome in group])] for group in groups]
        return interval_of_share(np.array(values, dtype=np.float64))

    verdicts: dict[str, int] = {}
    for outcome in outcomes:
        verdicts[outcome.verdict] = verdicts.get(outcome.verdict, 0) + 1
    tokens = float(np.mean([outcome.filled.tokens for outcome in outcomes]))
    return Row(
        kind, way.name, len(groups), len(way.seeds), share("passed"), share("exact"), share("parses"), share("ended"), tokens, verdicts
    )


def _flag(outcome: Outcome, figure: str) -> bool:
    return outcome.filled.texts is not None if figure == "ended" else bool(getattr(outcome, figure))


def pair(runner: Runner, temperature: str, joint: Sequence[Outcome], single: Sequence[Outcome]) -> Pairing:
    """Both ways' outcomes have the same tasks and seeds in the same order."""
    passing: dict[str, list[float]] = {}
    gains: dict[str, list[float]] = {}
    for ours, theirs in zip(joint, single, strict=True):
        passing.setdefault(ours.task.name, []).append(float(ours.passed) - float(theirs.passed))
        if ours.filled.texts is None or theirs.filled.texts is None:
            continue
        likelihoods = [runner.joint_logprob(ours.task, each.filled.texts) for each in (ours, theirs) if each.filled.texts is not None]
        if None not in likelihoods:
            first, second = (value for value in likelihoods if value is not None)
            gains.setdefault(ours.task.name, []).append(first - second)
    none = Interval(float("nan"), float("nan"), float("nan"))
    gain = bootstrap(mean, np.array([[np.mean(each)] for each in gains.values()])) if gains else none
    return Pairing(temperature, len(passing), bootstrap(mean, np.array([[np.mean(each)] for each in passing.values()])), len(gains), gain)


def rank(outcomes: Sequence[Outcome]) -> Ranking | None:
    """None where no task has both a passing and a failing fill."""
    scores = []
    for group in by_task(outcomes):
        passing = np.array([outcome.filled.logprob for outcome in group if outcome.passed])
        failing = np.array([outcome.filled.logprob for outcome in group if not outcome.passed])
        if len(passing) and len(failing):
            likelier = (passing[:, None] > failing).mean() + 0.5 * (passing[:, None] == failing).mean()
            scores.append([likelier])
    if not scores:
        return None
    pooled = kendalltau([outcome.filled.logprob for outcome in outcomes], [outcome.passed for outcome in outcomes]).statistic
    return Ranking(len(scores), len(outcomes), bootstrap(mean, np.array(scores)), float(pooled))


def self_check(tasks: Sequence[InfillingTask], court: Court) -> tuple[int, int]:
    """Run the authors' programs and broken ones; the numbers of both.

    Raises LacunaError unless all of the former pass and each of the latter fails as it should.
    """
    programs = list({task.name.rpartition("/")[0]: task for task in tasks}.values())
    whole = [(task, court.submit(task.program(task.expected), task.check)) for task in programs]
    broken = []
    for number, task in enumerate(programs):
        # What is appended defines the function anew, so that the check meets the broken body.
        body, allowed = list(_BROKEN.items())[number % len(_BROKEN)]
        source = task.program(task.expected) + f"\n\ndef {task.entry_point}(*args, **kwargs):\n{body}"
        broken.append((task, allowed, court.submit(source, task.check)))
    for task, verdict in whole:
        if verdict.result() != "passed":
            raise LacunaError(
                f"the sandbox says {verdict.result()!r} of the author's own program of {task.name}; no figure would mean anything"
            )
    for task, allowed, verdict in broken:
        if verdict.result() not in allowed:
            raise LacunaError(f"the sandbox says {verdict.result()!r} of a broken program of {task.name}; no figure would mean anything")
    return len(whole), len(broken)


def plot(rows: Sequence[Row]) -> Figure:
    """pass@1 of every way, a panel for each kind of task."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    figure = Figure(figsize=(8, 1.0 + 0.36 * len(rows) + 0.4 * len(kinds)), layout="constrained")
    heights = [sum(row.kind == kind for row in rows) for kind in kinds]
    for axes, kind in zip(figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights).flatten(), kinds, strict=True):
        shown = [row for row in rows if row.kind == kind]
        values = [100 * row.passed.value for row in shown]
        errors = 100 * np.array([(row.passed.value - row.passed.low, row.passed.high - row.passed.value) for row in shown]).T
        axes.barh(range(len(shown)), values, xerr=errors, capsize=3, height=0.65)
        axes.set_yticks(range(len(shown)), [row.way for row in shown], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlim(0, max(1.0, 110 * max(row.passed.high for row in shown)))
        axes.set_title(kind, fontsize=9, loc="left")
    figure.suptitle("pass@1 in percent, 95% bootstrap intervals over tasks", fontsize=10)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("humaneval_infilling", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with the benchmark's .jsonl.gz files")
    parser.add_argument("--tasks", type=int, metavar="N", help="a random sample of N tasks of each kind (default: all)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds of the drawn fills (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of tasks (default: all)")
    parser.add_argument(
        "--alternatives",
        type=int,
        default=0,
        metavar="N",
        help="draw N alternatives of each single line, to see whether likelier ones pass",
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write all fills and verdicts there, as a page to browse")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="programs that run at once (default: %(default)s)")
    parser.add_argument("--self-check", action="store_true", help="only check the sandbox, on all programs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    arguments = parser.parse_args(argv)
    count = 4 if arguments.quick else arguments.tasks
    for name in ("seeds", "workers"):
        if getattr(arguments, name) < 1:
            raise LacunaError(f"--{name} must be at least 1, not {getattr(arguments, name)}")
    court = Court(arguments.workers)
    try:
        everything = load_infilling_tasks(arguments.data, SINGLE_LINE, None, 0)
        if arguments.self_check:
            whole, broken = self_check(everything, court)
            print(f"sandbox: {whole} of {whole} programs by their authors pass, 0 of {broken} broken ones")
            return 0
        sample = min(4 if arguments.quick else _SAMPLE, len(everything))
        self_check(random.Random(0).sample(everything, sample), court)
        return _measure(arguments.model, arguments, count, court)
    finally:
        court.close()


def _measure(model: Path | None, arguments: argparse.Namespace, count: int | None, court: Court) -> int:
    infiller = load_infiller(model)
    seeds = 1 if arguments.quick else arguments.seeds
    tasks = {kind: load_infilling_tasks(arguments.data, kind, count, 0) for kind in arguments.only}
    plans = {kind: multi_hole_ways(seeds) if kind == MULTI_HOLE else ways(seeds) for kind in arguments.only}
    drawn = arguments.alternatives and SINGLE_LINE in tasks
    total = sum(len(tasks[kind]) * len(way.seeds) for kind in tasks for way in plans[kind]) + (len(tasks[SINGLE_LINE]) if drawn else 0)
    rows: list[Row] = []
    pairings: list[Pairing] = []
    outcomes: list[Outcome] = []
    ranking = None
    with tqdm(total=total, unit="fill", desc="filling") as bar:
        runner = Runner(infiller, court, bar.update)
        for kind, chosen in tasks.items():
            found = {way.name: runner.run(chosen, way) for way in plans[kind]}
            rows += [summarise(kind, way, found[way.name]) for way in plans[kind]]
            outcomes += [outcome for each in found.values() for outcome in each]
            if kind == MULTI_HOLE:
                for temperature in ("greedy", "temperature 0.2"):
                    joint, single = found[f"jointly, {temperature}"], found[f"one after another, {temperature}"]
                    pairings.append(pair(runner, temperature, joint, single))
        if drawn:
            alternatives = runner.alternatives(tasks[SINGLE_LINE], arguments.alternatives)
            outcomes += alternatives
            ranking = rank(alternatives)
    settings = {
        "model": infiller.model_name,
        "parameters": infiller.manifest.parameters,
        "provider": infiller.provider,
        "budgets": BUDGETS,
        "paper_single_line_told_percent": PAPER,
        "pairings": [asdict(each) for each in pairings],
        "ranking": ranking and asdict(ranking),
    }
    if arguments.json:
        print(json.dumps({"settings": settings, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        _print(infiller.model_name, rows, pairings, ranking)
    if arguments.report:
        try:
            write_report(arguments.report, f"HumanEval-Infilling, {infiller.model_name}", outcomes)
        except OSError as error:
            raise LacunaError(f"the report can't be written to {arguments.report} ({error.strerror}); name another folder") from None
    report.write(report.folder(arguments), "humaneval_infilling", settings, [asdict(row) for row in rows], plot(rows))
    return 0


def _print(model: str, rows: Sequence[Row], pairings: Sequence[Pairing], ranking: Ranking | None) -> None:
    for kind in dict.fromkeys(row.kind for row in rows):
        shown = [row for row in rows if row.kind == kind]
        lines = [
            (row.way, *(_percent(each) for each in (row.passed, row.exact, row.parses, row.ended)), f"{row.tokens:.1f}") for row in shown
        ]
        if kind == SINGLE_LINE:
            lines.append(("the paper's 110M model, told the length (as reported)", f"{PAPER}", "", "", "", ""))
        report.print_table(
            f"{kind}: {shown[0].tasks} tasks, {max(row.seeds for row in shown)} seeds where drawn, {model}; percent [95% over tasks]",
            ("", "pass@1", "word for word", "program parses", "fill ends", "tokens, mean"),
            lines,
        )
    for each in pairings:
        print(
            f"jointly less one after another, {each.temperature}: pass@1 {_percent(each.passing)} points over {each.tasks} tasks; "
            f"joint log-likelihood {each.loglikelihood:.2f} nats over the {each.compared} tasks where both ended"
        )
    if ranking is not None:
        print(
            f"alternatives: of a passing and a failing one, the passing one is likelier in {_percent(ranking.within)}% "
            f"({ranking.tasks} tasks that have both); Kendall's tau-b over all {ranking.fills} fills {ranking.pooled:.2f}"
        )


def _percent(interval: Interval) -> str:
    return f"{Interval(100 * interval.value, 100 * interval.low, 100 * interval.high):.1f}"


if __name__ == "__main__":
    raise SystemExit(report.run(main))
