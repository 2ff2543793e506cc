"""How long a whole fill takes in an editor: one line missing from a full window, from the request to the ranked result.

Tokenising, the prompt's prefill, decoding and ranking are all in it; one suggestion is asked for. All precisions that the model
folder has take turns on each task, with the same seed. The target: at most 300 ms (median) on 2 cores with the int8 graph.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.intervals import Interval, bootstrap, median, ratio_of_sums
from benchmarks.tasks import BUDGET, OwnLine, Task, own_lines
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache

TARGET_MS = 300
FULL, QUANTISED = "float32", "int8"


@dataclass(frozen=True)
class Run:
    """One fill: milliseconds from request to result, of which the prefill took so many, its passes and its tokens."""

    elapsed_ms: float
    prefill_ms: float
    passes: int
    tokens: int


@dataclass(frozen=True)
class Row:
    """A precision's medians over all tasks, with 95% bootstrap intervals."""

    precision: str
    fill_ms: Interval
    prefill_ms: Interval
    passes: Interval
    tokens: Interval


def in_full_context(line: OwnLine, infiller: LocalInfiller) -> Task | None:
    """The line as a hole in as much of its file as the window takes, half before and half after; None in a smaller file.

    Cutting between tokens may split a character, which then makes a token or two more: None too.
    """
    room = infiller.window - BUDGET
    before, after = infiller.text.encode(line.text[: line.start]), infiller.text.encode(line.text[line.end :])
    if len(before) + len(after) < room:
        return None
    behind = min(len(after), max(room // 2, room - len(before)))
    head = infiller.text.decode(before[len(before) - (room - behind) :])
    tail = infiller.text.decode(after[:behind])
    if infiller.count_tokens(head) + infiller.count_tokens(tail) > room:
        return None
    ends = (len(before) == room - behind, len(after) == behind)
    return Task(line.name, Passage((head, tail), (BUDGET,), at_start=ends[0], at_end=ends[1]))


def load_full_tasks(infiller: LocalInfiller, count: int, seed: int) -> list[Task]:
    """`count` tasks drawn with `seed`. Raises LacunaError when that is not positive."""
    if count < 1:
        raise LacunaError(f"the number of tasks must be at least 1, not {count}")
    lines = list(own_lines())
    random.Random(seed).shuffle(lines)
    found: list[Task] = []
    for line in lines:
        if len(found) == count:
            break
        task = in_full_context(line, infiller)
        if task is not None:
            found.append(task)
    return found


def fill(infiller: LocalInfiller, task: Task, options: FillOptions) -> Run:
    infiller.prompts = PromptCache()  # the whole prompt is in the figure, whatever was asked before
    start = time.perf_counter()
    result = infiller.fill(task.passage, options)
    return Run((time.perf_counter() - start) * 1000, result.prefill_ms, result.passes, result.tokens)


def measure(infillers: Mapping[str, LocalInfiller], tasks: Sequence[Task], temperature: float, seed: int) -> dict[str, list[Run]]:
    """Every task on every precision, in turns."""
    runs: dict[str, list[Run]] = {name: [] for name in infillers}
    for infiller in infillers.values():  # the first passes of a session are slow: its memory is still being laid out
        fill(infiller, tasks[0], FillOptions(temperature=temperature, seed=seed))
    for number, task in enumerate(tasks):
        report.progress(f"task {number + 1} of {len(tasks)}")
        options = FillOptions(count=1, temperature=temperature, seed=seed + number)
        for name in list(infillers)[:: -1 if number % 2 else 1]:
            runs[name].append(fill(infillers[name], task, options))
    report.progress("")
    return runs


def summarise(precision: str, runs: Sequence[Run]) -> Row:
    def middle(field: str) -> Interval:
        return bootstrap(median, np.array([(getattr(run, field),) for run in runs], dtype=np.float64))

    return Row(precision, middle("elapsed_ms"), middle("prefill_ms"), middle("passes"), middle("tokens"))


def plot(runs: Mapping[str, Sequence[Run]], cores: int) -> Figure:
    """The share of fills that were done within a time, by precision."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name, some in runs.items():
        times = np.sort([run.elapsed_ms for run in some])
        axes.ecdf(times, label=f"{name}, median {np.median(times):.0f} ms")
    axes.axvline(TARGET_MS, color="0.5", linewidth=1, linestyle="--", label=f"target, median {TARGET_MS} ms")
    axes.set_xlim(left=0)
    axes.set_xlabel(f"whole fill of one line in a full window, ms ({cores} core{'s' if cores > 1 else ''})")
    axes.set_ylabel("share of fills done")
    axes.legend(loc="lower right")
    return figure


def usable_cores() -> int:
    """Cores that this process may run on, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("whole_fill", __doc__)
    parser.add_argument("--tasks", type=int, metavar="N", default=100, help="lines of this project's own files (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses the tasks and seeds the draws (default: %(default)s)")
    parser.add_argument("--temperature", type=float, metavar="T", default=FillOptions().temperature, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    first = load_infiller(arguments.model)
    infillers = {name: load_infiller(arguments.model, name) for name in first.manifest.graphs}
    tasks = load_full_tasks(first, 3 if arguments.quick else arguments.tasks, arguments.seed)
    rows_in_prompt = [sum(map(first.count_tokens, task.passage.pieces)) for task in tasks]
    runs = measure(infillers, tasks, arguments.temperature, arguments.seed)
    rows = [summarise(name, runs[name]) for name in infillers]
    cores = usable_cores()
    report.print_table(
        f"{len(tasks)} lines in {np.median(rows_in_prompt):.0f} tokens of context (median) and {BUDGET} slots, {first.model_name} on "
        f"{first.provider}, {cores} of {os.cpu_count()} cores; medians, 95% bootstrap intervals over tasks; target {TARGET_MS} ms",
        ("precision", "whole fill, ms", "prefill, ms", "passes", "tokens"),
        [(row.precision, f"{row.fill_ms:.0f}", f"{row.prefill_ms:.1f}", f"{row.passes:.1f}", f"{row.tokens:.1f}") for row in rows],
    )
    settings = {
        "tasks": len(tasks),
        "context_tokens": float(np.median(rows_in_prompt)),
        "budget": BUDGET,
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "model": first.model_name,
        "provider": first.provider,
        "cores": cores,
        "target_ms": TARGET_MS,
    }
    if FULL in runs and QUANTISED in runs:
        pairs = np.array([(slow.elapsed_ms, fast.elapsed_ms) for slow, fast in zip(runs[FULL], runs[QUANTISED], strict=True)])
        ratio = bootstrap(ratio_of_sums, pairs)
        print(f"{FULL} takes {ratio:.2f} times as long as {QUANTISED} in all.")
        settings["time_ratio"] = asdict(ratio)
    report.write(report.folder(arguments), "whole_fill", settings, [asdict(row) for row in rows], plot(runs, cores))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
