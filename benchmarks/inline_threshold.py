"""What the least probability of a proposal buys: how often one is shown, and how often it is what stood there.

Places are cut from files: a line loses what stands behind a random character (the line goes on, as while typing), a syntax node within a
line (the rest of the line stands), or a block is gone from its first line's indentation on. At each the language server's own code
proposes what it would propose while somebody types, the likeliest text; `inlineMinProbability` then decides by the mean probability of its
tokens whether it is shown. A proposal *begins right* where its first word or sign is that of what stood there, it is *right* where
what stood there begins with all of it, and *whole* where it is moreover all of the node or of the line's rest, or whole lines of the block.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from tree_sitter import Node, Tree

from benchmarks import report
from benchmarks.infilling_tasks import SINGLE_LINE, load_infilling_tasks
from benchmarks.intervals import FloatArray, Interval, bootstrap, ratio_of_sums
from benchmarks.tasks import own_lines
from engine.errors import LacunaError
from engine.infiller import Infiller
from engine.local import load_infiller
from engine.options import FillOptions
from lsp_server.buffer import Buffer
from lsp_server.configuration import Settings
from lsp_server.extent import extent_at
from lsp_server.proposals import Place, propose
from lsp_server.syntax import parse

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DEFAULT = Settings().inline_min_probability
_GREEDY = FillOptions(count=1, temperature=0)
_FIRST = re.compile(r"\s*(?:\w+|[^\w\s])")
Kind = Literal["rest of a line", "node within a line", "block"]
KINDS: tuple[Kind, ...] = ("rest of a line", "node within a line", "block")


@dataclass(frozen=True)
class Source:
    """A file's text, and the lines `[start, end)` in it (their line ends left out) that places may be cut from."""

    name: str
    text: str
    lines: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Cut:
    """Characters `start` to `end` of a file's text that are gone; the cursor stands in their stead."""

    source: Source
    kind: Kind
    start: int
    end: int

    @property
    def gone(self) -> str:
        return self.source.text[self.start : self.end]


@dataclass(frozen=True)
class Judged:
    """What was proposed at a cut: the mean probability of its tokens (0 where nothing was), its characters, and how right it was."""

    source: str
    kind: Kind
    probability: float
    characters: int
    begins_right: bool
    right: bool
    whole: bool


@dataclass(frozen=True)
class Row:
    """One threshold. `shown` is a share of the places; `begins_right`, `right` and `whole` are of the proposals shown (None where there
    were none); `right_of_all` is of the places, and `saved` the characters a place that right proposals spare."""

    threshold: float
    shown: Interval
    begins_right: Interval | None
    right: Interval | None
    whole: Interval | None
    right_of_all: Interval
    saved: Interval


def own_sources() -> list[Source]:
    """This project's own files."""
    lines: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for line in own_lines():
        end = line.start + len(line.text[line.start : line.end].rstrip("\r\n"))
        lines.setdefault((line.name.rpartition(":")[0], line.text), []).append((line.start, end))
    return [Source(name, text, tuple(found)) for (name, text), found in lines.items()]


def infilling_sources(folder: Path) -> list[Source]:
    """The programs of HumanEval-Infilling, whose lines are those of its single-line tasks."""
    lines: dict[str, list[tuple[int, int]]] = {}
    for task in load_infilling_tasks(folder, SINGLE_LINE, None, 0):
        start = len(task.pieces[0])
        lines.setdefault(task.program(task.expected), []).append((start, start + len(task.expected[0].rstrip("\r\n"))))
    return [Source(f"program {number}", text, tuple(found)) for number, (text, found) in enumerate(lines.items())]


def cuts(sources: Sequence[Source], count: int, rng: random.Random) -> list[Cut]:
    """`count` cuts, the kinds in turn and each file alike. Raises LacunaError for a number below 1."""
    if count < 1:
        raise LacunaError(f"the number of places must be at least 1, not {count}")
    trees: dict[str, tuple[Buffer, Tree]] = {}
    found: list[Cut] = []
    while len(found) < count:
        kind, source = KINDS[len(found) % len(KINDS)], rng.choice(sources)
        if source.name not in trees:
            trees[source.name] = _parsed(source.text)
        buffer, tree = trees[source.name]
        possible = list(_blocks(source, buffer, tree)) if kind == "block" else list(source.lines)
        if not possible:
            continue
        start, end = rng.choice(possible)
        if kind == "rest of a line":
            written = [start + place.start() for place in re.finditer(r"\S", source.text[start:end])]
            start = rng.choice(written)
        elif kind == "node within a line":
            inside = list(_nodes(buffer, tree, len(source.text[:start].encode()), len(source.text[:end].encode())))
            if not inside:
                continue
            start, end = (len(buffer.source[:offset].decode()) for offset in rng.choice(inside))
        found.append(Cut(source, kind, start, end))
    return found


def _parsed(text: str) -> tuple[Buffer, Tree]:
    buffer = Buffer(text.encode("utf-8"), "file.py")
    tree = parse(buffer.source, "python")
    assert tree is not None  # Python's grammar is always there
    return buffer, tree


def _blocks(source: Source, buffer: Buffer, tree: Tree) -> Iterator[tuple[int, int]]:
    """The bodies of compound statements that begin on lines that may be cut, without their first line's indentation."""
    starts = {start + len(line) - len(line.lstrip()): True for start, end in source.lines for line in (source.text[start:end],)}
    for node in _nodes_in(tree, 0, len(buffer.source)):
        if node.type == "block":
            start = len(buffer.source[: node.start_byte].decode())
            end = len(buffer.source[: node.end_byte].decode())
            if start in starts and not source.text[start:end].isspace():
                yield start, start + len(source.text[start:end].rstrip())


def _nodes(buffer: Buffer, tree: Tree, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Named nodes, in bytes, that stand within a line with code behind them."""
    for node in _nodes_in(tree, start, end):
        if node.is_named and start < node.start_byte and node.end_byte < end and buffer.source[node.end_byte : end].strip():
            yield node.start_byte, node.end_byte


def _nodes_in(tree: Tree, start: int, end: int) -> Iterator[Node]:
    """All nodes that have a part in the bytes `start` to `end`."""
    stack = [tree.root_node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(child for child in reversed(node.children) if child.start_byte < end and start < child.end_byte)


def judge(cut: Cut, infiller: Infiller) -> Judged:
    """What is proposed at a cut, while nobody asked."""
    text = cut.source.text
    buffer, tree = _parsed(text[: cut.start] + text[cut.end :])
    offset = len(text[: cut.start].encode())
    proposals = propose(Place(buffer, tree, offset), extent_at(buffer, tree, offset), infiller, _GREEDY)
    if not proposals.found:
        return Judged(cut.source.name, cut.kind, 0.0, 0, begins_right=False, right=False, whole=False)
    best = proposals.found[0]
    return Judged(cut.source.name, cut.kind, best.mean_probability, len(best.text), **how_right(best.text, cut))


def how_right(proposed: str, cut: Cut) -> dict[str, bool]:
    """The three degrees of it."""
    first, gone_first = _FIRST.match(proposed), _FIRST.match(cut.gone)
    right = cut.gone.startswith(proposed)
    left = cut.gone[len(proposed) :]
    return {
        "begins_right": first is not None and gone_first is not None and first[0] == gone_first[0],
        "right": right,
        "whole": right and (not left or (cut.kind == "block" and left.lstrip(" \t").startswith("\n"))),
    }


def summarise(judged: Sequence[Judged], threshold: float) -> Row:
    """Intervals are over files, whose places are alike."""
    number = {name: index for index, name in enumerate(dict.fromkeys(each.source for each in judged))}

    def per_file(values: Sequence[float]) -> FloatArray:
        sums = np.zeros(len(number))
        np.add.at(sums, [number[each.source] for each in judged], values)
        return sums

    shown = [float(each.characters > 0 and each.probability >= threshold) for each in judged]
    places = per_file([1.0] * len(judged))

    def share(values: Sequence[float], of: FloatArray) -> Interval:
        samples = np.stack([per_file([value * seen for value, seen in zip(values, shown, strict=True)]), of], axis=-1)
        return bootstrap(ratio_of_sums, samples[of > 0])

    def of_shown(values: Sequence[float]) -> Interval | None:
        return share(values, per_file(shown)) if any(shown) else None

    right = [float(each.right) for each in judged]
    return Row(
        threshold=threshold,
        shown=share([1.0] * len(judged), places),
        begins_right=of_shown([float(each.begins_right) for each in judged]),
        right=of_shown(right),
        whole=of_shown([float(each.whole) for each in judged]),
        right_of_all=share(right, places),
        saved=share([each.characters * float(each.right) for each in judged], places),
    )


def plot(judged: Sequence[Judged], rows: Sequence[Row]) -> Figure:
    """How many are shown and right by threshold, and how many of those shown are right, by kind of place."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, intervals in (
        ("shown, of all places", [(row.threshold, row.shown) for row in rows]),
        ("begins right, of those shown", [(row.threshold, row.begins_right) for row in rows if row.begins_right]),
        ("right, of those shown", [(row.threshold, row.right) for row in rows if row.right]),
        ("whole, of those shown", [(row.threshold, row.whole) for row in rows if row.whole]),
        ("right, of all places", [(row.threshold, row.right_of_all) for row in rows]),
    ):
        (line,) = left.plot([at for at, _ in intervals], [each.value for _, each in intervals], "o-", markersize=4, label=name)
        low, high = [each.low for _, each in intervals], [each.high for _, each in intervals]
        left.fill_between([at for at, _ in intervals], low, high, alpha=0.2, color=line.get_color(), linewidth=0)
    for kind in KINDS:
        shown = [
            (least, [each.right for each in judged if each.kind == kind and each.probability >= max(least, 1e-9)]) for least in THRESHOLDS
        ]
        points = [(least, np.mean(some)) for least, some in shown if some]
        right.plot([least for least, _ in points], [share for _, share in points], "o-", markersize=4, label=kind)
    left.set_ylabel("share")
    right.set_ylabel("share right of those shown")
    for axes in (left, right):
        axes.set_ylim(0, 1)
        axes.axvline(DEFAULT, color="0.5", linewidth=1, linestyle="--", label="the default")
        axes.set_xlabel("least mean probability of a token")
        axes.legend(fontsize=8)
    return figure


def _percent(interval: Interval | None) -> str:
    return "" if interval is None else f"{Interval(100 * interval.value, 100 * interval.low, 100 * interval.high):.1f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("inline_threshold", __doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder with HumanEval-Infilling (default: this project's own files)")
    parser.add_argument("--places", type=int, metavar="N", default=900, help="places (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses the places (default: %(default)s)")
    arguments = parser.parse_args(argv)
    sources = own_sources() if arguments.data is None else infilling_sources(arguments.data)
    chosen = cuts(sources, 15 if arguments.quick else arguments.places, random.Random(f"threshold {arguments.seed}"))
    infiller = load_infiller(arguments.model)
    judged = []
    for number, cut in enumerate(chosen):
        report.progress(f"place {number + 1} of {len(chosen)}")
        judged.append(judge(cut, infiller))
    report.progress("")
    rows = [summarise(judged, threshold) for threshold in THRESHOLDS]
    source = "own files" if arguments.data is None else "HumanEval's programs"
    report.print_table(
        f"{len(judged)} places in {len({each.source for each in judged})} files ({source}), {infiller.model_name}; percent, 95% bootstrap "
        "intervals over files",
        (
            "least probability",
            "shown",
            "of those begins right",
            "right",
            "whole",
            "shown and right, of all places",
            "characters spared a place",
        ),
        [
            (
                f"{row.threshold:g}{' (default)' * (row.threshold == DEFAULT)}",
                _percent(row.shown),
                _percent(row.begins_right),
                _percent(row.right),
                _percent(row.whole),
                _percent(row.right_of_all),
                f"{row.saved:.2f}",
            )
            for row in rows
        ],
    )
    of_kinds = {kind: summarise(some, DEFAULT) for kind in KINDS if (some := [each for each in judged if each.kind == kind])}
    report.print_table(
        f"At {DEFAULT:g}, by what is missing",
        ("missing", "shown", "of those begins right", "right", "whole", "shown and right, of all places"),
        [(kind, *map(_percent, (row.shown, row.begins_right, row.right, row.whole, row.right_of_all))) for kind, row in of_kinds.items()],
    )
    settings = {
        "source": source,
        "places": len(judged),
        "seed": arguments.seed,
        "model": infiller.model_name,
        "provider": infiller.provider,
        "default": DEFAULT,
        "by_kind_at_the_default": {kind: asdict(row) for kind, row in of_kinds.items()},
    }
    name = "inline_threshold" if arguments.data is None else "inline_threshold_humaneval"
    report.write(report.folder(arguments), name, settings, [asdict(row) for row in rows], plot(judged, rows))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
