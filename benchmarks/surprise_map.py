"""What a surprise map costs and is worth, by the size of its chunks.

A map scores a chunk of text in one pass, so that a token is given what precedes it and what follows the chunk. The reference scores
syntax nodes (leaves of the tree) one at a time, each given all around it, a pass for each. Both are compared node by node: rank
correlation of their bits (end marks left out), and how many of the tenth that surprises the reference most are in the map's own tenth.
One more row has the whole file as one hole, from the left, which is given nothing that follows. Files are this project's own. An
edit is a line written twice; what it costs is the share of chunks that have to be scored anew.
"""

from __future__ import annotations

import random
import sys
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from tree_sitter import Tree

from benchmarks import report
from benchmarks.intervals import FloatArray, Interval, bootstrap, ratio_of_sums
from benchmarks.tasks import own_lines
from engine.errors import LacunaError
from engine.infiller import Infiller
from engine.local import load_infiller
from lsp_server.buffer import Buffer
from lsp_server.scoring import ScoredToken, score_range
from lsp_server.statements import Span
from lsp_server.surprise_map import CHUNK_TOKENS, chunk_tokens, chunks, question_of
from lsp_server.syntax import parse

_SIZES = (16, 32, 64, 128, 250)
_EDITS = 4
# Files of other sizes are left out: a short one has nothing around its chunks, and a long one would outweigh the others.
_LINES = (40, 250)


@dataclass(frozen=True)
class Case:
    """A file, some of its leaves, and the bits of each by the reference."""

    buffer: Buffer
    tree: Tree
    leaves: tuple[Span, ...]
    bits: tuple[float, ...]

    @property
    def lines(self) -> int:
        return len(self.buffer.line_starts) - 1


@dataclass(frozen=True)
class Mapped:
    """One file's map: the bits of the case's leaves, passes made, seconds taken, and the share of chunks that an edit costs."""

    bits: tuple[float, ...]
    passes: int
    seconds: float
    edit_share: float


@dataclass(frozen=True)
class Row:
    """One way to make a map. Passes and seconds are for 1,000 lines."""

    chunk_tokens: int | None
    passes: float
    seconds: Interval
    correlation: Interval
    top_tenth: Interval
    edit_share: Interval


def leaves(tree: Tree) -> list[Span]:
    """The tokens of the tree, whole strings and comments included, in the order of the text."""
    stack, found = [tree.root_node], []
    while stack:
        node = stack.pop()
        if node.child_count:
            stack.extend(reversed(node.children))
        elif node.start_byte < node.end_byte:
            found.append((node.start_byte, node.end_byte))
    return found


def parsed(text: str, name: str) -> tuple[Buffer, Tree]:
    buffer = Buffer(text.encode("utf-8"), name)
    tree = parse(buffer.source, "python")
    assert tree is not None  # Python's grammar is always there
    return buffer, tree


def cases(infiller: Infiller, files: int, nodes: int, seed: int) -> list[Case]:
    """`files` of this project's files with at most `nodes` scored leaves each. Raises LacunaError for numbers below 1."""
    if min(files, nodes) < 1:
        raise LacunaError(f"the numbers of files and of nodes must be at least 1, not {min(files, nodes)}")
    texts = {line.text: line.name.partition(":")[0] for line in own_lines()}
    fitting = [text for text in texts if _LINES[0] <= text.count("\n") <= _LINES[1]]
    rng = random.Random(seed)
    rng.shuffle(fitting)
    found = []
    for number, text in enumerate(fitting[:files]):
        report.progress(f"reference, file {number + 1} of {files}")
        buffer, tree = parsed(text, texts[text])
        # A leaf that fills a chunk by itself (a long comment) can't be compared.
        fit = [leaf for leaf in leaves(tree) if leaf[1] - leaf[0] <= 64]
        chosen = tuple(sorted(rng.sample(fit, min(nodes, len(fit)))))
        tokens = [tokens_of(buffer, tree, leaf, infiller) for leaf in chosen]
        found.append(Case(buffer, tree, chosen, tuple(sum(token.bits for token in each) for each in tokens)))
    return found


def tokens_of(buffer: Buffer, tree: Tree, chunk: Span, infiller: Infiller) -> tuple[ScoredToken, ...]:
    return chunk_tokens(buffer, chunk, question_of(buffer, tree, chunk, infiller).ask(infiller))


def mapped(case: Case, most: int | None, infiller: Infiller, seed: int) -> Mapped:
    """The map of a file by chunks of at most `most` tokens, or as one hole."""
    buffer, tree, size = case.buffer, case.tree, len(case.buffer.source)
    began = time.perf_counter()
    if most is None:
        score = score_range(buffer, tree, 0, size, infiller)
        return Mapped(leaf_bits(score.tokens[:-1], case.leaves), score.passes, time.perf_counter() - began, 1.0)
    tokens: list[ScoredToken] = []
    cuts = chunks(buffer, tree, 0, size, infiller, most)
    for chunk in cuts:
        tokens += tokens_of(buffer, tree, chunk, infiller)
    seconds = time.perf_counter() - began
    return Mapped(leaf_bits(tokens, case.leaves), len(cuts), seconds, edit_share(case, most, infiller, seed))


def leaf_bits(tokens: Sequence[ScoredToken], leaves: Sequence[Span]) -> tuple[float, ...]:
    """Bits of each leaf: those of the tokens in it, of one that goes beyond it by its share of visible bytes."""
    starts = [token.start for token in tokens]
    found = []
    for start, end in leaves:
        bits, number = 0.0, max(0, bisect_right(starts, start) - 1)
        while number < len(tokens) and tokens[number].start < end:
            token = tokens[number]
            overlap = min(end, token.end) - max(start, token.start)
            # A token often has the blank before the word, which is no leaf's.
            blank = max(0, start - token.start) if token.end <= end else 0
            bits += token.bits * max(0, overlap) / max(1, token.end - token.start - blank)
            number += 1
        found.append(bits)
    return tuple(found)


def edit_share(case: Case, most: int, infiller: Infiller, seed: int) -> float:
    """Share of the chunks of an edited file whose questions differ from all of the file's."""

    def questions(text: str) -> list[object]:
        buffer, tree = parsed(text, case.buffer.name)
        return [question_of(buffer, tree, chunk, infiller) for chunk in chunks(buffer, tree, 0, len(buffer.source), infiller, most)]

    rng, lines = random.Random(seed), case.buffer.text.splitlines(keepends=True)
    known, shares = set(questions(case.buffer.text)), []
    for _ in range(_EDITS):
        at = rng.randrange(len(lines))
        asked = questions("".join([*lines[:at], lines[at], *lines[at:]]))
        shares.append(np.mean([question not in known for question in asked]))
    return float(np.mean(shares))


def summarise(most: int | None, found: Sequence[tuple[Case, Mapped]]) -> Row:
    lines = np.array([case.lines / 1000 for case, _ in found])
    pairs = [(np.array(case.bits), np.array(result.bits)) for case, result in found]
    return Row(
        most,
        passes=float(sum(result.passes for _, result in found) / lines.sum()),
        seconds=bootstrap(ratio_of_sums, np.stack([np.array([result.seconds for _, result in found]), lines], axis=-1)),
        correlation=over_files([float(spearmanr(reference, bits).statistic) for reference, bits in pairs]),
        top_tenth=over_files([shared_top(reference, bits) for reference, bits in pairs]),
        edit_share=over_files([result.edit_share for _, result in found]),
    )


def over_files(values: Sequence[float]) -> Interval:
    """The mean over files."""
    return bootstrap(ratio_of_sums, np.array([(value, 1.0) for value in values]))


def shared_top(first: FloatArray, second: FloatArray) -> float:
    count = max(1, len(first) // 10)
    return len(set(np.argsort(-first)[:count]) & set(np.argsort(-second)[:count])) / count


def plot(rows: Sequence[Row]) -> Figure:
    """Correlation with the reference against passes."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        name = "one hole" if row.chunk_tokens is None else str(row.chunk_tokens)
        low, high = row.correlation.value - row.correlation.low, row.correlation.high - row.correlation.value
        axes.errorbar(row.passes, row.correlation.value, [[low], [high]], fmt="o", capsize=3)
        axes.annotate(name, (row.passes, row.correlation.value), textcoords="offset points", xytext=(6, 6))
    axes.set_xscale("log")
    axes.set_xlabel("passes for 1,000 lines")
    axes.set_ylabel("rank correlation with nodes one at a time")
    return figure


def _cells(row: Row) -> Sequence[str]:
    name = "the file as one hole" if row.chunk_tokens is None else f"{row.chunk_tokens}{' (default)' * (row.chunk_tokens == CHUNK_TOKENS)}"
    return name, f"{row.passes:.0f}", f"{row.seconds:.1f}", f"{row.correlation:.3f}", f"{row.top_tenth:.2f}", f"{row.edit_share:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("surprise_map", __doc__)
    parser.add_argument("--files", type=int, metavar="N", default=12, help="files of this project (default: %(default)s)")
    parser.add_argument("--nodes", type=int, metavar="N", default=80, help="nodes of each that are scored alone (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses files, nodes and edits (default: %(default)s)")
    arguments = parser.parse_args(argv)
    files, nodes, sizes = (2, 10, _SIZES[-2:-1]) if arguments.quick else (arguments.files, arguments.nodes, _SIZES)
    infiller = load_infiller(arguments.model)
    everything = cases(infiller, files, nodes, arguments.seed)
    rows = []
    for most in (*sizes, None):
        found = []
        for number, case in enumerate(everything):
            report.progress(f"chunks of {most or 'any number of'} tokens, file {number + 1} of {len(everything)}")
            found.append((case, mapped(case, most, infiller, arguments.seed)))
        rows.append(summarise(most, found))
    report.progress("")
    scored = sum(len(case.leaves) for case in everything)
    report.print_table(
        f"Surprise maps of {len(everything)} own files, {sum(case.lines for case in everything):,} lines, against {scored:,} nodes one "
        f"at a time; {infiller.model_name} on {infiller.provider}; 95% bootstrap intervals over files",
        ("tokens a chunk, at most", "passes / 1,000 lines", "seconds / 1,000 lines", "rank correlation", "of the top tenth", "edit costs"),
        [_cells(row) for row in rows],
    )
    settings = {
        "files": [case.buffer.name for case in everything],
        "nodes": scored,
        "seed": arguments.seed,
        "model": infiller.model_name,
        "provider": infiller.provider,
    }
    report.write(report.folder(arguments), "surprise_map", settings, [asdict(row) for row in rows], plot(rows))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
