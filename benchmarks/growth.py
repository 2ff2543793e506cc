"""How time and memory of a fill grow with its context, the length of its hole, the number of holes and that of alternatives.

One of the four changes at a time, around a base of 512 tokens, one hole of 16 and one alternative; holes have fixed lengths, so that
all fills of a size write equally many tokens. A power law is fitted to each series, by least squares on logarithms. What costs the
same at every size flattens it, so that the last doubling is told beside it: the growth that is still to come. Memory is measured in
processes of their own: the peak of the resident memory over what the loaded model takes, and the bytes of all caches that are alive at
once. Temperature 1 makes alternatives differ, of which there would otherwise be more rounds, and drafts worse.
"""

from __future__ import annotations

import dataclasses
import gc
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from benchmarks import report
from benchmarks.intervals import Interval
from benchmarks.memory import peak_growth
from benchmarks.sized_passages import Cutter, Size
from benchmarks.timing import interleave
from benchmarks.widened import widen
from engine.errors import LacunaError
from engine.infiller import OnPass, ignore_progress
from engine.local import DEFAULT_MODEL, LocalInfiller
from engine.onnx_model import OnnxModel, OnnxState
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.results import FillResult, Progress

WINDOW = 4096
TEMPERATURE = 1.0
WARMUP = 1


@dataclass(frozen=True)
class Point:
    """What one fill is asked for."""

    context: int = 512
    hole: int = 16
    holes: int = 1
    alternatives: int = 1

    @property
    def size(self) -> Size:
        return Size(self.context, self.holes, self.hole)


BASE = Point()
SERIES = {
    "context": (128, 256, 512, 1024, 2048),
    "hole": (4, 8, 16, 32, 64, 128, 256),
    "holes": (1, 2, 4, 8, 16),
    "alternatives": (1, 2, 4, 8, 16),
}
QUICK_SERIES = {name: values[:3] for name, values in SERIES.items()}
LABELS = {"context": "context, tokens", "hole": "hole length, tokens", "holes": "holes of 16", "alternatives": "alternatives"}


def points_of(series: dict[str, tuple[int, ...]]) -> list[Point]:
    """All points of all series, each once."""
    return list(dict.fromkeys(point_of(name, value) for name, values in series.items() for value in values))


def point_of(name: str, value: int) -> Point:
    return dataclasses.replace(BASE, **{name: value})


@dataclass(frozen=True)
class Cost:
    """What a fill of one point takes. Milliseconds are medians; bytes as in this module's docstring."""

    total_ms: float
    prompt_ms: float
    decoding_ms: float
    ms_per_pass: float
    passes: float
    peak_bytes: int
    cache_bytes: int


QUANTITIES = {
    "prompt_ms": "prompt, ms",
    "decoding_ms": "decoding, ms",
    "passes": "passes after the prompt",
    "ms_per_pass": "ms a pass",
    "peak_bytes": "peak memory, bytes",
    "cache_bytes": "caches, bytes",
}


def load(folder: Path, threads: int) -> LocalInfiller:
    infiller = LocalInfiller(folder)
    infiller.model = OnnxModel(folder, infiller.manifest, threads=threads)
    return infiller


def fill(infiller: LocalInfiller, passage: Passage, point: Point, method: str, seed: int, on_pass: OnPass = ignore_progress) -> FillResult:
    return infiller.fill(passage, FillOptions(count=point.alternatives, temperature=TEMPERATURE, seed=seed, method=method), on_pass)


def times(infiller: LocalInfiller, points: Sequence[Point], rounds: int, method: str) -> dict[Point, list[FillResult]]:
    """`rounds` fills of each point, each of another passage, in turns."""
    cutter = Cutter(infiller.text)
    found: dict[Point, list[FillResult]] = {point: [] for point in points}
    passages = {point: cutter.cut(point.size, rounds + WARMUP, seed=0) for point in points}

    def next_fill(point: Point) -> Callable[[], None]:
        def run() -> None:
            number = len(found[point])
            report.progress(f"round {number + 1} of {rounds + WARMUP}")
            infiller.prompts = PromptCache()  # every request is new
            found[point].append(fill(infiller, passages[point][number], point, method, number))

        return run

    interleave({str(point): next_fill(point) for point in points}, rounds=rounds, warmup=WARMUP)
    report.progress("")
    return {point: results[WARMUP:] for point, results in found.items()}


@dataclass(frozen=True)
class Memory:
    """A fill's peak of resident memory over the loaded model's, and the most bytes of caches that were alive at once."""

    peak_bytes: int
    cache_bytes: int


def memory_of(folder: Path, point: Point, method: str, threads: int) -> Memory:
    """To be run in a fresh process."""
    return Memory(_peak_bytes(load(folder, threads), point, method), _cache_bytes(load(folder, threads), point, method))


def _peak_bytes(infiller: LocalInfiller, point: Point, method: str) -> int:
    cutter = Cutter(infiller.text)
    smallest = Point(context=16, hole=4)
    first, passage = (cutter.cut(each.size, 1, seed=0)[0] for each in (smallest, point))
    fill(infiller, first, smallest, method, 0)  # what a session takes at its first pass is no growth
    return peak_growth(lambda: fill(infiller, passage, point, method, 0))


def _cache_bytes(infiller: LocalInfiller, point: Point, method: str) -> int:
    most = 0

    def watch(progress: Progress) -> None:
        nonlocal most
        most = max(most, live_cache_bytes())

    fill(infiller, Cutter(infiller.text).cut(point.size, 1, seed=0)[0], point, method, 0, watch)
    return most


def live_cache_bytes() -> int:
    """Bytes of the caches of all contexts in this process; what two of them share counts once."""
    caches = [cache for state in gc.get_objects() if type(state) is OnnxState for cache in state.caches]
    return sum({id(owner): owner.nbytes for owner in (cache if cache.base is None else cache.base for cache in caches)}.values())


def memories(folder: Path, points: Sequence[Point], method: str, threads: int) -> Iterator[Memory]:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for number, point in enumerate(points):
            report.progress(f"memory, point {number + 1} of {len(points)}")
            yield pool.apply(memory_of, (folder, point, method, threads))
    report.progress("")


def cost(results: Sequence[FillResult], memory: Memory) -> Cost:
    decoding = [result.elapsed_ms - result.prefill_ms for result in results]
    passes = [result.passes - 1 for result in results]
    return Cost(
        total_ms=float(np.median([result.elapsed_ms for result in results])),
        prompt_ms=float(np.median([result.prefill_ms for result in results])),
        decoding_ms=float(np.median(decoding)),
        ms_per_pass=sum(decoding) / sum(passes),
        passes=float(np.mean(passes)),
        peak_bytes=memory.peak_bytes,
        cache_bytes=memory.cache_bytes,
    )


@dataclass(frozen=True)
class Growth:
    """The power of `series` with which `quantity` grows, over all its points and over the last doubling alone."""

    series: str
    quantity: str
    exponent: Interval
    last_doubling: float


def fit(values: Sequence[float], measured: Sequence[float]) -> Interval:
    """The exponent of a power law through three points or more, with the 95% interval of least squares on logarithms."""
    x, y = np.log(values), np.log(measured)
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    rest = y - slope * x
    freedom = len(x) - 2
    reach = float(stats.t.ppf(0.975, freedom) * np.sqrt(rest @ rest / freedom / (x @ x)))
    return Interval(slope, slope - reach, slope + reach)


def growth_of(name: str, values: Sequence[int], costs: dict[Point, Cost]) -> list[Growth]:
    found = []
    for quantity in QUANTITIES:
        measured = [float(getattr(costs[point_of(name, value)], quantity)) for value in values]
        doublings = np.log2(values[-1] / values[-2])
        found.append(Growth(name, quantity, fit(values, measured), float(np.log2(measured[-1] / measured[-2]) / doublings)))
    return found


def plot(series: dict[str, tuple[int, ...]], costs: dict[Point, Cost], title: str) -> Figure:
    """Times above, memory below, a column for each series; both axes are logarithmic."""
    figure = Figure(figsize=(13, 6), layout="constrained")
    shown = (("total_ms", "prompt_ms", "decoding_ms", "ms_per_pass"), ("peak_bytes", "cache_bytes"))
    for row, quantities in zip(figure.subplots(2, len(series), sharey="row"), shown, strict=True):
        for axes, (name, values) in zip(row, series.items(), strict=True):
            for quantity in quantities:
                measured = np.array([getattr(costs[point_of(name, value)], quantity) for value in values], dtype=np.float64)
                if quantity.endswith("bytes"):
                    measured /= 1 << 20
                axes.plot(
                    values, measured, marker="o", markersize=3, label="a pass" if quantity == "ms_per_pass" else quantity.partition("_")[0]
                )
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xticks(values, [str(value) for value in values])
            axes.grid(alpha=0.3)
        row[-1].legend(fontsize=8)
    for axes, name in zip(figure.axes[len(series) :], series, strict=True):
        axes.set_xlabel(LABELS[name])
    figure.axes[0].set_ylabel("ms")
    figure.axes[len(series)].set_ylabel("MiB")
    figure.suptitle(title, fontsize=11)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("growth", __doc__)
    parser.add_argument("--rounds", type=int, metavar="N", default=8, help="fills timed at each point (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", default=1, help="default: %(default)s")
    parser.add_argument("--method", choices=METHODS, default=FillOptions.method, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    rounds = 2 if arguments.quick else arguments.rounds
    if rounds < 1:
        raise LacunaError(f"each point must be timed at least once, not {rounds} times")
    series = QUICK_SERIES if arguments.quick else SERIES
    points = points_of(series)
    with tempfile.TemporaryDirectory() as work:
        folder = widen(arguments.model or DEFAULT_MODEL, Path(work) / "wide", WINDOW)
        infiller = load(folder, arguments.threads)
        timed = times(infiller, points, rounds, arguments.method)
        remembered = dict(zip(points, memories(folder, points, arguments.method, arguments.threads), strict=True))
    costs = {point: cost(timed[point], remembered[point]) for point in points}
    title = f"{infiller.model_name}, {arguments.method}, {arguments.threads} thread(s), {rounds} fills a point, temperature {TEMPERATURE:g}"
    report.print_table(
        f"{title}; around a context of {BASE.context}, one hole of {BASE.hole} and one alternative",
        ("", "total ms", "prompt ms", "decoding ms", "passes", "ms a pass", "peak MiB", "caches MiB"),
        [
            (
                f"{name} {value}",
                *(f"{figure:.1f}" for figure in (at.total_ms, at.prompt_ms, at.decoding_ms, at.passes)),
                f"{at.ms_per_pass:.2f}",
                *(f"{size / (1 << 20):.1f}" for size in (at.peak_bytes, at.cache_bytes)),
            )
            for name, values in series.items()
            for value in values
            for at in (costs[point_of(name, value)],)
        ],
    )
    growths = [each for name, values in series.items() for each in growth_of(name, values, costs)]
    report.print_table(
        "Exponents: cost grows with this power of the size; least squares on logarithms with 95% intervals, and over the last doubling",
        ("", *(label for label in QUANTITIES.values())),
        [(name, *(f"{each.exponent:.2f}; {each.last_doubling:.2f}" for each in growths if each.series == name)) for name in series],
    )
    settings: dict[str, Any] = {
        "model": infiller.model_name,
        "provider": infiller.provider,
        "method": arguments.method,
        "threads": arguments.threads,
        "rounds": rounds,
        "temperature": TEMPERATURE,
        "base": asdict(BASE),
        "points": [{**asdict(point), **asdict(at)} for point, at in costs.items()],
    }
    report.write(report.folder(arguments), "growth", settings, [asdict(each) for each in growths], plot(series, costs, title))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
