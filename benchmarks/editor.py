"""How soon the language server answers, as an editor sees it: the real `lacuna-lsp` over stdio, with its default settings.

Each of `--starts` fresh processes is asked to initialize, for a fill while its model still loads, and to shut down while another fill
runs. One more process lists code actions in files of three sizes (at rest, and right after a keystroke), fills holes and has
fills cancelled at random moments; how long the passes of those fills take is measured beside it, in a process of the benchmark's own. A
last one goes through a typing session (benchmarks/editor_typing.py), and its memory is read at each keystroke. Fills to be stopped are
drawn at a temperature of 10 with 16 alternatives, so that they don't end by themselves. All code is this project's own.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.editor_answers import STOPPED_WITHIN, Listed, Passes, Started, Stopped, cancels, fills, from_start_to_end, listings, passes
from benchmarks.editor_client import lacuna_lsp
from benchmarks.editor_files import OpenFile, sized_files, with_missing_lines
from benchmarks.editor_typing import OUTCOMES, Event, Session, record, replay
from benchmarks.intervals import FloatArray, Interval, bootstrap
from engine.errors import LacunaError
from engine.local import load_infiller

# The targets, in milliseconds.
INITIALIZE, LISTING, CANCEL_BESIDE_A_PASS, EXIT = 500, 50, 50, 1000
_HOLES = 3
# Seconds without a keystroke after which somebody looks whether something is proposed.
_PAUSE = 0.5
_STROKES_COMPARED = 100
_FILES_FOR_PASSES = 20
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Sizes:
    """How often each thing is done; `largest` is the largest file's size in bytes."""

    starts: int
    places: int
    fills: int
    cancels: int
    keystrokes: int
    largest: int


@dataclass(frozen=True)
class Measured:
    """All that was measured. `listed` goes by file; of the fills None gave no edit."""

    started: tuple[Started, ...]
    listed: dict[OpenFile, Listed]
    fills: tuple[float | None, ...]
    stopped: Stopped
    passes: Passes
    session: Session


@dataclass(frozen=True)
class Row:
    """Milliseconds of one thing that was done `count` times, with what is aimed at."""

    figure: str
    count: int
    median: Interval
    p95: Interval
    worst: float
    target: str


@dataclass(frozen=True)
class Memory:
    """The server's resident memory in MiB, before, during (median and most) and after the typing session, and by how much the median of its
    last hundred keystrokes is above that of its first hundred (of its last and first half, where it is shorter)."""

    before: float
    median: float
    most: float
    after: float
    growth: float


async def measure(model: Path | None, sizes: Sizes, seed: int) -> Measured:
    rng = random.Random(f"editor {seed}")
    one, several = with_missing_lines(sizes.starts, 1, rng), with_missing_lines(max(sizes.starts, sizes.cancels), _HOLES, rng)
    async with lacuna_lsp(model) as client:  # the first start may compile the server, and is not counted
        await client.initialize()
        await client.leave()
    started = []
    for number in range(sizes.starts):
        report.progress(f"start {number + 1} of {sizes.starts}")
        started.append(await from_start_to_end(model, one[number], several[number], rng.uniform(0, STOPPED_WITHIN)))
    async with lacuna_lsp(model) as client:
        await client.initialize({"seed": seed})
        files = sized_files(sizes.largest)
        client.open(files[0].uri, files[0].text)
        await client.ready()
        listed = {file: await listings(client, file, sizes.places, rng) for file in files}
        filled = await fills(client, with_missing_lines(sizes.fills, 1, rng))
        stopped = await cancels(client, several[: sizes.cancels], rng)
        await client.leave()
    found = passes(load_infiller(model), several[: min(sizes.cancels, _FILES_FOR_PASSES)])
    async with lacuna_lsp(model) as client:
        await client.initialize()
        session = await replay(client, record(sizes.keystrokes, seed))
        await client.leave()
    report.progress("")
    return Measured(tuple(started), listed, tuple(filled), stopped, found, session)


def percentile(share: float) -> Callable[[FloatArray], FloatArray]:
    """For `bootstrap`: that percentile of the first measurement over tasks."""

    def figure(samples: FloatArray) -> FloatArray:
        result: FloatArray = np.asarray(np.percentile(samples[..., 0], share, axis=-1))
        return result

    return figure


def summarise(figure: str, times: Sequence[float], target: str = "") -> Row:
    samples = np.array(times)[:, None]
    return Row(figure, len(times), bootstrap(percentile(50), samples), bootstrap(percentile(95), samples), max(times), target)


def rows(measured: Measured) -> list[Row]:
    """The table, one row a figure; none for what never came about."""
    started, stopped, listed = measured.started, measured.stopped, measured.listed.items()
    answered = [event for event in measured.session.events if event.outcome != "overtaken"]
    stop = f"<= {np.median(measured.passes.later) + CANCEL_BESIDE_A_PASS:.0f}, a pass + {CANCEL_BESIDE_A_PASS}"
    figures = (
        ("`initialize`, from the start of the process", [each.initialize for each in started], f"< {INITIALIZE}"),
        *((f"code actions listed, {file.lines:,} lines", times.at_rest, f"< {LISTING}") for file, times in listed),
        *((f"code actions listed, {file.lines:,} lines, from a keystroke on", times.typed, f"< {LISTING}") for file, times in listed),
        ("fill, from picking it to the edit, model loading at first", [each.first_fill for each in started], ""),
        ("fill, from picking it to the edit", measured.fills, ""),
        ("cancel of a fill, to its answer", stopped.cancels, stop),
        ("a pass of such a fill", measured.passes.later, ""),
        ("its first pass, with the prompt's", measured.passes.first, ""),
        ("hover right after such a cancel", stopped.hovers_after, ""),
        ("hover by itself", stopped.hovers, ""),
        ("shutdown during a fill, to the end of the process", [each.leave for each in started], f"< {EXIT}"),
        ("keystroke to answer for the cursor", [event.milliseconds for event in answered], ""),
        (f"the same, before a pause of {_PAUSE:g} s", [event.milliseconds for event in answered if event.pause >= _PAUSE], ""),
    )
    known = ((figure, [time for time in times if time is not None], target) for figure, times, target in figures)
    return [summarise(figure, times, target) for figure, times, target in known if times]


def memory(session: Session) -> Memory:
    during = np.array([event.resident for event in session.events]) / _MIB
    compared = min(_STROKES_COMPARED, (len(during) + 1) // 2)
    growth = np.median(during[-compared:]) - np.median(during[:compared])
    return Memory(session.before / _MIB, float(np.median(during)), float(during.max()), session.after / _MIB, float(growth))


def outcome_rows(events: Sequence[Event]) -> list[tuple[str, ...]]:
    """Of each outcome its share of the requests and its milliseconds."""
    found = []
    for outcome, meaning in OUTCOMES.items():
        times = [event.milliseconds for event in events if event.outcome == outcome]
        figures = [f"{figure:.0f}" for figure in (*np.percentile(times, [50, 95]), max(times))] if times else ["", "", ""]
        found.append((meaning, str(len(times)), f"{100 * len(times) / len(events):.1f}", *figures))
    return found


def plot(session: Session) -> Figure:
    """How soon answers came, by outcome, and memory over the session."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for outcome, meaning in OUTCOMES.items():
        times = [event.milliseconds for event in session.events if event.outcome == outcome]
        if times:
            left.ecdf(times, label=f"{meaning} ({len(times)})")
    left.set_xscale("log")
    left.set_xlabel("keystroke to answer, ms")
    left.set_ylabel("share of requests")
    left.legend(fontsize=8)
    right.plot([event.resident / _MIB for event in session.events])
    right.set_ylim(bottom=0)
    right.set_xlabel("keystroke")
    right.set_ylabel("resident memory of the server, MiB")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("editor", __doc__)
    parser.add_argument("--starts", type=int, metavar="N", default=20, help="fresh processes (default: %(default)s)")
    parser.add_argument("--places", type=int, metavar="N", default=100, help="listings in each file (default: %(default)s)")
    parser.add_argument("--fills", type=int, metavar="N", default=100, help="fills on a warm model (default: %(default)s)")
    parser.add_argument("--cancels", type=int, metavar="N", default=60, help="fills that are cancelled (default: %(default)s)")
    parser.add_argument("--keystrokes", type=int, metavar="N", default=500, help="keystrokes of the session (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses places, moments and the session (default: %(default)s)")
    arguments = parser.parse_args(argv)
    sizes = Sizes(arguments.starts, arguments.places, arguments.fills, arguments.cancels, arguments.keystrokes, 1_000_000)
    if arguments.quick:
        sizes = Sizes(starts=1, places=2, fills=2, cancels=2, keystrokes=6, largest=100_000)
    if min(asdict(sizes).values()) < 1:
        raise LacunaError("the numbers of starts, places, fills, cancels and keystrokes must be at least 1")
    measured = asyncio.run(measure(arguments.model, sizes, arguments.seed))
    table, used, events = rows(measured), memory(measured.session), measured.session.events
    report.print_table(
        "The language server over stdio, ms; 95% bootstrap intervals",
        ("from asking to the answer", "number", "median", "p95", "worst", "target"),
        [(row.figure, str(row.count), f"{row.median:.0f}", f"{row.p95:.0f}", f"{row.worst:.0f}", row.target) for row in table],
    )
    accepted = sum(event.kind == "accept" for event in events)
    report.print_table(
        f"{len(events)} keystrokes in {measured.session.seconds:.0f} s, {accepted} of them to take words of a proposal: "
        "what became of their requests",
        ("outcome", "number", "%", "median ms", "p95", "worst"),
        outcome_rows(events),
    )
    print(
        f"Resident memory: {used.before:.0f} MiB before the session, {used.median:.0f} (median) and {used.most:.0f} (most) during it, "
        f"{used.after:.0f} after it; from its first hundred keystrokes to its last {used.growth:+.0f} MiB."
    )
    refused = sum(time is None for time in measured.fills)
    print(f"{refused} of {len(measured.fills)} fills gave nothing good enough to show; {measured.stopped.too_late} cancels came too late.")
    settings = {
        "sizes": asdict(sizes),
        "seed": arguments.seed,
        "bytes_of_files": {file.name: len(file.text.encode()) for file in measured.listed},
        "fills_without_edit": refused,
        "cancels_too_late": measured.stopped.too_late,
        "memory_mib": asdict(used),
        "session_seconds": measured.session.seconds,
        "accepted": accepted,
        "outcomes": {outcome: sum(event.outcome == outcome for event in events) for outcome in OUTCOMES},
    }
    report.write(report.folder(arguments), "editor", settings, [asdict(row) for row in table], plot(measured.session))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
