"""What a rule may look at beside the candidate itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.edits import Edit, Range, ranges_after, tree_after
from lsp_server.holes import MARKER, Hole
from lsp_server.syntax import count_errors


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

        It is that of the buffer as it stands or that with an identifier in each hole, whichever has fewer errors.
        """
        if self.tree is None:
            return None
        marked = tree_after(self.tree, self.buffer.source, self.marked)
        if marked is None or count_errors(self.tree) < count_errors(marked):
            return self.tree, tuple((hole.start, hole.end) for hole in self.holes)
        return marked, ranges_after(self.marked)

    def after(self, index: int) -> str:
        """What follows hole `index`: a few thousand bytes at most, and no further than the next hole."""
        end = self.holes[index].end
        limit = self.buffer.settle(end + 4096)
        if index + 1 < len(self.holes):
            limit = min(limit, self.holes[index + 1].start)
        return self.buffer.source[end : max(end, limit)].decode("utf-8")
