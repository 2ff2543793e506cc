"""Places in a file as people write them: lines and columns from 1, columns in characters, the end of a range exclusive."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from engine.errors import LacunaError
from lsp_server.buffer import Buffer

_RANGE = re.compile(r"(\d{1,9}):(\d{1,9})(?:-(\d{1,9}):(\d{1,9}))?", re.ASCII)

PLACES_HELP = (
    "Lines and columns count from 1, columns in characters (code points; a tab is one); the end of a range is the "
    "first place after it, so that 3:5-3:8 has three characters and 3:5-3:5, or 3:5 for short, is the empty place "
    "before the fifth. JSON has the same numbers."
)


@dataclass(frozen=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"

    def offset(self, buffer: Buffer) -> int:
        """The byte offset. Raises LacunaError where the file has no such place."""
        lines = len(buffer.line_starts)
        if not 1 <= self.line <= lines:
            raise LacunaError(f"{self} lies outside {buffer.name}, which has {lines} line{'s' * (lines != 1)}")
        last = buffer.position(buffer.line_end(self.line - 1), "utf-32")[1] + 1
        if not 1 <= self.column <= last:
            raise LacunaError(f"{self} lies outside {buffer.name}: line {self.line} ends at column {last}")
        return buffer.offset(self.line - 1, self.column - 1, "utf-32")


@dataclass(frozen=True)
class PlaceRange:
    """From `start` up to `end`, exclusive."""

    start: Place
    end: Place

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"

    def offsets(self, buffer: Buffer) -> tuple[int, int]:
        """The byte offsets. Raises LacunaError where the file has no such range or it ends before it starts."""
        start, end = self.start.offset(buffer), self.end.offset(buffer)
        if end < start:
            raise LacunaError(f"the range {self} ends before it starts")
        return start, end

    def as_json(self) -> dict[str, dict[str, int]]:
        """In the shape of the language server protocol, but counted from 1."""
        return {name: {"line": place.line, "character": place.column} for name, place in (("start", self.start), ("end", self.end))}


def place_range(text: str) -> PlaceRange:
    """L:C-L:C, or L:C for an empty range. Raises ArgumentTypeError."""
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of lines and columns such as 3:5-3:8")
    line, column, end_line, end_column = match.groups()
    return PlaceRange(Place(int(line), int(column)), Place(int(end_line or line), int(end_column or column)))


def range_of(buffer: Buffer, start: int, end: int) -> PlaceRange:
    """The places of two byte offsets."""
    (line, column), (end_line, end_column) = buffer.position(start, "utf-32"), buffer.position(end, "utf-32")
    return PlaceRange(Place(line + 1, column + 1), Place(end_line + 1, end_column + 1))
