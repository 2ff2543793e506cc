"""What each part of the context is worth: bits per byte of hole text with all parts in the window, and with one of them left out.

Holes are lines, rests of lines and syntax nodes, a third each, of Python files longer than the model's window, each file opened together
with some others of its project: those that it imports first, then those of its folder. The true text of the hole, end mark included, is
scored given the context that the language server chooses. The share of the room that definitions get is chosen on one half of the files
and reported on the other. Differences are paired; intervals are 95% bootstrap intervals over files.
"""

from __future__ import annotations

import copy
import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from tree_sitter import Node, Tree

from benchmarks import report
from benchmarks.intervals import FloatArray, Interval, bootstrap, ratio_of_sums
from benchmarks.reliability import BoolArray, IntArray
from engine.errors import LacunaError
from engine.local import LocalInfiller
from engine.passage import Passage
from export import corpus
from lsp_server.buffer import Buffer
from lsp_server.context import SHARES, OtherFile, Shares, choose_context
from lsp_server.holes import Hole, hole_from_range
from lsp_server.line_ends import to_model
from lsp_server.statements import Span, imports
from lsp_server.syntax import leaf_at, parse

CORPUS = Path(__file__).parents[1] / "runs" / "corpus"
DEFINITION_SHARES = (0.0, 1 / 16, 1 / 8, 1 / 4)
EVERYTHING = "everything"
WINDOWS = (128, 256)  # smaller ones than the model's
LINE, REST, NODE = KINDS = ("a line", "the rest of a line", "a syntax node")
_OWN = ("engine", "export", "lsp_server", "benchmarks")
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
    """A way to choose the context: the `shares`, whether `others` are shown, and the window if it is not the model's."""

    name: str
    shares: Shares = SHARES
    others: bool = True
    window: int | None = None


@dataclass(frozen=True)
class Row:
    """Bits per byte of hole text, how many more that is than with everything, and the share of holes whose context differs from that."""

    variant: str
    bits_per_byte: Interval
    more: Interval
    changed: float


@dataclass(frozen=True)
class Bits:
    """For each hole `[H]` the number of its file, and its bytes; `[H, V]` the bits of its text by variant, and whether the context differs
    from that of the first variant."""

    file: IntArray
    size: FloatArray
    bits: FloatArray
    changed: BoolArray

    def of(self, holes: BoolArray) -> Bits:
        """Those of some holes."""
        return Bits(self.file[holes], self.size[holes], self.bits[holes], self.changed[holes])


def projects(folders: Sequence[Path] | None) -> tuple[str, list[File]]:
    """What the files are, and all that parse: those of `folders`, each a project, else the corpus's held-out ones, else this project's.

    Raises LacunaError where there are fewer than two.
    """
    if folders:
        source, found = "files of " + ", ".join(folder.name for folder in folders), list(_in_folders(folders))
    elif (CORPUS / "manifest.json").is_file():
        source = "held-out files of the corpus"
        found = [_parsed(file.project, file.path, file.text.encode()) for file in corpus.load(CORPUS, "held_out")]
    else:
        source, found = "own files", list(_in_folders([Path(__file__).parents[1] / name for name in _OWN]))
    files = [file for file in found if file is not None]
    if len(files) < 2:
        raise LacunaError(f"there are {len(files)} Python files to measure on; name folders with more of them")
    return source, files


def _in_folders(folders: Sequence[Path]) -> Iterator[File | None]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield _parsed(str(folder), path.relative_to(folder.parent).as_posix(), path.read_bytes())


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
        changed[row] = [passage != passages[0] for passage in passages]
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
    """One row a variant; the first one is what the others are compared with."""
    files = np.unique(found.file, return_inverse=True)[1]

    def per_file(values: FloatArray) -> Interval:
        sums = np.zeros((files.max() + 1, 2))
        np.add.at(sums, files, np.stack([values, found.size], axis=-1))
        return bootstrap(ratio_of_sums, sums)

    return [
        Row(
            variant.name,
            per_file(found.bits[:, number]),
            per_file(found.bits[:, number] - found.bits[:, 0]),
            float(found.changed[:, number].mean()),
        )
        for number, variant in enumerate(variants)
    ]
