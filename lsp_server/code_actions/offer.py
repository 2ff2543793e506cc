"""What a family of actions gets to see, and what it offers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from lsprotocol import types

from lsp_server.configuration import Settings
from lsp_server.cursor_holes import CursorHole, hole_at_cursor
from lsp_server.documents import Document
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole, find_markers

FILL_KIND = types.CodeActionKind.QuickFix
REWRITE_KIND = types.CodeActionKind.RefactorRewrite
# A kind that no editor runs on its own when it saves, as it might `source.fixAll`.
FILL_FILE_KIND = "source.lacuna.fillAll"

Kind = types.CodeActionKind | str


@dataclass(frozen=True)
class Place:
    """Bytes `start` to `end` of a document, equal for a bare cursor, for which actions are asked.

    `invoked`: a person opened the menu. Else an editor asks by itself, and would show a light bulb for each offer at each move of the
    cursor. `source`: actions for the whole file were asked for by their kind.
    """

    document: Document
    start: int
    end: int
    settings: Settings
    invoked: bool
    source: bool

    @cached_property
    def markers(self) -> tuple[Hole, ...]:
        """All markers of the document."""
        return find_markers(self.document.buffer, self.document.tree, self.settings.marker, self.settings.max_tokens)

    @cached_property
    def here(self) -> tuple[Hole, ...]:
        """The markers that the selection touches; for a bare cursor that touches none, the marker of its line if it is the only one."""
        touched = tuple(hole for hole in self.markers if hole.start <= self.end and self.start <= hole.end)
        if touched or self.start != self.end:
            return touched
        buffer = self.document.buffer
        line = buffer.line_at(self.start)
        of_line = tuple(hole for hole in self.markers if buffer.line_at(hole.start) == line)
        return of_line if len(of_line) == 1 else ()

    @cached_property
    def missing(self) -> CursorHole | None:
        """What a bare cursor may mean that touches no marker, where somebody asks; else None."""
        if self.start != self.end or not self.invoked or self.here:
            return None
        return hole_at_cursor(self.document.buffer, self.document.tree, self.start, self.settings.max_tokens)

    @property
    def anchor(self) -> tuple[int, int]:
        """The place as the syntax has it: a cursor before or behind all that its line holds means what is nearest there."""
        buffer = self.document.buffer
        line = buffer.line_at(self.start)
        row = buffer.source[buffer.line_starts[line] : buffer.line_end(line)]
        if self.start != self.end or not row.strip():
            return self.start, self.end
        first, last = buffer.line_starts[line] + len(row) - len(row.lstrip()), buffer.line_starts[line] + len(row.rstrip()) - 1
        start = min(max(self.start, first), last)
        return start, start


@dataclass(frozen=True)
class Offer:
    """A fill that may be asked for, and how the menu calls it. `chosen`: the user picks among the alternatives."""

    title: str
    kind: Kind
    request: FillRequest
    preferred: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class Refusal:
    """What can't be had at a place, and why; clients that can show it in grey."""

    title: str
    kind: Kind
    reason: str
