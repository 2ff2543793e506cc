"""What a prompt costs while somebody types: the first request at a place pays for it once, the following ones for what changed.

Lines are taken out of files and typed anew, a character at a time (a line end comes with the indentation, as editors do it). After each
character the hole at the cursor is filled through the language server's way from a buffer to a fill, greedily. The cost of a
prompt is told in rows run and in the milliseconds of its pass. Target: the requests after the first pay at most 10%
of what the whole prompt costs.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.intervals import FloatArray, Interval, bootstrap, median
from benchmarks.tasks import OwnLine, own_lines
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions
from engine.prompt_cache import PromptCache
from lsp_server.buffer import Buffer
from lsp_server.filling import fill_holes
from lsp_server.holes import hole_from_range
from lsp_server.syntax import parse

TARGET = 0.10
_GREEDY = FillOptions(temperature=0)


@dataclass(frozen=True)
class Request:
    """One fill at the cursor: its prompt's rows, those of them that were run, and the milliseconds of the pass."""

    rows: int
    rows_run: int
    milliseconds: float


@dataclass(frozen=True)
class Session:
    """Lines typed at one place. `first` finds an empty cache; each of `later` came with one more character."""

    name: str
    first: Request
    later: tuple[Request, ...]

    def shares(self) -> FloatArray:
        """What each later request paid of its whole prompt: rows, and milliseconds as a share of the first request's. `[N, 2]`."""
        first = self.first.milliseconds
        return np.array([(request.rows_run / request.rows, request.milliseconds / first) for request in self.later])


def sessions(lines: int, count: int, seed: int) -> list[list[OwnLine]]:
    """`count` stretches of `lines` lines that follow each other in a file of this project. Raises LacunaError for numbers below 1."""
    if min(lines, count) < 1:
        raise LacunaError(f"the numbers of sessions and of lines must be at least 1, not {min(lines, count)}")
    everything = list(own_lines())
    starts = list(range(len(everything) - lines + 1))
    random.Random(seed).shuffle(starts)
    stretches = (everything[start : start + lines] for start in starts)
    return [stretch for stretch in stretches if stretch[0].text == stretch[-1].text][:count]


def keystrokes(typed: str) -> list[int]:
    """How much of `typed` is there after each character; the indentation of a line comes with its line end."""
    return [
        end
        for end in range(len(typed) + 1)
        if typed[:end].rpartition("\n")[2].strip() or not typed[end : end + 1].isspace() or typed[end : end + 1] == "\n"
    ]


def type_lines(infiller: LocalInfiller, stretch: Sequence[OwnLine]) -> Session:
    """Take the lines out of their file and type them; every request goes from the buffer to a fill."""
    infiller.prompts = PromptCache()
    text, start, end = stretch[0].text, stretch[0].start, stretch[-1].end - 1
    typed = text[start:end]
    requests = [request(infiller, text[:start] + typed[:reached], text[end:]) for reached in keystrokes(typed)]
    return Session(stretch[0].name, requests[0], tuple(requests[1:]))


def request(infiller: LocalInfiller, before: str, after: str) -> Request:
    buffer = Buffer((before + after).encode(), "typed.py")
    cursor = len(before.encode())
    hole = hole_from_range(buffer, cursor, cursor)
    filling = fill_holes(buffer, parse(buffer.source, "python"), (hole,), infiller, _GREEDY)
    return Request(filling.prompt_rows + filling.reused_rows, filling.prompt_rows, filling.prefill_ms)


@dataclass(frozen=True)
class Row:
    """A figure of the later requests: `mean` (each session counts once), `median`, `worst`, and the share that paid above the target."""

    figure: str
    mean: Interval
    median: Interval
    worst: float
    above_target: Interval


def mean(samples: FloatArray) -> FloatArray:
    result: FloatArray = np.asarray(samples[..., 0].mean(axis=-1))
    return result


def summarise(figure: str, shares: Sequence[FloatArray]) -> Row:
    """`shares` has one array `[N]` a session; intervals are over sessions, since requests of one are much alike."""

    def over_sessions(of_one: FloatArray) -> FloatArray:
        return of_one[:, None]

    return Row(
        figure,
        mean=bootstrap(mean, over_sessions(np.array([each.mean() for each in shares]))),
        median=bootstrap(median, over_sessions(np.array([np.median(each) for each in shares]))),
        worst=float(max(each.max() for each in shares)),
        above_target=bootstrap(mean, over_sessions(np.array([(each > TARGET).mean() for each in shares]))),
    )


def plot(shares: Sequence[FloatArray]) -> Figure:
    """The share of later requests that paid at most so much of a whole prompt."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    together = np.concatenate(shares)
    for column, name in enumerate(("rows run", "milliseconds")):
        axes.ecdf(100 * np.maximum(together[:, column], 1e-3), label=name)
    axes.axvline(100 * TARGET, color="0.5", linewidth=1, linestyle="--", label="target")
    axes.set_xscale("log")
    axes.set_xlabel("cost of a prompt after one typed character, % of the whole prompt's")
    axes.set_ylabel("share of requests")
    axes.legend(loc="lower right")
    return figure


def _percent(interval: Interval) -> str:
    return f"{Interval(100 * interval.value, 100 * interval.low, 100 * interval.high):.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("prompt_cache", __doc__)
    parser.add_argument("--sessions", type=int, metavar="N", default=20, help="places in this project's own files (default: %(default)s)")
    parser.add_argument("--lines", type=int, metavar="N", default=3, help="lines typed at each place (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses the places (default: %(default)s)")
    arguments = parser.parse_args(argv)
    infiller = load_infiller(arguments.model)
    places = sessions(1 if arguments.quick else arguments.lines, 2 if arguments.quick else arguments.sessions, arguments.seed)
    type_lines(infiller, places[0][:1])  # the first passes of a session are slow: its memory is still being laid out
    found = []
    for number, stretch in enumerate(places):
        report.progress(f"place {number + 1} of {len(places)}")
        found.append(type_lines(infiller, stretch))
    report.progress("")
    shares = [session.shares() for session in found]
    rows = [summarise("rows run", [each[:, 0] for each in shares]), summarise("milliseconds", [each[:, 1] for each in shares])]
    first = bootstrap(median, np.array([(session.first.milliseconds,) for session in found]))
    later = bootstrap(median, np.array([(np.median([each.milliseconds for each in session.later]),) for session in found]))
    report.print_table(
        f"{sum(len(session.later) for session in found)} requests after one typed character each at {len(found)} places, "
        f"{infiller.model_name} on {infiller.provider}; percent of the whole prompt's cost, 95% bootstrap intervals over places",
        ("cost", "mean", "median", "worst", f"requests above {100 * TARGET:.0f}%"),
        [(row.figure, _percent(row.mean), _percent(row.median), f"{100 * row.worst:.0f}", _percent(row.above_target)) for row in rows],
    )
    prompts = np.median([session.first.rows for session in found])
    print(f"The whole prompt, {prompts:.0f} rows (median): {first:.1f} ms; after one typed character {later:.1f} ms (median).")
    settings = {
        "sessions": len(found),
        "lines": 1 if arguments.quick else arguments.lines,
        "seed": arguments.seed,
        "model": infiller.model_name,
        "provider": infiller.provider,
        "target": TARGET,
        "first_ms": asdict(first),
        "later_ms": asdict(later),
        "prompt_rows": float(prompts),
    }
    report.write(report.folder(arguments), "prompt_cache", settings, [asdict(row) for row in rows], plot(shares))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
