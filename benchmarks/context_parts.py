"""What each part of the context is worth: bits per byte of hole text with all parts in the window, and with one of them left out.

Holes are lines, rests of lines and syntax nodes, a third each, of Python files that are longer than the model's window. Each file is
opened together with some others of its project: those that it imports first, then those of its folder. The true text of the hole, end
mark included, is scored given the context that the language server chooses. Files are those of the folders that are named, else the
held-out ones of a corpus in runs/corpus, else of the installed distributions that the corpus's rule holds out of training.

The share of the room that each part may take is tried too: which is the best on one half of the files, and what that gives on the other.
Differences are paired; intervals are 95% bootstrap intervals over files.
"""

from __future__ import annotations

import copy
import math
import random
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from matplotlib.figure import Figure
from tree_sitter import Node, Tree

from benchmarks import report
from benchmarks.intervals import FloatArray, Interval, bootstrap, ratio_of_sums
from benchmarks.reliability import BoolArray, IntArray
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.passage import Passage
from export import corpus
from export.corpus.filters import path_reason, text_reason
from export.corpus.sources import find_sources
from lsp_server.buffer import Buffer
from lsp_server.context import SHARES, OtherFile, Shares, choose_context
from lsp_server.holes import Hole, hole_from_range
from lsp_server.line_ends import to_model
from lsp_server.statements import Span, imports
from lsp_server.syntax import leaf_at, parse

CORPUS = Path(__file__).parents[1] / "runs" / "corpus"
# Shares of the room that are tried for each part.
TRIED = {"headers": (0.0, 1 / 12, 1 / 6, 1 / 3), "imports": (0.0, 1 / 24, 1 / 12, 1 / 6), "definitions": (0.0, 1 / 16, 1 / 8, 1 / 4, 3 / 8)}
WINDOWS = (128, 256)  # smaller ones than the model's
LINE, REST, NODE = KINDS = ("a line", "the rest of a line", "a syntax node")
_OWN = ("engine", "export", "lsp_server", "benchmarks")
_QUICK_FILES = 40
_LEAST_BYTES = 4  # of a hole: shorter ones say little
_MOST_BYTES = 240
_TRIES = 20  # places drawn in a file until one makes a hole


@dataclass(frozen=True)
class File:
    """A parsed file of a project; `path` as the project has it."""

    project: str
    path: str
    buffer: Buffer
    tree: Tree


@dataclass(frozen=True)
class Example:
    """A hole in a file, and what else of its project is open."""

    file: File
    hole: Hole
    others: tuple[OtherFile, ...]

    @property
    def text(self) -> str:
        """What stands in the hole, as the model has it."""
        return to_model(self.file.buffer.source[self.hole.start : self.hole.end].decode("utf-8"))


@dataclass(frozen=True)
class Variant:
    """A way to choose the context: the `shares`, whether `others` are shown, and the window if it is not the model's.

    It is compared with the variant called `against`.
    """

    name: str
    against: str
    shares: Shares = SHARES
    others: bool = True
    window: int | None = None


EVERYTHING = "everything"
NO_OTHERS = "no definitions of other files"
PARTS = (
    Variant(EVERYTHING, EVERYTHING),
    Variant("no headers", EVERYTHING, replace(SHARES, headers=0)),
    Variant("no imports", EVERYTHING, replace(SHARES, imports=0)),
    Variant(NO_OTHERS, EVERYTHING, others=False),
    Variant("no definitions of this file either", NO_OTHERS, replace(SHARES, definitions=0), others=False),
    Variant("the nearest lines alone", EVERYTHING, Shares(0, 0, 0), others=False),
    Variant("no near lines", EVERYTHING, replace(SHARES, near=0)),
)


def _with_share(part: str, share: float) -> Variant:
    def name(share: float) -> str:
        return f"{part} up to {share:.2f} of the room"

    return Variant(name(share), name(getattr(SHARES, part)), replace(SHARES, **{part: share}))


OF_SHARES = {part: tuple(_with_share(part, share) for share in shares) for part, shares in TRIED.items()}


def _narrow(window: int) -> tuple[Variant, Variant]:
    everything = f"window of {window}, everything"
    alone = Variant(f"window of {window}, the nearest lines alone", everything, Shares(0, 0, 0), others=False, window=window)
    return Variant(everything, everything, window=window), alone


NARROW = tuple(variant for window in WINDOWS for variant in _narrow(window))


@dataclass(frozen=True)
class Row:
    """Bits per byte of hole text, and how many more that is than `against`; `changed` is the share of holes whose context differs from
    that one's, and `more_there` the difference on these alone (None where there is none)."""

    variant: str
    against: str
    bits_per_byte: Interval
    more: Interval
    changed: float
    more_there: Interval | None


@dataclass(frozen=True)
class Bits:
    """For each hole `[H]` the number of its file, and its bytes; `[H, V]` the bits of its text by variant, and whether the context differs
    from that of the variant which it is compared with."""

    file: IntArray
    size: FloatArray
    bits: FloatArray
    changed: BoolArray

    def of(self, holes: BoolArray) -> Bits:
        """Those of some holes."""
        return Bits(self.file[holes], self.size[holes], self.bits[holes], self.changed[holes])


def projects(folders: Sequence[Path] | None, quick: bool) -> tuple[str, list[File]]:
    """What the files are, and all that parse: those of `folders`, each a project, else held-out ones (see above); this project's for a
    quick look. Raises LacunaError where there are fewer than two.
    """
    if folders:
        source, found = "files of " + ", ".join(folder.name for folder in folders), list(_in_folders(folders))
    elif quick:
        source, found = "own files", list(_in_folders([Path(__file__).parents[1] / name for name in _OWN]))[:_QUICK_FILES]
    elif (CORPUS / "manifest.json").is_file():
        source = "held-out files of the corpus"
        found = [_parsed(file.project, file.path, file.text.encode()) for file in corpus.load(CORPUS, "held_out")]
    else:
        names, found = _installed()
        source = "installed distributions held out of training: " + ", ".join(names)
    files = [file for file in found if file is not None]
    if len(files) < 2:
        raise LacunaError(f"there are {len(files)} Python files to measure on; name folders with more of them")
    return source, files


def _in_folders(folders: Sequence[Path]) -> Iterator[File | None]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield _parsed(str(folder), path.relative_to(folder.parent).as_posix(), path.read_bytes())


def _installed() -> tuple[list[str], list[File | None]]:
    """The names, with versions, of the permissively licensed distributions of this Python that the corpus's rule holds out, and those of
    their files that a corpus would keep."""
    names: list[str] = []
    found: list[File | None] = []
    for source in find_sources([Path(sysconfig.get_path("purelib"))], []):
        if source.split == "held_out" and source.licence is not None:
            kept = [_parsed(source.name, name, path.read_bytes()) for name, path in source.files if path_reason(name) is None]
            kept = [file for file in kept if file is not None and text_reason(file.buffer.text) is None]
            found += kept
            names += [f"{source.name} {source.version}"] if kept else []
    return names, found


def _parsed(project: str, path: str, data: bytes) -> File | None:
    """The file; None for one that is empty, no UTF-8 or no sound Python."""
    try:
        buffer = Buffer.from_bytes(data, path)
    except LacunaError:
        return None
    tree = parse(buffer.source, "python")
    return None if tree is None or tree.root_node.has_error or not buffer.source.strip() else File(project, path, buffer, tree)


def draw(files: Sequence[File], infiller: LocalInfiller, count: int, opened: int, seed: int) -> list[Example]:
    """`count` holes, one a file before any file gets a second, in files longer than the window, with `opened` others of the project.

    Raises LacunaError where no file is long enough.
    """
    rng = random.Random(f"context parts/{seed}")
    long = [file for file in files if infiller.count_tokens(file.buffer.text[: 8 * infiller.window]) > infiller.window]
    if not long:
        raise LacunaError(f"no file is longer than the window of {infiller.window} tokens; name folders with larger ones")
    open_files = {file.path: OtherFile(file.buffer, file.tree) for file in files}
    examples: list[Example] = []
    while len(examples) < count:
        rng.shuffle(long)
        for file in long[: count - len(examples)]:
            hole = _hole(file, infiller, rng, KINDS[len(examples) % len(KINDS)])
            if hole is not None:
                others = _opened_with(file, files, opened, rng)
                examples.append(Example(file, hole, tuple(open_files[other.path] for other in others)))
    return examples


def _hole(file: File, infiller: LocalInfiller, rng: random.Random, kind: str) -> Hole | None:
    buffer = file.buffer
    for _ in range(_TRIES):
        at = rng.randrange(len(buffer.source))
        start, end = _line(buffer, at) if kind == LINE else _rest(file, at) if kind == REST else _node(file.tree, at, rng)
        if _LEAST_BYTES <= end - start <= _MOST_BYTES:
            hole = hole_from_range(buffer, start, end)
            text = to_model(buffer.source[start:end].decode("utf-8"))
            # At most what a hole takes in any of the windows that are measured.
            if infiller.count_tokens(text) < hole.budget <= WINDOWS[0] // 2:
                return hole
    return None


def _line(buffer: Buffer, at: int) -> Span:
    """The text of a line, without its indentation and its line end."""
    line = buffer.line_at(at)
    start, end = buffer.line_starts[line], buffer.line_end(line)
    text = buffer.source[start:end]
    return start + len(text) - len(text.lstrip()), start + len(text.rstrip())


def _rest(file: File, at: int) -> Span:
    """What follows on a line from a token on that is not its first."""
    leaf = leaf_at(file.tree, at)
    first, end = _line(file.buffer, at)
    start = first if leaf is None else leaf.start_byte
    return (start, end) if first < start < end else (at, at)


def _node(tree: Tree, at: int, rng: random.Random) -> Span:
    """One of the named nodes around a place that are short enough."""
    node: Node | None = tree.root_node.named_descendant_for_byte_range(at, at)
    around: list[Span] = []
    while node is not None and node.end_byte - node.start_byte <= _MOST_BYTES:
        around.append((node.start_byte, node.end_byte))
        node = node.parent
    return rng.choice(around) if around else (at, at)


def _opened_with(file: File, files: Sequence[File], count: int, rng: random.Random) -> list[File]:
    """At most `count` other files of the project: those whose names the imports have, then those of the folder, then any."""
    source = file.buffer.source
    words = set(re.findall(r"\w+", " ".join(source[start:end].decode("utf-8") for start, end in imports(file.tree))))
    folder = PurePosixPath(file.path).parent

    def rank(other: File) -> tuple[bool, bool, float]:
        path = PurePosixPath(other.path)
        return path.stem not in words, path.parent != folder, rng.random()

    return sorted((other for other in files if other.project == file.project and other is not file), key=rank)[:count]


def measure(infiller: LocalInfiller, examples: Sequence[Example], variants: Sequence[Variant]) -> Bits:
    """Score every hole under every variant."""
    narrowed = {variant.window: _narrowed(infiller, variant.window) for variant in variants}
    numbers = {path: number for number, path in enumerate(dict.fromkeys(example.file.path for example in examples))}
    bits = np.zeros((len(examples), len(variants)))
    changed = np.zeros_like(bits, dtype=bool)
    compared = [[variant.name for variant in variants].index(variant.against) for variant in variants]
    for row, example in enumerate(examples):
        report.progress(f"hole {row + 1} of {len(examples)}")
        scored: dict[Passage, float] = {}
        passages: list[Passage] = []
        for variant in variants:
            file, others = example.file, example.others if variant.others else ()
            context = choose_context(file.buffer, file.tree, (example.hole,), narrowed[variant.window], others, variant.shares)
            passages.append(context.passage())
            if passages[-1] not in scored:
                scored[passages[-1]] = -infiller.score(passages[-1], (example.text,), 0).logprob / math.log(2)
        bits[row] = [scored[passage] for passage in passages]
        changed[row] = [passage != passages[against] for passage, against in zip(passages, compared, strict=True)]
    report.progress("")
    size = np.array([len(example.text.encode()) for example in examples], dtype=np.float64)
    return Bits(np.array([numbers[example.file.path] for example in examples]), size, bits, changed)


def _narrowed(infiller: LocalInfiller, window: int | None) -> LocalInfiller:
    """The model with a smaller window, as the choice of context sees it."""
    if window is None:
        return infiller
    narrow = copy.copy(infiller)
    narrow.manifest = replace(infiller.manifest, window=window)
    return narrow


def summarise(variants: Sequence[Variant], found: Bits) -> list[Row]:
    """One row a variant."""
    names = [variant.name for variant in variants]

    def per_file(values: FloatArray, holes: BoolArray) -> Interval:
        files = np.unique(found.file[holes], return_inverse=True)[1]
        sums = np.zeros((files.max() + 1, 2))
        np.add.at(sums, files, np.stack([values[holes], found.size[holes]], axis=-1))
        return bootstrap(ratio_of_sums, sums)

    rows: list[Row] = []
    everywhere = np.ones(len(found.size), dtype=bool)
    for number, variant in enumerate(variants):
        more = found.bits[:, number] - found.bits[:, names.index(variant.against)]
        there = found.changed[:, number]
        rows.append(
            Row(
                variant.name,
                variant.against,
                per_file(found.bits[:, number], everywhere),
                per_file(more, everywhere),
                float(there.mean()),
                per_file(more, there) if there.any() else None,
            )
        )
    return rows


def best_of(found: Bits, numbers: Sequence[int]) -> int:
    """Which of the variants with these numbers in `found` has the fewest bits: its number."""
    return min(numbers, key=lambda number: float(found.bits[:, number].sum()))


def plot(rows: Sequence[Row]) -> Figure:
    """How many bits per byte more each variant of the parts needs than what it is compared with."""
    shown = [row for row in rows if row.variant != row.against]
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(reversed(shown)):
        low, high = row.more.value - row.more.low, row.more.high - row.more.value
        axes.errorbar(row.more.value, place, xerr=[[low], [high]], fmt="o", color="C0", capsize=3)
    axes.set_yticks(range(len(shown)), [row.variant for row in reversed(shown)])
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_xlabel("bits per byte of hole text more than with the part")
    return figure


def _signed(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval:+.4f}"


def _print(title: str, rows: Sequence[Row]) -> None:
    report.print_table(
        title,
        ("context", "bits per byte", "more than", "more", "contexts that differ", "more there"),
        [
            (
                row.variant,
                f"{row.bits_per_byte.value:.4f}",
                "" if row.variant == row.against else row.against,
                "" if row.variant == row.against else _signed(row.more),
                "" if row.variant == row.against else f"{row.changed:.0%}",
                "" if row.variant == row.against else _signed(row.more_there),
            )
            for row in rows
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("context_parts", __doc__)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="a project each (default: see above)")
    parser.add_argument("--holes", type=int, metavar="N", default=1200, help="holes (default: %(default)s)")
    parser.add_argument("--opened", type=int, metavar="N", default=4, help="other files that are open (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses files and holes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    count = 8 if arguments.quick else arguments.holes
    if count < 2:
        raise LacunaError(f"at least 2 holes are needed, not {count}")
    infiller = load_infiller(arguments.model)
    source, files = projects(arguments.folders, arguments.quick)
    examples = draw(files, infiller, count, arguments.opened, arguments.seed)
    variants = (*PARTS, *(variant for tried in OF_SHARES.values() for variant in tried), *NARROW)
    found = measure(infiller, examples, variants)
    rows = summarise(variants, found)
    parts, narrow = rows[: len(PARTS)], rows[-len(NARROW) :]
    title = f"{count} holes in {len(np.unique(found.file))} files, {infiller.model_name}, window of {infiller.window} tokens"
    _print(f"{title}; {source}; {arguments.opened} other files open; 95% bootstrap intervals over files", parts)
    halves = [found.of(found.file % 2 == half) for half in (0, 1)]
    other_half = summarise(variants, halves[1])
    chosen: dict[str, float] = {}
    for part, tried in OF_SHARES.items():
        numbers = [variants.index(variant) for variant in tried]
        best = variants[best_of(halves[0], numbers)]
        chosen[part] = getattr(best.shares, part)
        _print(f"On one half of the files {best.name} is the best; the other half", [other_half[number] for number in numbers])
    _print("Smaller windows", narrow)
    settings = {
        "source": source,
        "holes": count,
        "files": len(np.unique(found.file)),
        "hole_bytes": int(found.size.sum()),
        "opened": arguments.opened,
        "seed": arguments.seed,
        "model": infiller.model_name,
        "window": infiller.window,
        "best_on_one_half": chosen,
        "shares_on_the_other_half": [asdict(row) for row in other_half[len(PARTS) : -len(NARROW)]],
        "smaller_windows": [asdict(row) for row in narrow],
    }
    report.write(report.folder(arguments), "context_parts", settings, [asdict(row) for row in parts], plot(parts))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
