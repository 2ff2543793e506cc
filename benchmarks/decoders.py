"""Passes per token and time of every exact decoding method: the published ones, and `fused` with as many drafts as it likes.

Three parts, over the same holes, whose lengths no method is told. The methods side by side, with `fused` against `assd` as a
ratio, both on the same tasks (targets: at most 0.75 of its passes per token; at most 0.5 passes per token at temperature 0.2);
a sweep over the number of drafts k; and tokens per pass by how far into the hole they stand.

Methods take turns on each task, in an order that rotates, with the same seed. When greedy, all must write what `sequential` writes;
otherwise they draw from the same distribution, but not the same draws, so that figures are given per token. The prompt's pass
counts as a pass. Decoding time is that of a fill less its prompt's pass, tokenising included.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.intervals import FloatArray, Interval, bootstrap, median, ratio_of_sums
from benchmarks.tasks import Task, add_options, load_sources
from engine.decoders.base import PUBLISHED_WIDTH
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions
from engine.prompt_cache import PromptCache
from engine.results import Progress

TEMPERATURES = (1.0, 0.8, 0.2, 0.0)
WIDTHS = (2, 3, 4, 6, 8, 12, 16)
SEQUENTIAL, ASSD, ASSD_NGRAM, FUSED = "sequential", "assd", "assd-ngram", "fused"
# First and last slot, counted from 1.
PLACES = ((1, 4), (5, 8), (9, 16), (17, 32), (33, 64))
TARGET_RATIO, TARGET_PASSES, TARGET_TEMPERATURE = 0.75, 0.5, 0.2
_FEWEST = 5  # tasks that a figure of a place rests on at least
_COLOURS = {SEQUENTIAL: "C0", ASSD: "C1", ASSD_NGRAM: "C2", FUSED: "C3"}


@dataclass(frozen=True)
class Variant:
    """A method and how many slots it drafts a round; None where it decides itself."""

    method: str
    draft: int | None

    def __str__(self) -> str:
        if self.method == SEQUENTIAL:
            return self.method
        return f"{self.method}, {'adaptive' if self.draft is None else f'k={self.draft}'}"


MAIN = (Variant(SEQUENTIAL, None), Variant(ASSD, PUBLISHED_WIDTH), Variant(ASSD_NGRAM, PUBLISHED_WIDTH), Variant(FUSED, None))


@dataclass(frozen=True)
class Run:
    """One task filled once: the text, how many tokens each pass emitted, and times in milliseconds.

    `decoding_ms` is what the fill took beside the prompt's pass.
    """

    text: str
    emitted: tuple[int, ...]
    fill_ms: float
    decoding_ms: float

    @property
    def passes(self) -> int:
        return len(self.emitted)

    @property
    def tokens(self) -> int:
        return sum(self.emitted)


Runs = dict[tuple[float, Variant], list[Run]]


def fill(infiller: LocalInfiller, task: Task, variant: Variant, temperature: float, seed: int) -> Run:
    """Fill the task's one hole with one alternative. A pass is reported before its tokens are emitted."""
    before: list[int] = []

    def note(progress: Progress) -> None:
        before.append(progress.tokens)

    options = FillOptions(temperature=temperature, seed=seed, method=variant.method, draft=variant.draft)
    result = infiller.fill(task.passage, options, note)
    emitted = tuple(after - now for now, after in pairwise([*before, result.tokens]))
    return Run(result.suggestions[0].fills[0].text, emitted, result.elapsed_ms, result.elapsed_ms - result.prefill_ms)


def measure(infiller: LocalInfiller, tasks: Sequence[Task], variants: Sequence[Variant], seed: int, *, whole: bool) -> Runs:
    """Every task under every setting, in the tasks' order. With `whole` each fill pays for all its prompt; else it may be there already."""
    runs: Runs = {(temperature, variant): [] for temperature in TEMPERATURES for variant in variants}
    for variant in variants:  # the first passes of a session are slow: its memory is still being laid out
        fill(infiller, tasks[0], variant, 0.0, seed)
    for number, task in enumerate(tasks):
        report.progress(f"task {number + 1} of {len(tasks)}")
        turn = number % len(variants)
        for temperature in TEMPERATURES:
            for variant in (*variants[turn:], *variants[:turn]):
                if whole:
                    infiller.prompts = PromptCache()
                runs[temperature, variant].append(fill(infiller, task, variant, temperature, seed + number))
    report.progress("")
    return runs


@dataclass(frozen=True)
class Row:
    """A method's figures on a source at a temperature."""

    part: str
    source: str
    temperature: float
    method: str
    draft: int | None
    passes_per_token: Interval
    decoding_ms_per_token: Interval
    fill_ms: Interval
    tokens: Interval


@dataclass(frozen=True)
class Ratio:
    """`fused` over `assd`, both on the same tasks."""

    part: str
    source: str
    temperature: float
    passes_per_token: Interval
    decoding_ms_per_token: Interval


@dataclass(frozen=True)
class SweepRow:
    """A method with some number of drafts, on the tasks of all sources."""

    part: str
    temperature: float
    method: str
    draft: int | None
    passes_per_token: Interval
    decoding_ms_per_token: Interval


@dataclass(frozen=True)
class PlaceRow:
    """Tokens per pass in the slots `first` to `last` of a hole, from the `tasks` that got so far; None where these are too few."""

    part: str
    temperature: float
    method: str
    first: int
    last: int
    tasks: int
    tokens_per_pass: Interval | None


def passes_per_token(runs: Sequence[Run]) -> Interval:
    return bootstrap(ratio_of_sums, np.array([(run.passes, run.tokens) for run in runs], dtype=np.float64))


def time_per_token(runs: Sequence[Run]) -> Interval:
    return bootstrap(ratio_of_sums, np.array([(run.decoding_ms, run.tokens) for run in runs], dtype=np.float64))


def ratio_per_token(samples: FloatArray) -> FloatArray:
    """One method's cost per token over another's. `samples` `[..., T, 4]`: cost and tokens of the one, then of the other."""
    return ratio_of_sums(samples[..., :2]) / ratio_of_sums(samples[..., 2:])


def main_rows(source: str, runs: Mapping[tuple[float, Variant], Sequence[Run]]) -> list[Row]:
    rows = []
    for (temperature, variant), some in runs.items():
        sizes = np.array([(run.fill_ms, run.tokens) for run in some], dtype=np.float64)
        rows.append(
            Row(
                "main",
                source,
                temperature,
                variant.method,
                variant.draft,
                passes_per_token(some),
                time_per_token(some),
                fill_ms=bootstrap(median, sizes),
                tokens=bootstrap(median, sizes[:, 1:]),
            )
        )
    return rows


def ratios(source: str, runs: Mapping[tuple[float, Variant], Sequence[Run]]) -> list[Ratio]:
    """`fused` against `assd`, temperature by temperature."""
    _, assd, _, fused = MAIN
    found = []
    for temperature in TEMPERATURES:
        pairs = list(zip(runs[temperature, fused], runs[temperature, assd], strict=True))
        passes = np.array([(ours.passes, ours.tokens, theirs.passes, theirs.tokens) for ours, theirs in pairs], dtype=np.float64)
        times = np.array([(ours.decoding_ms, ours.tokens, theirs.decoding_ms, theirs.tokens) for ours, theirs in pairs], dtype=np.float64)
        found.append(Ratio("ratio", source, temperature, bootstrap(ratio_per_token, passes), bootstrap(ratio_per_token, times)))
    return found


def cost_by_place(run: Run) -> FloatArray:
    """Tokens and passes `[len(PLACES), 2]` of a run by place; a pass is shared out evenly among the tokens that it emitted."""
    shares = np.repeat([1 / count for count in run.emitted], run.emitted)
    return np.array([(len(part), part.sum()) for part in (shares[first - 1 : last] for first, last in PLACES)])


def place_rows(runs: Mapping[tuple[float, Variant], Sequence[Run]]) -> list[PlaceRow]:
    """All methods but `sequential`, whose every pass emits one token."""
    rows = []
    for (temperature, variant), some in runs.items():
        if variant.method == SEQUENTIAL:
            continue
        costs = np.stack([cost_by_place(run) for run in some], axis=1)
        for (first, last), samples in zip(PLACES, costs, strict=True):
            reached = samples[samples[:, 0] > 0]
            figure = bootstrap(ratio_of_sums, reached) if len(reached) >= _FEWEST else None
            rows.append(PlaceRow("place", temperature, variant.method, first, last, len(reached), figure))
    return rows


def equal_to_sequential(runs: Mapping[tuple[float, Variant], Sequence[Run]], sequential: Sequence[Run]) -> dict[Variant, int]:
    """How many greedy texts of each variant are those of the `sequential` runs on the same tasks."""
    return {
        variant: sum(one.text == other.text for one, other in zip(some, sequential, strict=True))
        for (temperature, variant), some in runs.items()
        if temperature == 0
    }


def pooled(many: Sequence[Runs]) -> Runs:
    """The runs of several sources as those of one."""
    return {key: [run for runs in many for run in runs[key]] for key in many[0]}


def plot(rows: Sequence[Row]) -> Figure:
    """The methods side by side: a row of panels for each source, with passes and with time per token."""
    sources = list(dict.fromkeys(row.source for row in rows))
    figure = Figure(figsize=(10, 3.3 * len(sources)), layout="constrained")
    for line, source in zip(figure.subplots(len(sources), 2, squeeze=False), sources, strict=True):
        for axes, (field, label) in zip(
            line, [("passes_per_token", "passes per token"), ("decoding_ms_per_token", "decoding, ms per token")], strict=True
        ):
            for offset, variant in enumerate(MAIN):
                shown = [getattr(row, field) for row in rows if (row.source, row.method) == (source, variant.method)]
                places = np.arange(len(shown)) + 0.2 * (offset - 1.5)
                values = [each.value for each in shown]
                axes.bar(places, values, width=0.19, yerr=_spread(shown), capsize=2, color=_COLOURS[variant.method], label=str(variant))
            axes.set_xticks(range(len(TEMPERATURES)), [_name(temperature) for temperature in TEMPERATURES])
            axes.set_xlabel("temperature")
            axes.set_ylabel(label)
            axes.set_ylim(bottom=0)
            axes.set_title(source, fontsize=10)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(MAIN), frameon=False)
    return figure


def plot_sweep(rows: Sequence[SweepRow]) -> Figure:
    """Passes above and time below, a panel a temperature; where `fused` decides itself, a dashed line."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    grid = figure.subplots(2, len(TEMPERATURES), sharex=True, sharey="row")
    fields = ("passes_per_token", "passes per token"), ("decoding_ms_per_token", "decoding, ms per token")
    for line, (field, label) in zip(grid, fields, strict=True):
        line[0].set_ylabel(label)
        for axes, temperature in zip(line, TEMPERATURES, strict=True):
            for method in (ASSD, ASSD_NGRAM, FUSED):
                shown = [row for row in rows if (row.temperature, row.method) == (temperature, method) and row.draft]
                figures = [getattr(row, field) for row in shown]
                _line(axes, [row.draft or 0 for row in shown], figures, method, f"{method}, k drafts a round")
            (own,) = (row for row in rows if row.temperature == temperature and row.draft is None)
            axes.axhline(getattr(own, field).value, color=_COLOURS[FUSED], linestyle="--", linewidth=1.2, label="fused, adaptive")
        line[0].set_ylim(bottom=0)
    for axes, temperature in zip(grid[0], TEMPERATURES, strict=True):
        axes.set_title(_heading(temperature), fontsize=10)
    for axes in grid[1]:
        axes.set_xlabel("k")
        axes.set_xticks(WIDTHS[::2])
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def plot_places(rows: Sequence[PlaceRow]) -> Figure:
    """Tokens per pass along the hole, a panel a temperature."""
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    grid = figure.subplots(1, len(TEMPERATURES), sharey=True)
    grid[0].set_ylabel("tokens per pass")
    for axes, temperature in zip(grid, TEMPERATURES, strict=True):
        for variant in MAIN[1:]:
            own = [row for row in rows if (row.temperature, row.method) == (temperature, variant.method)]
            known = {place: row.tokens_per_pass for place, row in enumerate(own) if row.tokens_per_pass}
            _line(axes, list(known), list(known.values()), variant.method, str(variant))
        axes.axhline(1, color=_COLOURS[SEQUENTIAL], linewidth=1, linestyle=":", label=SEQUENTIAL)
        axes.set_xticks(range(len(PLACES)), [_slots(place) for place in PLACES])
        axes.set_xlim(-0.5, len(PLACES) - 0.5)
        axes.set_xlabel("slots of the hole")
        axes.set_title(_heading(temperature), fontsize=10)
    grid[0].set_ylim(bottom=0)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(MAIN), frameon=False)
    return figure


def _line(axes: Axes, places: Sequence[int], figures: Sequence[Interval], method: str, label: str) -> None:
    values = [each.value for each in figures]
    axes.errorbar(places, values, yerr=_spread(figures), fmt="-o", markersize=3.5, capsize=2, color=_COLOURS[method], label=label)


def _spread(figures: Sequence[Interval]) -> FloatArray:
    """How far the intervals reach below and above, `[2, N]`."""
    return np.array([(each.value - each.low, each.high - each.value) for each in figures], dtype=np.float64).reshape(-1, 2).T


def print_main(rows: Sequence[Row], both: Sequence[Ratio], counts: Mapping[str, int], where: str) -> None:
    for source, count in counts.items():
        report.print_table(
            f"{count} tasks ({source}), {where}; 95% bootstrap intervals over tasks",
            ("temperature", "method", "passes per token", "decoding, ms per token", "whole fill, median ms", "tokens, median"),
            [
                (
                    _name(row.temperature),
                    str(Variant(row.method, row.draft)),
                    f"{row.passes_per_token:.3f}",
                    f"{row.decoding_ms_per_token:.2f}",
                    f"{row.fill_ms:.1f}",
                    f"{row.tokens:.1f}",
                )
                for row in rows
                if row.source == source
            ],
        )
    report.print_table(
        f"fused, adaptive, over assd, k={PUBLISHED_WIDTH}, on the same tasks; target: at most {TARGET_RATIO} of its passes per token",
        ("temperature", "source", "passes per token, ratio", "ms per token, ratio"),
        [(_name(row.temperature), row.source, f"{row.passes_per_token:.3f}", f"{row.decoding_ms_per_token:.3f}") for row in both],
    )
    for row in rows:
        if (row.method, row.temperature) == (FUSED, TARGET_TEMPERATURE):
            print(f"{row.source}: fused takes {row.passes_per_token:.3f} passes per token at {TARGET_TEMPERATURE}; target {TARGET_PASSES}.")


def print_sweep(rows: Sequence[SweepRow], count: int) -> None:
    """One table of passes and one of times, a column a temperature."""
    for field, title, digits in (("passes_per_token", "Passes per token", 3), ("decoding_ms_per_token", "Decoding, ms per token", 2)):
        lines: dict[str, list[str]] = {}
        for row in rows:
            lines.setdefault(str(Variant(row.method, row.draft)), []).append(f"{getattr(row, field):.{digits}f}")
        report.print_table(
            f"{title}, by number of drafts; {count} tasks of all sources, 95% bootstrap intervals over tasks",
            ("method", *map(_heading, TEMPERATURES)),
            [(name, *cells) for name, cells in lines.items()],
        )


def print_places(rows: Sequence[PlaceRow], count: int) -> None:
    lines: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        cell = f"{row.tokens_per_pass:.2f}" if row.tokens_per_pass else "-"
        lines.setdefault((_name(row.temperature), row.method), []).append(cell)
    report.print_table(
        f"Tokens per pass by place in the hole; {count} tasks of all sources, 95% bootstrap intervals over those that got so far "
        f"(fewer than {_FEWEST}: none given)",
        ("temperature", "method", *(f"slots {_slots(place)}" for place in PLACES)),
        [(*name, *cells) for name, cells in lines.items()],
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("decoders", __doc__)
    add_options(parser, 100)
    parser.add_argument("--sweep-tasks", type=int, metavar="N", default=40, help="as many of them for the sweep (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.sweep_tasks < 1:
        raise LacunaError(f"--sweep-tasks must be at least 1, not {arguments.sweep_tasks}")
    tasks, sweep_tasks, widths = (_FEWEST, 1, WIDTHS[::4]) if arguments.quick else (arguments.tasks, arguments.sweep_tasks, WIDTHS)
    infiller = load_infiller(arguments.model)
    sources = load_sources(arguments.data, infiller, tasks, arguments.seed)
    runs = {source: measure(infiller, chosen, MAIN, arguments.seed, whole=True) for source, chosen in sources.items()}
    rows = [row for source, some in runs.items() for row in main_rows(source, some)]
    both = sorted((row for source, some in runs.items() for row in ratios(source, some)), key=lambda row: -row.temperature)
    counts = {source: len(chosen) for source, chosen in sources.items()}
    print_main(rows, both, counts, f"{infiller.model_name} on {infiller.provider}")
    everything = pooled(list(runs.values()))
    places = place_rows(everything)
    print_places(places, sum(counts.values()))

    swept = [*(Variant(method, width) for method in (ASSD, ASSD_NGRAM, FUSED) for width in widths), Variant(FUSED, None)]
    sweep_runs = [measure(infiller, chosen[:sweep_tasks], swept, arguments.seed, whole=False) for chosen in sources.values()]
    sweep = [
        SweepRow("sweep", temperature, variant.method, variant.draft, passes_per_token(some), time_per_token(some))
        for (temperature, variant), some in pooled(sweep_runs).items()
    ]
    counted = sum(len(chosen[:sweep_tasks]) for chosen in sources.values())
    print_sweep(sweep, counted)

    sequential = [some[0.0, MAIN[0]] for some in runs.values()]
    same = equal_to_sequential(everything, [run for some in sequential for run in some])
    same_swept = equal_to_sequential(pooled(sweep_runs), [run for some in sequential for run in some[:sweep_tasks]])
    agreed = ", ".join(f"{variant} {count}" for variant, count in same.items() if variant.method != SEQUENTIAL)
    print(f"Greedy fills equal to those of sequential, of {sum(counts.values())}: {agreed}.")
    print(f"In the sweep: {sum(same_swept.values())} of {counted * len(swept)}.")
    settings = {
        "tasks": counts,
        "sweep_tasks": counted,
        "seed": arguments.seed,
        "draft": PUBLISHED_WIDTH,
        "model": infiller.model_name,
        "provider": infiller.provider,
        "greedy_fills_equal": {str(variant): count for variant, count in same.items()},
        "greedy_fills_equal_in_sweep": [sum(same_swept.values()), counted * len(swept)],
        "target_ratio": TARGET_RATIO,
        "target_passes_per_token": TARGET_PASSES,
    }
    report.write(
        report.folder(arguments),
        "decoders",
        settings,
        [*map(asdict, rows), *map(asdict, both), *map(asdict, places), *map(asdict, sweep)],
        plot(rows),
        sweep=plot_sweep(sweep),
        places=plot_places(places),
    )
    return 0


def _name(temperature: float) -> str:
    return f"{temperature:g}" if temperature else "greedy"


def _heading(temperature: float) -> str:
    return f"temperature {temperature:g}" if temperature else "greedy"


def _slots(place: tuple[int, int]) -> str:
    return f"{place[0]}-{place[1]}"


if __name__ == "__main__":
    sys.exit(report.run(main))
