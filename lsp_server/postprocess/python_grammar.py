"""What was Python must still be Python.

tree-sitter's grammar is generous: it takes `print x`, arguments in any order, or an uneven dedent. So the top-level
statements around the holes also go through the running interpreter's own parser, which reads them and runs nothing.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tree_sitter import Node

from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, apply_edits
from lsp_server.postprocess.python_fillers import fillers
from lsp_server.postprocess.surroundings import Surroundings

_MOST_BYTES = 200_000
# That much is parsed to find out whether code can be sound at all, some tenth of a second.
_TRIED_BYTES = 400_000
_GONE_ON_WITH = 4


@dataclass(frozen=True)
class _Stretch:
    """Whole top-level statements, as bytes of the source, and the holes in them."""

    start: int
    end: int
    holes: tuple[int, ...]

    def unread_lines(self, source: bytes, edits: Iterable[Edit]) -> int | None:
        """Of the stretch, once those of the edits that lie in it are made, the lines from its first error on; 0: it is Python.

        None: the parser gave up.
        """
        inside = [Edit(e.start - self.start, e.end - self.start, e.text) for e in edits if self.start <= e.start and e.end <= self.end]
        text = apply_edits(source[self.start : self.end], inside)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(text)
        except SyntaxError as error:
            return max(1, text.count(b"\n") + 2 - (error.lineno or 0))
        except ValueError:
            return text.count(b"\n") + 1
        except (MemoryError, RecursionError):
            return None
        return 0


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that Python's own parser doesn't take, where it takes the buffer as it is or with something in its holes."""
    tree, source = surroundings.tree, surroundings.buffer.source
    if tree is None or tree.language.name != "python":
        return None
    for number, stretch in enumerate(surroundings.kept(_stretches)):
        if stretch.unread_lines(source, candidate.edits) and surroundings.kept(_can_be_sound)[number]:
            return f"it would be no valid Python: {candidate.preview}"
    return None


def _stretches(surroundings: Surroundings) -> list[_Stretch]:
    """For each hole the top-level statements that it touches, one before and one after, from line to line; overlapping ones joined."""
    assert surroundings.tree is not None
    buffer = surroundings.buffer
    statements = [node for node in surroundings.tree.root_node.children if node.type != "comment"]
    stretches: list[_Stretch] = []
    for index, hole in enumerate(surroundings.holes):
        start, end = _around(statements, hole.start, hole.end)
        start, end = buffer.line_starts[buffer.line_at(start)], _end_of_indented(surroundings, end)
        holes: tuple[int, ...] = (index,)
        if stretches and start <= stretches[-1].end:
            before = stretches.pop()
            start, end, holes = before.start, max(before.end, end), (*before.holes, index)
        stretches.append(_Stretch(start, end, holes))
    return [stretch for stretch in stretches if stretch.end - stretch.start <= _MOST_BYTES]


def _around(statements: list[Node], start: int, end: int) -> tuple[int, int]:
    before = [node for node in statements if node.start_byte < start][-1:]
    after = [node for node in statements if node.end_byte > end][:1]
    return min([start, *(node.start_byte for node in before)]), max([end, *(node.end_byte for node in after)])


def _end_of_indented(surroundings: Surroundings, end: int) -> int:
    """The end of the line at `end` and of the indented lines below it, which a hole at the margin may have cut off from their statement.

    Lines that begin with another hole don't end them.
    """
    buffer = surroundings.buffer
    holes = {hole.start for hole in surroundings.holes}
    line = buffer.line_at(end)
    below, last = line + 1, line
    while below < len(buffer.line_starts):
        row = buffer.source[buffer.line_starts[below] : buffer.line_end(below)]
        indented = row[:1] in (b" ", b"\t")
        if row.strip() and not indented and buffer.line_starts[below] not in holes:
            break
        last = below if row.strip() and indented else last
        below += 1
    return buffer.line_end(last)


def _can_be_sound(surroundings: Surroundings) -> list[bool]:
    """For each stretch whether it is Python as it stands, or with fillers in its holes, which are looked for from hole to hole."""
    source = surroundings.buffer.source
    return [stretch.unread_lines(source, ()) == 0 or _fillable(stretch, surroundings) for stretch in surroundings.kept(_stretches)]


def _fillable(stretch: _Stretch, surroundings: Surroundings) -> bool:
    """Whether the stretch is Python with names in its holes, or with fillers in the marked ones.

    Hole by hole, those fillers that Python's parser gets furthest with are gone on with. What is written at a cursor, on the other hand,
    may be a beginning: only a marked hole stands for all that is missing.
    """
    source = surroundings.buffer.source
    if stretch.unread_lines(source, (surroundings.marked[index] for index in stretch.holes)) == 0:
        return True
    marked = [index for index in stretch.holes if surroundings.holes[index].kind == "marker"]
    tries = _TRIED_BYTES // max(1, (stretch.end - stretch.start) * len(stretch.holes))
    furthest = [{index: surroundings.marked[index] for index in stretch.holes}]
    for index in marked:
        hole = surroundings.holes[index]
        reached: list[tuple[int, dict[int, Edit]]] = []
        for edits in furthest:
            for text in islice(fillers(surroundings, index), max(1, tries // len(furthest))):
                other = {**edits, index: Edit(hole.start, hole.end, text)}
                unread = stretch.unread_lines(source, other.values())
                if unread == 0:
                    return True
                if unread is not None:
                    reached.append((unread, other))
        furthest = [edits for _, edits in sorted(reached, key=lambda state: state[0])[:_GONE_ON_WITH]]
    return False
