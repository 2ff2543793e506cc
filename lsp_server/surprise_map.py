"""How surprising each token of a file is, given what stands before and after it.

To ask that of every token on its own takes a pass for each. Here the text is cut into chunks, by its own shape: a chunk is a paragraph or a
few, at most CHUNK_TOKENS tokens of whole lines. Each is one hole for the model, which is given what fits its window of the text before
and after the chunk, and of definitions in other open files, and scores all of it in one pass: a token's surprise is in bits (base 2)
of its probability given that context and the chunk's own earlier tokens. So it may use all that precedes the token, and what follows
the chunk, but not what follows the token within it. The mark that ends a chunk is left out, as it says nothing about the code.

How near this comes to the tokens one by one, and what it costs, is in docs/performance.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tree_sitter import Tree

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass, ignore_progress
from engine.passage import Passage
from engine.results import Progress, TokenScore
from lsp_server.buffer import Buffer
from lsp_server.context import OtherFile, largest_budget, passage_for
from lsp_server.holes import hole_from_range
from lsp_server.scoring import ScoredToken, budget_of, placed, stretches, text_of
from lsp_server.statements import Span, statements

CHUNK_TOKENS = 128
# Some 40,000 tokens: a minute of work, and a result of 10 MB.
LARGEST_MAP = 128 * 1024
_ALTERNATIVES = 3
# Chunks hang on the text around a range, so that they are the same for every range; it is looked at this far.
_REACH = 16 * 1024
_MOST_BYTES_PER_TOKEN = 16
_TAB_WIDTH = 4


@dataclass(frozen=True)
class SurpriseMap:
    """The tokens of bytes `start` to `end`, in the order of the text."""

    start: int
    end: int
    tokens: tuple[ScoredToken, ...]
    passes: int
    elapsed_ms: float

    @property
    def bits_per_token(self) -> float:
        return mean_bits(self.tokens)


def mean_bits(tokens: Sequence[ScoredToken]) -> float:
    """Bits per token; 0 where there is none."""
    return math.fsum(token.bits for token in tokens) / max(1, len(tokens))


def surprise_map(
    buffer: Buffer,
    tree: Tree | None,
    start: int,
    end: int,
    infiller: Infiller,
    on_pass: OnPass = ignore_progress,
    others: Sequence[OtherFile] = (),
) -> SurpriseMap:
    """The map of bytes `start` to `end`, made at once. Definitions of `others` are given, too.

    Raises LacunaError where the bytes are too many, and whatever `on_pass` raises.
    """
    began = time.perf_counter()
    cuts = chunks(buffer, tree, start, end, infiller)
    tokens: list[ScoredToken] = []
    for number, chunk in enumerate(cuts, 1):
        answer = question_of(buffer, tree, chunk, infiller, others).ask(infiller)
        tokens += within(chunk_tokens(buffer, chunk, answer), start, end)
        on_pass(Progress(number, len(tokens), len(tokens) * len(cuts) // number))
    return SurpriseMap(start, end, tuple(tokens), len(cuts), 1000 * (time.perf_counter() - began))


def within(tokens: Sequence[ScoredToken], start: int, end: int) -> tuple[ScoredToken, ...]:
    """Those of the tokens that have bytes between `start` and `end`."""
    return tuple(token for token in tokens if token.start < end and start < token.end)


def chunks(buffer: Buffer, tree: Tree | None, start: int, end: int, infiller: Infiller, most: int = CHUNK_TOKENS) -> tuple[Span, ...]:
    """The chunks of at most `most` tokens that have a part of bytes `start` to `end`, in the order of the text.

    A chunk is what stands between two lines at the left margin that follow a blank one. Where that is too long, it is cut at the least
    indented lines in it that follow a blank one, and so on; what has none, between statements, and a line that is too long, between
    characters. So borders hang on the text nearby alone, and an edit moves none beyond the next line at the left margin after a blank one.
    Raises LacunaError where there are more than LARGEST_MAP bytes.
    """
    if end - start > LARGEST_MAP:
        raise LacunaError(f"{end - start:,} bytes are too many to map; name a range of at most {LARGEST_MAP:,}, such as what is visible")
    if start >= end:
        return ()
    cutter = _Cutter(buffer, tree, infiller, min(most, largest_budget(infiller) - 1))
    first, last = buffer.line_at(start), buffer.line_at(max(start, end - 1)) + 1
    return tuple(span for span in cutter.cut(*cutter.widened(first, last)) if span[0] < end and start < span[1])


class _Cutter:
    """Cuts lines into chunks. Ranges of lines are half open."""

    def __init__(self, buffer: Buffer, tree: Tree | None, infiller: Infiller, most: int) -> None:
        self.buffer, self.tree, self.infiller, self.most = buffer, tree, infiller, most

    def widened(self, first: int, last: int) -> tuple[int, int]:
        """The lines, with all of the paragraphs at the left margin that they touch, as far as these aren't too far."""
        lowest, highest = self.buffer.line_at(self._start(first) - _REACH), self.buffer.line_at(self._start(last) + _REACH)
        while first > lowest and self._paragraph(first) != 0:
            first -= 1
        while last <= highest and last < len(self.buffer.line_starts) and self._paragraph(last) != 0:
            last += 1
        return first, last

    def cut(self, first: int, last: int) -> Iterator[Span]:
        """The chunks of these lines."""
        waiting = self._split(first, last, 0)
        while waiting:
            first, last = waiting.pop()
            if self._fits(first, last):
                yield self._start(first), self._start(last)
            elif (least := min(self._indents(first, last).values(), default=None)) is not None:
                waiting += self._split(first, last, least)
            else:
                yield from self._by_statement(first, last)

    def _split(self, first: int, last: int, indent: int) -> list[tuple[int, int]]:
        """The lines cut before each that follows a blank one with this indentation; the last part comes first."""
        borders = [line for line, found in self._indents(first, last).items() if found == indent]
        return [part for part in pairwise([first, *borders, last]) if self._start(part[0]) < self._start(part[1])][::-1]

    def _indents(self, first: int, last: int) -> dict[int, int]:
        return {line: indent for line in range(first + 1, last) if (indent := self._paragraph(line)) is not None}

    def _by_statement(self, first: int, last: int) -> Iterator[Span]:
        line = first
        ends = self._statement_ends(first, last)
        while line < last:
            after = self._unit_end(line, last, ends)
            if not self._fits(line, after):
                yield from stretches(self.buffer, self._start(line), self._start(after), self.infiller, self.most)
                line = after
                continue
            while after < last and self._fits(line, further := self._unit_end(after, last, ends)):
                after = further
            yield self._start(line), self._start(after)
            line = after

    def _unit_end(self, line: int, last: int, ends: dict[int, int]) -> int:
        """Past the last line of the statement that begins on `line`, if it isn't too long."""
        after = min(last, ends.get(line, line + 1))
        return after if self._fits(line, after) else line + 1

    def _statement_ends(self, first: int, last: int) -> dict[int, int]:
        if self.tree is None:
            return {}
        found = statements(self.tree, self._start(first), self._start(last))
        return {self.buffer.line_at(start): self.buffer.line_at(max(start, end - 1)) + 1 for start, end in found}

    def _fits(self, first: int, last: int) -> bool:
        start, end = self._start(first), self._start(last)
        if end - start > self.most * _MOST_BYTES_PER_TOKEN:
            return False
        return self.infiller.count_tokens(text_of(self.buffer, start, end)) <= self.most

    def _paragraph(self, line: int) -> int | None:
        """The indentation of a line that begins a paragraph, as it follows a blank one; None for any other line."""
        row = self._row(line)
        if not row.strip() or (line > 0 and self._row(line - 1).strip()):
            return None
        return len(row[: len(row) - len(row.lstrip(b" \t"))].expandtabs(_TAB_WIDTH))

    def _row(self, line: int) -> bytes:
        """A line's beginning, which is all that counts of a very long one."""
        start = self.buffer.line_starts[line]
        return self.buffer.source[start : min(self.buffer.line_end(line), start + 1024)]

    def _start(self, line: int) -> int:
        return self.buffer.line_starts[line] if line < len(self.buffer.line_starts) else len(self.buffer.source)


@dataclass(frozen=True)
class ChunkQuestion:
    """What the engine is asked for a chunk: to score `text` in the one hole of `passage`. Equal questions have equal answers."""

    passage: Passage
    text: str

    def ask(self, infiller: Infiller) -> tuple[TokenScore, ...]:
        """The answer, by one pass. The last token is the end mark."""
        return infiller.score(self.passage, (self.text,), _ALTERNATIVES).holes[0]


def question_of(buffer: Buffer, tree: Tree | None, chunk: Span, infiller: Infiller, others: Sequence[OtherFile] = ()) -> ChunkQuestion:
    """The question that a chunk's score answers: `score_range` asks the same of these bytes, where it is given the same `others`."""
    text = text_of(buffer, *chunk)
    hole = hole_from_range(buffer, *chunk, budget_of(infiller.count_tokens(text), infiller))
    return ChunkQuestion(passage_for(buffer, tree, (hole,), infiller, others), text)


def chunk_tokens(buffer: Buffer, chunk: Span, answer: Sequence[TokenScore]) -> tuple[ScoredToken, ...]:
    """The tokens of a chunk where they stand in the buffer, without the end mark."""
    return tuple(placed(buffer, *chunk, answer)[:-1])
