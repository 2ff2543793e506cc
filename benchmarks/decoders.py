"""Passes per token and wall time of a whole fill: sequential decoding against ASSD, at three temperatures.

Every task is filled by both methods, one after the other in changing order. When greedy, both must write the same text; otherwise
they draw from the same distribution, but not the same draws, so that times are also given per token.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.intervals import Interval, bootstrap, median, ratio_of_sums
from benchmarks.tasks import Task, add_options, load_tasks
from engine.infiller import Infiller
from engine.local import load_infiller
from engine.options import FillOptions

METHODS = ("sequential", "assd")
TEMPERATURES = (1.0, 0.2, 0.0)


@dataclass(frozen=True)
class Run:
    """One task filled once. Times in milliseconds, the prompt's prefill included in `elapsed_ms`."""

    text: str
    passes: int
    tokens: int
    prefill_ms: float
    elapsed_ms: float


def fill(infiller: Infiller, task: Task, method: str, temperature: float, draft: int, seed: int) -> Run:
    result = infiller.fill(task.passage, FillOptions(temperature=temperature, seed=seed, method=method, draft=draft))
    text = result.suggestions[0].fills[0].text
    return Run(text, result.passes, result.tokens, result.prefill_ms, result.elapsed_ms)


def measure(infiller: Infiller, tasks: Sequence[Task], draft: int, seed: int) -> dict[tuple[float, str], list[Run]]:
    """Every task under every setting, in the tasks' order."""
    runs: dict[tuple[float, str], list[Run]] = {(temperature, method): [] for temperature in TEMPERATURES for method in METHODS}
    for method in METHODS:  # the first passes of a session are slow: its memory is still being laid out
        fill(infiller, tasks[0], method, 0.0, draft, seed)
    for number, task in enumerate(tasks):
        report.progress(f"task {number + 1} of {len(tasks)}")
        for temperature in TEMPERATURES:
            for method in METHODS[:: -1 if number % 2 else 1]:
                runs[temperature, method].append(fill(infiller, task, method, temperature, draft, seed + number))
    report.progress("")
    return runs


@dataclass(frozen=True)
class Row:
    """A setting's figures, with 95% bootstrap intervals over tasks."""

    temperature: float
    method: str
    passes_per_token: Interval
    fill_ms: Interval
    decoding_ms_per_token: Interval
    tokens: Interval


def summarise(temperature: float, method: str, runs: Sequence[Run]) -> Row:
    passes = np.array([(run.passes, run.tokens) for run in runs], dtype=np.float64)
    decoding = np.array([(run.elapsed_ms - run.prefill_ms, run.tokens) for run in runs], dtype=np.float64)
    elapsed = np.array([(run.elapsed_ms,) for run in runs], dtype=np.float64)
    return Row(
        temperature,
        method,
        passes_per_token=bootstrap(ratio_of_sums, passes),
        fill_ms=bootstrap(median, elapsed),
        decoding_ms_per_token=bootstrap(ratio_of_sums, decoding),
        tokens=bootstrap(median, passes[:, 1:]),
    )


def plot(rows: Sequence[Row], source: str) -> Figure:
    """Passes per token and decoding time per token, by temperature."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (field, label) in zip(
        figure.subplots(1, 2), [("passes_per_token", "passes per token"), ("decoding_ms_per_token", "decoding, ms per token")], strict=True
    ):
        for offset, method in enumerate(METHODS):
            shown = [getattr(row, field) for row in rows if row.method == method]
            places = [index + 0.38 * (offset - 0.5) for index in range(len(shown))]
            errors = np.array([(each.value - each.low, each.high - each.value) for each in shown]).T
            axes.bar(places, [each.value for each in shown], width=0.36, yerr=errors, capsize=3, label=method)
        axes.set_xticks(range(len(TEMPERATURES)), [_name(temperature) for temperature in TEMPERATURES])
        axes.set_xlabel("temperature")
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Sequential decoding against ASSD, {source} holes", fontsize=11)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("decoders", __doc__)
    add_options(parser, 100)
    parser.add_argument("--draft", type=int, metavar="K", default=5, help="slots that ASSD drafts a round (default: %(default)s)")
    arguments = parser.parse_args(argv)
    infiller = load_infiller(arguments.model)
    source, tasks = load_tasks(arguments.data, infiller, 3 if arguments.quick else arguments.tasks, arguments.seed)
    runs = measure(infiller, tasks, arguments.draft, arguments.seed)
    rows = [summarise(temperature, method, runs[temperature, method]) for temperature in TEMPERATURES for method in METHODS]
    same = sum(a.text == b.text for a, b in zip(runs[0.0, "sequential"], runs[0.0, "assd"], strict=True))
    report.print_table(
        f"{len(tasks)} tasks ({source}), {infiller.model_name} on {infiller.provider}; 95% bootstrap intervals over tasks",
        ("temperature", "method", "passes per token", "whole fill, median ms", "decoding, ms per token", "tokens, median"),
        [
            (
                _name(row.temperature),
                row.method,
                f"{row.passes_per_token:.3f}",
                f"{row.fill_ms:.1f}",
                f"{row.decoding_ms_per_token:.2f}",
                f"{row.tokens:.1f}",
            )
            for row in rows
        ],
    )
    print(f"Greedy fills that both methods agree on: {same} of {len(tasks)}.")
    settings = {
        "source": source,
        "tasks": len(tasks),
        "seed": arguments.seed,
        "draft": arguments.draft,
        "model": infiller.model_name,
        "provider": infiller.provider,
        "greedy_fills_equal": same,
    }
    report.write(report.folder(arguments), "decoders", settings, [asdict(row) for row in rows], plot(rows, source))
    return 0


def _name(temperature: float) -> str:
    return f"{temperature:g}" if temperature else "greedy"


if __name__ == "__main__":
    sys.exit(report.run(main))
