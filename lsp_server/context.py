"""What the model gets to see around the holes.

A passage has room for a window of tokens, a file for many more. What goes in is chosen by syntax, whole lines at a
time: the text beside each hole on its own lines, the headers of the scopes around it, the imports, then the nearest
statements. Whatever the file, a passage comes out that fits: a line too long for the window is cut at a character.

The engine runs only those rows of a prompt again that come after its first change. So where the passage is cut must seldom
move while somebody types, though the choice knows nothing of earlier ones: lines go in by blocks, whose borders are
counted from the ends of the file that typing doesn't move, and room is counted in steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from tree_sitter import Tree

from engine.errors import PassageError
from engine.infiller import Infiller
from engine.passage import Passage
from lsp_server.buffer import Buffer
from lsp_server.edits import Edit, tree_after
from lsp_server.holes import Hole
from lsp_server.line_ends import to_model
from lsp_server.statements import Span, enclosing_headers, imports, statements
from lsp_server.syntax import count_errors

# The engine brackets a passage with a start and an end mark.
END_MARKS = 2
# No text is tokenised that is longer than this for each token of room: a token of code has three bytes or so, a run
# of spaces more.
_MOST_BYTES_PER_TOKEN = 16
# Shares of the room that scope headers and imports may take, so that the hole's own neighbourhood keeps most.
_HEADER_SHARE = 3
_IMPORT_SHARE = 6
# Code after a hole says less about it than code as far before it.
_AFTER_COUNTS = 1.5
# Tokens by which what the holes' own lines leave of the room grows or shrinks.
_ROOM_STEP = 16
# Bytes of a block of lines for each token of room: a block is about a twentieth of it.
_BLOCK_SHARE = 8


def largest_budget(infiller: Infiller) -> int:
    """Most tokens that the holes of one passage may have together, so that half of the window is left for the prompt."""
    return infiller.window // 2


def passage_for(buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], infiller: Infiller) -> Passage:
    """The passage of these `holes`, which are in order and apart, fitted to `infiller.window`.

    Its pieces have \\n for every line end, and each begins and ends with what stands beside the hole in the buffer.
    Raises PassageError where there is no hole or the budgets alone exceed the window.
    """
    budgets = tuple(hole.budget for hole in holes)
    room = infiller.window - END_MARKS - sum(budgets)
    if room < 0:
        raise PassageError(f"holes of {sum(budgets)} tokens don't fit a window of {infiller.window}")
    starts, ends = [hole.start for hole in holes], [hole.end for hole in holes]
    gaps = list(zip([0, *ends], [*starts, len(buffer.source)], strict=True))
    pieces = [[gap] for gap in gaps]
    if not _fits(buffer, pieces, room, infiller):
        pieces = _Choice(buffer, tree and _steady_tree(buffer, tree, gaps), gaps, room, infiller).pieces()
    begin = next((span[0] for span in pieces[0] if span[0] < span[1]), starts[0] if starts else 0)
    stop = next((span[1] for span in reversed(pieces[-1]) if span[0] < span[1]), ends[-1] if ends else 0)
    return Passage(
        pieces=tuple(_joined(buffer, piece) for piece in pieces),
        budgets=budgets,
        at_start=begin == 0,
        at_end=stop == len(buffer.source),
        ties=_ties(holes),
    )


def _ties(holes: Sequence[Hole]) -> tuple[int, ...]:
    """For each hole the first one with the same tie; empty where no two have one."""
    first: dict[str, int] = {}
    ties = tuple(number if hole.tie is None else first.setdefault(hole.tie, number) for number, hole in enumerate(holes))
    return ties if ties != tuple(range(len(holes))) else ()


def _text(buffer: Buffer, start: int, end: int) -> str:
    return to_model(buffer.source[start:end].decode("utf-8"))


def _joined(buffer: Buffer, spans: Iterable[Span]) -> str:
    return "".join(_text(buffer, start, end) for start, end in spans)


def _fits(buffer: Buffer, pieces: Sequence[Sequence[Span]], room: int, infiller: Infiller) -> bool:
    if sum(end - start for spans in pieces for start, end in spans) > room * _MOST_BYTES_PER_TOKEN:
        return False
    return sum(infiller.count_tokens(_joined(buffer, spans)) for spans in pieces) <= room


def _steady_tree(buffer: Buffer, tree: Tree, gaps: Sequence[Span]) -> Tree:
    """The tree with an identifier for all that stands on the holes' lines, unless that has more errors.

    A line that is being typed has open brackets and strings at times, which take the imports and scopes around it out of the
    tree, one character later put them back, and would change the choice with each.
    """
    edits: list[Edit] = []
    for (_, start), (end, _) in pairwise(gaps):
        first, last = buffer.line_starts[buffer.line_at(start)], buffer.line_end(buffer.line_at(end))
        text = buffer.source[first:last]
        first, last = first + len(text) - len(text.lstrip()), first + len(text.rstrip())
        if edits and first <= edits[-1].end:
            first = edits.pop().start
        if first < last:
            edits.append(Edit(first, last, "x" * (last - first)))
    steady = tree_after(tree, buffer.source, edits)
    return tree if steady is None or count_errors(steady) > count_errors(tree) else steady


@dataclass(frozen=True)
class _Part:
    """Bytes `start` to `end` of the text between two holes, gap number `gap`, that touch one of the two: by their head or their tail."""

    gap: int
    start: int
    end: int
    is_head: bool


class _Choice:
    """One passage in the making: the text beside the holes, and whole lines, as long as there is room."""

    def __init__(self, buffer: Buffer, tree: Tree | None, gaps: Sequence[Span], room: int, infiller: Infiller) -> None:
        self.buffer, self.tree, self.gaps, self.room, self.infiller = buffer, tree, gaps, room, infiller
        self.block = max(1, room // _BLOCK_SHARE)
        self.parts = list(self._parts_beside())
        # Lines that a hole or the text beside it claims: the first and the last of them for each hole.
        self.own = [
            (buffer.line_at(before.start), buffer.line_at(max(after.start, after.end - 1)))
            for before, after in zip(self.parts[::2], self.parts[1::2], strict=True)
        ]
        self.left = room
        self.beside: list[tuple[int, Span]] = []
        self.taken: dict[int, None] = {}

    def pieces(self) -> list[list[Span]]:
        """For each gap its spans, in order."""
        room = self.room
        while True:
            self._take_everything(room)
            # Counting line by line is only nearly right: the last word has the count of the pieces as they are.
            while self.taken and not self._fit():
                self.taken.popitem()
            if self._fit():
                return self._spans()
            room -= max(1, room // 8)

    def _fit(self) -> bool:
        return _fits(self.buffer, self._spans(), self.room, self.infiller)

    def _spans(self) -> list[list[Span]]:
        spans = [[self._lines(line) for line in self.taken if start <= self.buffer.line_starts[line] < end] for start, end in self.gaps]
        for gap, span in self.beside:
            spans[gap].append(span)
        return [sorted(span for span in piece if span[0] < span[1]) for piece in spans]

    def _take_everything(self, room: int) -> None:
        self.left, self.taken = room, {}
        self._take_beside()
        self.left -= self.left % _ROOM_STEP
        if self.tree is not None:
            holes = [start for _, start in self.gaps[:-1]]
            headers = [span for start in holes for span in enclosing_headers(self.tree, self.buffer.source, start)]
            self._take_statements(headers, min(self.left, room // _HEADER_SHARE))
            self._take_statements(imports(self.tree), min(self.left, room // _IMPORT_SHARE))
        self._take_nearest()

    def _parts_beside(self) -> Iterator[_Part]:
        """For each hole what stands before it and after it on its lines; before it at least the line end of the line above."""
        borders = [self._borders(gap) for gap in range(len(self.gaps))]
        for gap, ((_, start), (end, _)) in enumerate(pairwise(self.gaps)):
            yield _Part(gap, borders[gap][1], start, is_head=False)
            yield _Part(gap + 1, end, borders[gap + 1][0], is_head=True)

    def _borders(self, gap: int) -> Span:
        """Where the part after the hole before this gap ends, and where the part before the next hole begins."""
        start, end = self.gaps[gap]
        line = self.buffer.line_at(end)
        begin = self.buffer.line_starts[line]
        if begin == end and line > 0:
            begin = self.buffer.line_starts[line - 1]
        begin, stop = max(begin, start), min(end, self.buffer.next_line(self.buffer.line_at(start)))
        if 0 < gap < len(self.gaps) - 1 and begin < stop:
            # Two holes share these lines: each gets the half beside it.
            begin = stop = self.buffer.settle(min(max((start + end) // 2, begin), stop))
        return stop, begin

    def _take_beside(self) -> None:
        """The parts beside the holes, the shortest first; what exceeds its share of the room is cut at a character."""
        self.beside = []
        for done, part in enumerate(sorted(self.parts, key=lambda part: part.end - part.start)):
            kept = self._cut(part, self.left // (len(self.parts) - done))
            self.beside.append((part.gap, kept))
            self.left -= self._count(kept)

    def _cut(self, part: _Part, tokens: int) -> Span:
        """As much of the part as has at most `tokens` tokens, from the end that touches the hole."""
        length = min(part.end - part.start, tokens * _MOST_BYTES_PER_TOKEN)
        while True:
            span = self._end_of(part, length)
            count = self._count(span)
            if count <= tokens:
                return span
            length = length * tokens // count

    def _end_of(self, part: _Part, length: int) -> Span:
        """At most `length` bytes of the part, whole characters only."""
        if part.is_head:
            return part.start, max(part.start, self.buffer.settle(part.start + length))
        start = part.end - length
        while start < part.end and self.buffer.settle(start) != start:
            start += 1
        return start, part.end

    def _take_statements(self, spans: Iterable[Span], share: int) -> None:
        """Those of the statements that fit into `share` tokens together, as whole lines."""
        for start, end in spans:
            lines = range(self.buffer.line_at(start), self.buffer.line_at(max(start, end - 1)) + 1)
            share -= self._take(lines, share)

    def _take_nearest(self) -> None:
        """Go outwards from all holes at once, the nearest block first; a way ends where something doesn't fit."""
        reach = self.left * _MOST_BYTES_PER_TOKEN
        ways = [self._upwards(gap, reach) for gap in range(len(self.gaps) - 1)]
        ways += [self._downwards(gap, reach) for gap in range(1, len(self.gaps))]
        ahead = [(distance, number, lines) for number, way in enumerate(ways) for distance, lines in islice(way, 1)]
        heapq.heapify(ahead)
        while ahead:
            _, number, lines = heapq.heappop(ahead)
            if all(self._has(line) or self._take([line], self.left) for line in lines):
                for distance, following in islice(ways[number], 1):
                    heapq.heappush(ahead, (distance, number, following))

    def _upwards(self, gap: int, reach: int) -> Iterator[tuple[float, Sequence[int]]]:
        """(distance, lines) of each block above the hole that follows `gap`, the nearest line first; no statement is cut."""
        start, end = self.gaps[gap]
        start = max(start, end - reach)
        statement = self._statement_lines(start, end)
        own = self.own[gap][0]
        line, lowest = own - 1, self.buffer.line_at(start)
        while line >= lowest:
            block, first = self._block_above(line), line + 1
            while first > lowest and self._block_above(first - 1) >= block:
                first = max(lowest, min(first - 1, statement.get(first - 1, first - 1)))
            yield self.block * (self._block_above(own) - block), range(line, first - 1, -1)
            line = first - 1

    def _downwards(self, gap: int, reach: int) -> Iterator[tuple[float, Sequence[int]]]:
        """(distance, lines) of each block below the hole that `gap` follows, the nearest line first; no statement is cut."""
        start, end = self.gaps[gap]
        end = min(end, start + reach)
        statement = {first: last for last, first in self._statement_lines(start, end).items()}
        own = self.own[gap - 1][1]
        line, highest = own + 1, self.buffer.line_at(end)
        while line <= highest:
            block, last = self._block_below(line), line - 1
            while last < highest and self._block_below(last + 1) >= block:
                last = min(highest, max(last + 1, statement.get(last + 1, last + 1)))
            yield self.block * _AFTER_COUNTS * (self._block_below(own) - block), range(line, last + 1)
            line = last + 1

    def _block_above(self, line: int) -> int:
        """The block of a line above a hole, counted from the start of the file."""
        return self.buffer.line_starts[line] // self.block

    def _block_below(self, line: int) -> int:
        """The block of a line below a hole, counted from the end of the file."""
        return (len(self.buffer.source) - self.buffer.next_line(line)) // self.block

    def _statement_lines(self, start: int, end: int) -> dict[int, int]:
        """The last line of each statement that touches these bytes, and its first."""
        if self.tree is None:
            return {}
        spans = statements(self.tree, start, end)
        return {self.buffer.line_at(max(first, last - 1)): self.buffer.line_at(first) for first, last in spans}

    def _has(self, line: int) -> bool:
        return line in self.taken or any(first <= line <= last for first, last in self.own)

    def _take(self, lines: Sequence[int], most: int) -> int:
        """Take these lines, less those that are in already, if they cost at most `most` tokens; what they cost."""
        spans = {line: self._lines(line) for line in lines if not self._has(line)}
        if sum(end - start for start, end in spans.values()) > most * _MOST_BYTES_PER_TOKEN:
            return 0
        cost = sum(map(self._count, spans.values()))
        if cost > most:
            return 0
        self.taken.update(dict.fromkeys(spans))
        self.left -= cost
        return cost

    def _lines(self, line: int) -> Span:
        """Bytes of a whole line, its line end included."""
        return self.buffer.line_starts[line], self.buffer.next_line(line)

    def _count(self, span: Span) -> int:
        return self.infiller.count_tokens(_text(self.buffer, *span))
