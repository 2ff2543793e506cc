"""What the key/value cache saves: ASSD with it, and ASSD that recomputes all rows at every pass, on the same graph.

Both sides run the same decoder with the same seeds, so that they take the same passes and write the same fills (but for a draw that
rounding tips over); all that differs is the time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.intervals import Interval, bootstrap, median, ratio_of_sums
from benchmarks.recompute import RecomputingModel
from benchmarks.tasks import add_options, load_tasks
from engine.decoders.assd import assd
from engine.decoders.base import prefill
from engine.infiller import ignore_progress
from engine.local import load_infiller
from engine.model import Model
from engine.sampling import Sampler
from engine.sequence import MaskedSequence

CACHED, UNCACHED = "cached", "recomputed"


@dataclass(frozen=True)
class Run:
    """One fill from an empty context: its tokens, its passes and its milliseconds."""

    tokens: tuple[int, ...]
    passes: int
    elapsed_ms: float


def fill(model: Model, sequence: MaskedSequence, temperature: float, draft: int, seed: int) -> Run:
    start = time.perf_counter()
    drawn = assd(prefill(model, sequence, draft), 1, Sampler(temperature), draft, np.random.default_rng(seed), ignore_progress)[0]
    return Run(drawn.tokens, drawn.passes, (time.perf_counter() - start) * 1000)


def measure(
    models: Mapping[str, Model], sequences: Sequence[MaskedSequence], temperature: float, draft: int, seed: int
) -> dict[str, list[Run]]:
    """Every sequence on every model, in turns."""
    for model in models.values():  # the first passes of a session are slow: its memory is still being laid out
        fill(model, sequences[0], temperature, draft, seed)
    runs: dict[str, list[Run]] = {name: [] for name in models}
    for number, sequence in enumerate(sequences):
        report.progress(f"task {number + 1} of {len(sequences)}")
        for name in list(models)[:: -1 if number % 2 else 1]:
            runs[name].append(fill(models[name], sequence, temperature, draft, seed + number))
    report.progress("")
    return runs


@dataclass(frozen=True)
class Row:
    """One side's figures over all tasks; intervals at 95%."""

    model: str
    fill_ms: Interval
    ms_per_pass: Interval
    passes: int
    tokens: int


def summarise(model: str, runs: Sequence[Run]) -> Row:
    return Row(
        model,
        fill_ms=bootstrap(median, np.array([(run.elapsed_ms,) for run in runs])),
        ms_per_pass=bootstrap(ratio_of_sums, np.array([(run.elapsed_ms, run.passes) for run in runs])),
        passes=sum(run.passes for run in runs),
        tokens=sum(len(run.tokens) for run in runs),
    )


def plot(cached: Sequence[Run], uncached: Sequence[Run]) -> Figure:
    """Each fill's time without a cache against its time with one."""
    figure = Figure(figsize=(5.2, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter([run.elapsed_ms for run in cached], [run.elapsed_ms for run in uncached], c=[run.passes for run in cached], s=14)
    figure.colorbar(axes.collections[0], label="passes")
    ends = np.array(axes.get_xlim())
    for factor in (1, 5):
        axes.plot(ends, factor * ends, color="0.6", linewidth=1)
        axes.annotate(f"{factor}x", (ends[1], factor * ends[1]), color="0.4")
    axes.set_xlabel("cached, ms a fill")
    axes.set_ylabel("recomputing all rows, ms a fill")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("cache", __doc__)
    add_options(parser, 50)
    parser.add_argument("--draft", type=int, metavar="K", default=5, help="slots that ASSD drafts a round (default: %(default)s)")
    parser.add_argument("--temperature", type=float, metavar="T", default=1.0, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    infiller = load_infiller(arguments.model)
    source, tasks = load_tasks(arguments.data, infiller, 3 if arguments.quick else arguments.tasks, arguments.seed)
    sequences = [infiller.sequence(task.passage) for task in tasks]
    models: dict[str, Model] = {CACHED: infiller.model, UNCACHED: RecomputingModel(infiller.model)}
    runs = measure(models, sequences, arguments.temperature, arguments.draft, arguments.seed)
    same = sum(a.tokens == b.tokens for a, b in zip(runs[CACHED], runs[UNCACHED], strict=True))
    rows = [summarise(name, runs[name]) for name in models]
    gain = bootstrap(
        ratio_of_sums, np.array([(slow.elapsed_ms, fast.elapsed_ms) for fast, slow in zip(runs[CACHED], runs[UNCACHED], strict=True)])
    )
    report.print_table(
        f"{len(tasks)} tasks ({source}), ASSD at temperature {arguments.temperature:g}, {infiller.model_name} on {infiller.provider}; "
        "95% bootstrap intervals over tasks",
        ("model", "whole fill, median ms", "ms per pass", "passes", "tokens"),
        [(row.model, f"{row.fill_ms:.1f}", f"{row.ms_per_pass:.2f}", f"{row.passes}", f"{row.tokens}") for row in rows],
    )
    print(f"Recomputing takes {gain:.2f} times as long in all; {same} of {len(tasks)} fills are the same on both sides.")
    settings = {
        "source": source,
        "tasks": len(tasks),
        "seed": arguments.seed,
        "draft": arguments.draft,
        "temperature": arguments.temperature,
        "model": infiller.model_name,
        "provider": infiller.provider,
        "time_ratio": asdict(gain),
        "fills_equal": same,
    }
    report.write(report.folder(arguments), "cache", settings, [asdict(row) for row in rows], plot(runs[CACHED], runs[UNCACHED]))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
