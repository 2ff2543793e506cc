"""What was Python must still be Python.

tree-sitter's grammar is generous: it takes `print x`, arguments in any order, or an uneven dedent. So the top-level
statements around the holes also go through the running interpreter's own parser, which reads them and runs nothing.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

from tree_sitter import Node, Tree

from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, apply_edits
from lsp_server.postprocess.surroundings import Surroundings

_MOST_BYTES = 200_000


@dataclass(frozen=True)
class _Stretch:
    """Whole top-level statements, as bytes of the source."""

    start: int
    end: int

    def parses(self, source: bytes, edits: tuple[Edit, ...]) -> bool | None:
        """Whether the stretch is Python once those of the edits that lie in it are made. None: the parser gave up."""
        inside = [Edit(e.start - self.start, e.end - self.start, e.text) for e in edits if self.start <= e.start and e.end <= self.end]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(apply_edits(source[self.start : self.end], inside))
        except (SyntaxError, ValueError):
            return False
        except (MemoryError, RecursionError):
            return None
        return True


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that Python's own parser doesn't take, where it takes the buffer as it is or with names in its holes."""
    tree, source = surroundings.tree, surroundings.buffer.source
    if tree is None or tree.language.name != "python":
        return None
    for stretch in _stretches(tree, surroundings):
        if stretch.parses(source, candidate.edits) is False and (stretch.parses(source, ()) or stretch.parses(source, surroundings.marked)):
            return f"it would be no valid Python: {candidate.preview}"
    return None


def _stretches(tree: Tree, surroundings: Surroundings) -> list[_Stretch]:
    """For each hole the top-level statements that it touches, one before and one after, from line to line; overlapping ones joined."""
    buffer = surroundings.buffer
    statements = [node for node in tree.root_node.children if node.type != "comment"]
    stretches: list[_Stretch] = []
    for hole in surroundings.holes:
        start, end = _around(statements, hole.start, hole.end)
        start, end = buffer.line_starts[buffer.line_at(start)], buffer.line_end(buffer.line_at(end))
        if stretches and start <= stretches[-1].end:
            start = stretches.pop().start
        stretches.append(_Stretch(start, end))
    return [stretch for stretch in stretches if stretch.end - stretch.start <= _MOST_BYTES]


def _around(statements: list[Node], start: int, end: int) -> tuple[int, int]:
    before = [node for node in statements if node.start_byte < start][-1:]
    after = [node for node in statements if node.end_byte > end][:1]
    return min([start, *(node.start_byte for node in before)]), max([end, *(node.end_byte for node in after)])
