"""Which parts of a file, and of other open ones, go into the window.

The engine runs only those rows of a prompt again that come after its first change. So where the passage is cut must seldom
move while somebody types, though the choice knows nothing of earlier ones: lines go in by blocks, whose borders are
counted from the ends of the file that typing doesn't move, and room is counted in steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise

from tree_sitter import Tree

from engine.errors import PassageError
from engine.infiller import Infiller
from engine.passage import Passage, Wording
from lsp_server.buffer import Buffer
from lsp_server.context.definitions import Definition, definitions, meant, mentions
from lsp_server.context.parts import Context, OtherFile, Part, Reason, model_text
from lsp_server.context.units import units
from lsp_server.edits import Edit, tree_after
from lsp_server.holes import Hole
from lsp_server.languages import table_of_tree
from lsp_server.statements import Span, enclosing_headers, imports
from lsp_server.syntax import count_errors

# The engine brackets a passage with a start and an end mark.
END_MARKS = 2
# No text is tokenised that is longer than this for each token of room: a token of code has three bytes or so, a run
# of spaces more.
_MOST_BYTES_PER_TOKEN = 16
# Code after a hole says less about it than code as far before it.
_AFTER_COUNTS = 1.5
# Tokens by which what the holes' own lines leave of the room grows or shrinks.
_ROOM_STEP = 16
# Bytes of a block of lines for each token of room: a block is about a twentieth of it.
_BLOCK_SHARE = 8
# A statement of more bytes than this for each token of room, about a third of it, may be cut: between the nodes in it.
_LARGE_STATEMENT = 1


@dataclass(frozen=True)
class Shares:
    """The most that parts may take of the room, so that each hole's own neighbourhood keeps the rest; 0 leaves a part out.

    `definitions` are those of names that are used about the holes, in this file or another. With the default model the nearest lines
    alone are best by a little (docs/performance.md), so what is far gets no more than tells the scope and some names.
    """

    headers: float = 1 / 6
    imports: float = 1 / 24
    definitions: float = 1 / 8
    near: float = 1.0


SHARES = Shares()


def largest_budget(infiller: Infiller) -> int:
    """Most tokens that the holes of one passage may have together, so that half of the window is left for the prompt."""
    return infiller.window // 2


def passage_for(buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], infiller: Infiller, others: Sequence[OtherFile] = ()) -> Passage:
    """The passage of these `holes`, which are in order and apart, fitted to `infiller.window`. Errors as in `choose_context`.

    Its pieces have \\n for every line end, and each begins and ends with what stands beside the hole in the buffer.
    """
    return choose_context(buffer, tree, holes, infiller, others).passage()


def choose_context(
    buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], infiller: Infiller, others: Sequence[OtherFile] = (), shares: Shares = SHARES
) -> Context:
    """What the model gets to see around the `holes`, and why. `others` are files whose definitions may help, the most helpful first.

    Raises PassageError where there is no hole or the budgets alone exceed the window.
    """
    budgets = tuple(hole.budget for hole in holes)
    room = infiller.window - END_MARKS - sum(budgets)
    if room < 0:
        raise PassageError(f"holes of {sum(budgets)} tokens don't fit a window of {infiller.window}")
    starts, ends = [hole.start for hole in holes], [hole.end for hole in holes]
    gaps = list(zip([0, *ends], [*starts, len(buffer.source)], strict=True))
    choice = _Choice(buffer, tree and _steady_tree(buffer, tree, gaps), tree, gaps, room, infiller, others, shares)
    parts = choice.parts()
    first = next((part.spans[0][0] for part in parts if part.piece == 0 and not part.comment), gaps[0][1])
    last = next((part.spans[-1][1] for part in reversed(parts) if part.piece == len(holes) and not part.comment), gaps[-1][0])
    return Context(
        parts=tuple(parts),
        left_out=tuple(choice.left_out()),
        budgets=budgets,
        at_start=first == 0,
        at_end=last == len(buffer.source),
        ties=_ties(holes),
        wordings=_wordings(holes),
    )


def _ties(holes: Sequence[Hole]) -> tuple[int, ...]:
    """For each hole the first one with the same tie; empty where no two have one."""
    first: dict[str, int] = {}
    ties = tuple(number if hole.tie is None else first.setdefault(hole.tie, number) for number, hole in enumerate(holes))
    return ties if ties != tuple(range(len(holes))) else ()


def _wordings(holes: Sequence[Hole]) -> tuple[Wording, ...]:
    """The holes' wordings; empty where all of them are ANY.

    Fills of tied holes are searched for. What is beside them is drawn more quickly as it comes, and checked afterwards.
    """
    tied = any(hole.tie is not None for hole in holes)
    wordings = tuple(Wording.ANY if tied and hole.tie is None else hole.wording for hole in holes)
    return wordings if set(wordings) != {Wording.ANY} else ()


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


# How far it is, the number of its way, and the lines of its units.
_Block = tuple[float, int, list[range]]


@dataclass(frozen=True)
class _Side:
    """Bytes `start` to `end` of the text between two holes, gap number `gap`, that touch one of the two: by their head or their tail."""

    gap: int
    start: int
    end: int
    is_head: bool


class _Choice:
    """One context in the making: the text beside the holes, then whole lines as long as there is room.

    `gaps` are the bytes between the holes; `tree` has an identifier for what stands on the holes' lines, `written` is the buffer's own.
    """

    def __init__(
        self,
        buffer: Buffer,
        tree: Tree | None,
        written: Tree | None,
        gaps: Sequence[Span],
        room: int,
        infiller: Infiller,
        others: Sequence[OtherFile],
        shares: Shares,
    ) -> None:
        self.buffer, self.tree, self.written, self.gaps = buffer, tree, written, gaps
        self.room, self.infiller, self.others, self.shares = room, infiller, others, shares
        self.block = max(1, room // _BLOCK_SHARE)
        self.sides = list(self._sides())
        # Lines that a hole or the text beside it claims: the first and the last of them for each hole.
        self.own = [
            (buffer.line_at(before.start), buffer.line_at(max(after.start, after.end - 1)))
            for before, after in zip(self.sides[::2], self.sides[1::2], strict=True)
        ]
        self.left = room
        self.beside: list[tuple[int, Span]] = []
        self.taken: dict[int, Reason] = {}
        self.order: list[tuple[int, ...]] = []  # the lines of `taken` that were taken at once, in the order in which they were
        self.quoted: dict[int, set[int]] = {}  # by the number of the other file, its lines
        # What found no room: the number of the other file, if it is in one, and the lines.
        self.passed_over: list[tuple[int | None, Reason, tuple[int, ...]]] = []

    def parts(self) -> list[Part]:
        """The parts that go in, in the order of the passage."""
        room = self.room
        whole = [Part(Reason.FILE, gap, self.buffer, (span,)) for gap, span in enumerate(self.gaps) if span[0] < span[1]]
        if self._fit(whole):
            self.left, self.own = room - self._cost(whole), [(0, len(self.buffer.line_starts) - 1)]
            self._take_definitions(min(self.left, int(self.shares.definitions * room)))
            while self.quoted and not self._fit(self._quotes() + whole):
                number, lines = self.quoted.popitem()
                self.passed_over.append((number, Reason.DEFINITION, tuple(sorted(lines))))
            return self._quotes() + whole
        while True:
            self._take_everything(room)
            # Counting line by line is only nearly right: the last word has the count of the pieces as they are.
            while self.order and not self._fit(self._parts()):
                self._drop_last()
            if self._fit(self._parts()):
                return self._parts()
            room -= max(1, room // 8)

    def _drop_last(self) -> None:
        lines = self.order.pop()
        reason = self.taken[lines[0]]
        for line in lines:
            del self.taken[line]
        if reason != Reason.NEAR:
            self.passed_over.append((None, reason, lines))

    def left_out(self) -> Iterator[Part]:
        """What syntax asks for and isn't in, once `parts` has chosen."""
        for number, reason, lines in dict.fromkeys(self.passed_over):
            if number is not None:
                missing = [line for line in lines if line not in self.quoted.get(number, ())]
            else:
                missing = [line for line in lines if not self._has(line)]
            if missing and number is not None:
                yield _quote(self.others[number], missing)
            elif missing:
                first = self.buffer.line_starts[missing[0]]
                gap = next((gap for gap, (_, end) in enumerate(self.gaps) if first < end), len(self.gaps) - 1)
                yield Part(reason, gap, self.buffer, _joined(self.buffer, missing))

    def _fit(self, parts: Sequence[Part]) -> bool:
        if sum(end - start for part in parts for start, end in part.spans) > self.room * _MOST_BYTES_PER_TOKEN:
            return False
        return self._cost(parts) <= self.room

    def _cost(self, parts: Iterable[Part]) -> int:
        """Tokens of the pieces that these parts make."""
        pieces = [""] * len(self.gaps)
        for part in parts:
            pieces[part.piece] += part.text
        return sum(map(self.infiller.count_tokens, pieces))

    def _parts(self) -> list[Part]:
        parts = self._quotes()
        lines = sorted(self.taken)
        for gap, (start, end) in enumerate(self.gaps):
            found = [(span, Reason.BESIDE) for at, span in self.beside if at == gap and span[0] < span[1]]
            found += [(_line(self.buffer, line), self.taken[line]) for line in lines if start <= self.buffer.line_starts[line] < end]
            found.sort()
            while found:
                (first, last), reason = found.pop(0)
                while found and found[0][0][0] == last and found[0][1] == reason:
                    (_, last), _ = found.pop(0)
                parts.append(Part(reason, gap, self.buffer, ((first, last),)))
        return parts

    def _quotes(self) -> list[Part]:
        """What is taken from other files, a part each."""
        return [_quote(self.others[number], lines) for number, lines in sorted(self.quoted.items())]

    def _take_everything(self, room: int) -> None:
        self.left, self.taken, self.order, self.quoted, self.passed_over = room, {}, [], {}, []
        self._take_beside()
        self._round()
        if self.tree is not None:
            holes = [start for _, start in self.gaps[:-1]]
            headers = dict.fromkeys(span for start in holes for span in enclosing_headers(self.tree, self.buffer.source, start))
            self._take_statements(Reason.HEADER, headers, int(self.shares.headers * room))
            self._take_statements(Reason.IMPORT, imports(self.tree), int(self.shares.imports * room))
        kept = min(self.left, int(self.shares.definitions * room)) if self._wanted else 0
        blocks = self._take_nearest(self._blocks(), kept)
        self._take_definitions(kept)
        self._round()
        self._take_nearest(blocks, 0)

    def _round(self) -> None:
        self.left -= self.left % _ROOM_STEP

    def _sides(self) -> Iterator[_Side]:
        """For each hole what stands before it and after it on its lines; before it at least the line end of the line above."""
        borders = [self._borders(gap) for gap in range(len(self.gaps))]
        for gap, ((_, start), (end, _)) in enumerate(pairwise(self.gaps)):
            yield _Side(gap, borders[gap][1], start, is_head=False)
            yield _Side(gap + 1, end, borders[gap + 1][0], is_head=True)

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
        """The sides of the holes, the shortest first; what exceeds its share of the room is cut at a character."""
        self.beside = []
        for done, side in enumerate(sorted(self.sides, key=lambda side: side.end - side.start)):
            kept = self._cut(side, self.left // (len(self.sides) - done))
            self.beside.append((side.gap, kept))
            self.left -= self._count(kept)

    def _cut(self, side: _Side, tokens: int) -> Span:
        """As much of the side as has at most `tokens` tokens, from the end that touches the hole."""
        length = min(side.end - side.start, tokens * _MOST_BYTES_PER_TOKEN)
        while True:
            span = self._end_of(side, length)
            count = self._count(span)
            if count <= tokens:
                return span
            length = length * tokens // count

    def _end_of(self, side: _Side, length: int) -> Span:
        """At most `length` bytes of the side, whole characters only."""
        if side.is_head:
            return side.start, max(side.start, self.buffer.settle(side.start + length))
        start = side.end - length
        while start < side.end and self.buffer.settle(start) != start:
            start += 1
        return start, side.end

    def _take_statements(self, reason: Reason, spans: Iterable[Span], share: int) -> None:
        """Those of the statements that fit into `share` tokens together, as whole lines."""
        for start, end in spans:
            lines = range(self.buffer.line_at(start), self.buffer.line_at(max(start, end - 1)) + 1)
            cost = self._take(reason, lines, min(share, self.left))
            if cost is None:
                self.passed_over.append((None, reason, tuple(lines)))
            else:
                share -= cost

    @cached_property
    def _wanted(self) -> list[tuple[int | None, Definition]]:
        """Definitions of the names about the holes, the nearest name's first, and the number of the other file they stand in, if any."""
        if self.tree is None or self.written is None or not self.shares.definitions:
            return []
        here = definitions(self.tree, self.buffer.source)
        holes = [(start, end) for (_, start), (end, _) in pairwise(self.gaps)]
        lines = [
            (self.buffer.line_starts[self.buffer.line_at(start)], self.buffer.line_end(self.buffer.line_at(end))) for start, end in holes
        ]
        wanted: list[tuple[int | None, Definition]] = []
        for mention in mentions(self.written, self.buffer.source, list(zip(lines, holes, strict=True))):
            known = [found for found in meant(mention, here) if not self._hidden(found)]
            wanted += [(None, found) for found in known]
            if not known:
                there = ((number, meant(mention, other.definitions)) for number, other in enumerate(self.others))
                wanted += next(([(number, found) for found in known] for number, known in there if known), [])
        return list(dict.fromkeys(wanted))

    def _hidden(self, definition: Definition) -> bool:
        """Whether it stands in a hole."""
        holes = [(start, end) for (_, start), (end, _) in pairwise(self.gaps)]
        return any(start <= first and last <= end for first, last in definition.spans for start, end in holes)

    def _take_definitions(self, share: int) -> None:
        """Those of the wanted definitions that fit into `share` tokens together."""
        for number, definition in self._wanted:
            if number is not None:
                share -= self._quote(number, definition, share)
                continue
            lines = sorted({line for span in definition.spans for line in _lines(self.buffer, span)})
            cost = self._take(Reason.DEFINITION, lines, min(share, self.left))
            if cost is None:
                self.passed_over.append((None, Reason.DEFINITION, tuple(lines)))
            else:
                share -= cost

    def _quote(self, number: int, definition: Definition, share: int) -> int:
        """Take a definition of another file, if it costs at most `share` tokens; what it costs."""
        other, there = self.others[number], self.quoted.get(number, set())
        lines = there | {line for span in definition.spans for line in _lines(other.buffer, span)}
        if sum(end - start for start, end in (_line(other.buffer, line) for line in lines)) > self.room * _MOST_BYTES_PER_TOKEN:
            return 0
        cost = self.infiller.count_tokens(_quote(other, lines).text)
        if there:
            cost -= self.infiller.count_tokens(_quote(other, there).text)
        if cost > min(share, self.left):
            self.passed_over.append((number, Reason.DEFINITION, tuple(sorted(lines))))
            return 0
        self.quoted[number] = lines
        self.left -= cost
        return cost

    def _blocks(self) -> list[_Block]:
        """The nearest block of each way from a hole up or down; `self.ways` has what follows."""
        reach = self.left * _MOST_BYTES_PER_TOKEN
        self.ways = [self._upwards(gap, reach) for gap in range(len(self.gaps) - 1)]
        self.ways += [self._downwards(gap, reach) for gap in range(1, len(self.gaps))]
        return [(distance, number, statements) for number, way in enumerate(self.ways) for distance, statements in islice(way, 1)]

    def _take_nearest(self, blocks: list[_Block], kept: int) -> list[_Block]:
        """Go outwards, the nearest block first, until `kept` tokens are left; what of each way's next block didn't fit."""
        kept = max(kept, self.left - int(self.shares.near * self.left))
        heapq.heapify(blocks)
        remaining = []
        while blocks:
            distance, number, lines = heapq.heappop(blocks)
            while lines and self._take(Reason.NEAR, lines[0], self.left - kept) is not None:
                lines = lines[1:]
            if lines:
                remaining.append((distance, number, lines))
            else:
                for further, following in islice(self.ways[number], 1):
                    heapq.heappush(blocks, (further, number, following))
        return remaining

    def _upwards(self, gap: int, reach: int) -> Iterator[tuple[float, list[range]]]:
        """(distance, lines of its units) of each block above the hole that follows `gap`, the nearest first."""
        start, end = self.gaps[gap]
        highest = self.buffer.line_at(start)
        start = max(start, end - reach)
        top: dict[int, int] = {}
        for first, last in self._unit_lines(start, end):
            top[last] = min(first, top.get(last, first))
        own = self.own[gap][0]
        line, farthest = own - 1, self.buffer.line_at(start)
        while line >= farthest:
            block, found = self._block_above(line), []
            while line >= farthest and self._block_above(line) >= block:
                first = max(highest, top.get(line, line))
                found.append(range(first, line + 1))
                line = first - 1
            yield self.block * (self._block_above(own) - block), found

    def _downwards(self, gap: int, reach: int) -> Iterator[tuple[float, list[range]]]:
        """(distance, lines of its units) of each block below the hole that `gap` follows, the nearest first."""
        start, end = self.gaps[gap]
        lowest = self.buffer.line_at(end)
        end = min(end, start + reach)
        bottom: dict[int, int] = {}
        for first, last in self._unit_lines(start, end):
            bottom[first] = max(last, bottom.get(first, last))
        own = self.own[gap - 1][1]
        line, farthest = own + 1, self.buffer.line_at(end)
        while line <= farthest:
            block, found = self._block_below(line), []
            while line <= farthest and self._block_below(line) >= block:
                last = min(lowest, bottom.get(line, line))
                found.append(range(line, last + 1))
                line = last + 1
            yield self.block * _AFTER_COUNTS * (self._block_below(own) - block), found

    def _block_above(self, line: int) -> int:
        """The block of a line above a hole, counted from the start of the file."""
        return self.buffer.line_starts[line] // self.block

    def _block_below(self, line: int) -> int:
        """The block of a line below a hole, counted from the end of the file."""
        return (len(self.buffer.source) - self.buffer.next_line(line)) // self.block

    def _unit_lines(self, start: int, end: int) -> list[tuple[int, int]]:
        """The first and the last line of what stays whole and touches these bytes. A line in none of them stands for itself."""
        if self.tree is None:
            return []
        spans = units(self.tree, start, end, self.room * _LARGE_STATEMENT)
        return [(self.buffer.line_at(first), self.buffer.line_at(max(first, last - 1))) for first, last in spans]

    def _has(self, line: int) -> bool:
        return line in self.taken or any(first <= line <= last for first, last in self.own)

    def _take(self, reason: Reason, lines: Sequence[int], most: int) -> int | None:
        """Take these lines, less those that are in already, if they cost at most `most` tokens; what they cost, None where it is more."""
        spans = {line: _line(self.buffer, line) for line in lines if not self._has(line)}
        if sum(end - start for start, end in spans.values()) > most * _MOST_BYTES_PER_TOKEN:
            return None
        cost = sum(map(self._count, spans.values()))
        if cost > most:
            return None
        if spans:
            self.taken.update(dict.fromkeys(spans, reason))
            self.order.append(tuple(spans))
        self.left -= cost
        return cost

    def _count(self, span: Span) -> int:
        return self.infiller.count_tokens(model_text(self.buffer, (span,)))


def _quote(other: OtherFile, lines: Iterable[int]) -> Part:
    return Part(
        Reason.DEFINITION, 0, other.buffer, _joined(other.buffer, lines), f"{table_of_tree(other.tree).line_comment} {other.name}\n"
    )


def _line(buffer: Buffer, line: int) -> Span:
    """Bytes of a whole line, its line end included."""
    return buffer.line_starts[line], buffer.next_line(line)


def _lines(buffer: Buffer, span: Span) -> range:
    """The lines that the text of these bytes touches."""
    start, end = span
    end = start + len(buffer.source[start:end].rstrip())
    return range(buffer.line_at(start), buffer.line_at(max(start, end - 1)) + 1)


def _joined(buffer: Buffer, lines: Iterable[int]) -> tuple[Span, ...]:
    """The bytes of these lines, those that follow each other as one."""
    spans: list[Span] = []
    for start, end in (_line(buffer, line) for line in sorted(lines)):
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return tuple(spans)
