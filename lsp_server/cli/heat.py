"""A text with each token in the colour of its surprise, in the terminal; where that has no colours, with marks under the lines."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsp_server.buffer import Buffer
from lsp_server.cli.terminal import Style, harmless
from lsp_server.scoring import ScoredToken

# From how many bits on a token is at level 1, 2, ...; below the first it is at level 0.
LEVELS = (1, 2, 4, 6, 8, 12)
# The scale "cividis", which looks the same to people with and without deficient colour vision and rises in brightness: (background,
# foreground). All of the text is painted, so that the terminal's own background doesn't matter.
_DARK, _LIGHT = (16, 16, 16), (238, 238, 238)
_COLOURS = (
    ((0, 34, 78), _LIGHT),
    ((53, 69, 108), _LIGHT),
    ((87, 92, 109), _LIGHT),
    ((125, 124, 120), _DARK),
    ((165, 156, 116), _DARK),
    ((210, 193, 94), _DARK),
    ((254, 232, 56), _DARK),
)
_MARKS = " .:-+#@"
_TAB_WIDTH = 4


@dataclass(frozen=True)
class Cell:
    """A run of whole characters, bytes `start` to `end`, and the tokens that spell it: one, or the parts of a character."""

    start: int
    end: int
    tokens: tuple[ScoredToken, ...]

    @property
    def bits(self) -> float:
        return sum(token.bits for token in self.tokens)

    @property
    def level(self) -> int:
        return bisect_right(LEVELS, self.bits)


def cells(buffer: Buffer, tokens: Sequence[ScoredToken]) -> Iterator[Cell]:
    """The tokens, in the order of the text, those together that share a character."""
    waiting: list[ScoredToken] = []
    for token in tokens:
        waiting.append(token)
        if buffer.settle(token.end) == token.end:
            yield Cell(buffer.settle(waiting[0].start), token.end, tuple(waiting))
            waiting = []


@dataclass(frozen=True)
class Row:
    """A line by its number from 1, as pieces of text without line ends, each with the cell that it is a part of."""

    number: int
    pieces: tuple[tuple[str, Cell], ...]


def rows(buffer: Buffer, tokens: Sequence[ScoredToken]) -> Iterator[Row]:
    """The lines that the tokens stand on, in order."""
    number: int | None = None
    pieces: list[tuple[str, Cell]] = []
    for cell in cells(buffer, tokens):
        for line in range(buffer.line_at(cell.start), buffer.line_at(max(cell.start, cell.end - 1)) + 1):
            if number is not None and line != number:
                yield Row(number + 1, tuple(pieces))
                pieces = []
            number = line
            start, end = max(cell.start, buffer.line_starts[line]), min(cell.end, buffer.line_end(line))
            if start < end:
                pieces.append((buffer.source[start:end].decode("utf-8", errors="replace"), cell))
    if number is not None:
        yield Row(number + 1, tuple(pieces))


def heat_map(buffer: Buffer, tokens: Sequence[ScoredToken], style: Style) -> Iterator[str]:
    """The lines to print: a legend, then the text with line numbers."""
    yield _legend(style)
    for row in rows(buffer, tokens):
        expanded = list(_without_tabs(row))
        gutter = f"{row.number:5} "
        yield style.aside(gutter) + "".join(style.on(*_COLOURS[cell.level], text) for text, cell in expanded)
        if not style.has_colours:
            marks = "".join(_MARKS[cell.level] * _width(text) for text, cell in expanded).rstrip()
            if marks:
                yield " " * len(gutter) + marks


def _legend(style: Style) -> str:
    names = [f"below {LEVELS[0]}", *(f"from {bits}" for bits in LEVELS)]
    if style.has_colours:
        return "bits: " + "".join(style.on(*colours, f" {name} ") for name, colours in zip(names, _COLOURS, strict=True))
    return "marks under a line, by bits: " + ", ".join(f"{mark} {name}" for name, mark in zip(names[1:], _MARKS[1:], strict=True))


def _without_tabs(row: Row) -> Iterator[tuple[str, Cell]]:
    column = 0
    for text, cell in row.pieces:
        shown = ""
        for character in harmless(text):
            part = " " * (_TAB_WIDTH - column % _TAB_WIDTH) if character == "\t" else character
            column += _width(part)
            shown += part
        yield shown, cell


def _width(text: str) -> int:
    """Columns that a terminal gives a text."""
    return sum(0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
