"""What a rule may look at beside the candidate itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, Range, apply_edits, ranges_after, tree_after
from lsp_server.holes import MARKER, Hole
from lsp_server.postprocess.indent_style import IndentStyle, style_at
from lsp_server.syntax import count_errors

_FAR = 4096
Finding = TypeVar("Finding")
# An identifier suits most places; these suit those where it doesn't: a statement that ends with a semicolon, and nothing at all.
_PLACEHOLDERS = (f"{MARKER};", "")


@dataclass(frozen=True)
class Filled:
    """The buffer as a candidate leaves it. `ranges`: the bytes of each fill. `tree` is None for plain text, or where parsing takes long."""

    source: bytes
    ranges: tuple[Range, ...]
    tree: Tree | None


@dataclass(frozen=True)
class Surroundings:
    """The buffer, its tree (None for plain text) and the holes that were filled, in order; candidates have an edit for each."""

    buffer: Buffer
    tree: Tree | None
    holes: tuple[Hole, ...]
    marker: str = MARKER

    @cached_property
    def marked(self) -> tuple[Edit, ...]:
        """Edits that put an identifier in the place of every hole: the buffer as it would be with nothing wrong in its holes."""
        return tuple(Edit(hole.start, hole.end, MARKER) for hole in self.holes)

    @cached_property
    def before(self) -> tuple[Tree, tuple[Range, ...]] | None:
        """The tree that fills are measured by, with where its holes are; None for plain text.

        It is that of the buffer as it stands or that with something in each hole that suits its place, whichever has fewer errors.
        """
        if self.tree is None:
            return None
        edits = list(self.marked)
        best = self._errors_with(edits)
        for index, hole in enumerate(self.holes):
            for text in _PLACEHOLDERS:
                other = [*edits[:index], Edit(hole.start, hole.end, text), *edits[index + 1 :]]
                if best and (count := self._errors_with(other)) < best:
                    edits, best = other, count
        tree = tree_after(self.tree, self.buffer.source, edits)
        if tree is None or count_errors(self.tree) < best:
            return self.tree, tuple((hole.start, hole.end) for hole in self.holes)
        return tree, ranges_after(edits)

    def _errors_with(self, edits: Sequence[Edit]) -> float:
        tree = None if self.tree is None else tree_after(self.tree, self.buffer.source, edits)
        return math.inf if tree is None else count_errors(tree)

    def filled(self, candidate: Candidate) -> Filled:
        """The buffer with the candidate's edits made. The last one is kept, as one rule after the other asks for it."""
        if candidate.edits not in self._filled:
            tree = None if self.tree is None else tree_after(self.tree, self.buffer.source, candidate.edits)
            self._filled.clear()
            self._filled[candidate.edits] = Filled(apply_edits(self.buffer.source, candidate.edits), ranges_after(candidate.edits), tree)
        return self._filled[candidate.edits]

    @cached_property
    def _filled(self) -> dict[tuple[Edit, ...], Filled]:
        return {}

    def kept(self, found: Callable[[Surroundings], Finding]) -> Finding:
        """What `found` finds here, looked for once."""
        if found not in self._findings:
            self._findings[found] = found(self)
        finding: Finding = self._findings[found]
        return finding

    @cached_property
    def _findings(self) -> dict[Callable[[Surroundings], Any], Any]:
        return {}

    def style(self, index: int) -> IndentStyle:
        """How the buffer is indented about hole `index`."""
        if index not in self._styles:
            self._styles[index] = style_at(self.buffer, self.tree, self.holes[index].start)
        return self._styles[index]

    @cached_property
    def _styles(self) -> dict[int, IndentStyle]:
        return {}

    def ahead(self, index: int) -> str:
        """What stands before hole `index`: a few thousand bytes at most, and nothing before the end of the hole above."""
        start = self.holes[index].start
        limit = self.buffer.settle(start - _FAR)
        if index > 0:
            limit = max(limit, self.holes[index - 1].end)
        return self.buffer.source[min(start, limit) : start].decode("utf-8")

    def after(self, index: int) -> str:
        """What follows hole `index`: a few thousand bytes at most, and no further than the next hole."""
        end = self.holes[index].end
        limit = self.buffer.settle(end + _FAR)
        if index + 1 < len(self.holes):
            limit = min(limit, self.holes[index + 1].start)
        return self.buffer.source[end : max(end, limit)].decode("utf-8")

    def ends_line(self, index: int) -> bool:
        """Whether nothing but white space follows hole `index` on its line."""
        end = self.holes[index].end
        return not self.buffer.source[end : self.buffer.line_end(self.buffer.line_at(end))].strip()
