"""Texts of all kinds that a hole in Python may stand for, to see whether the code around it can be sound at all."""

from __future__ import annotations

from collections.abc import Iterator

from lsp_server.holes import MARKER
from lsp_server.postprocess.indent_style import indent_of
from lsp_server.postprocess.surroundings import Surroundings

_STATEMENTS = (MARKER, f"if {MARKER}:", "else:", "try:", f"except {MARKER}:", f"def {MARKER}():", f"@{MARKER}")
_ITEMS = (f"{MARKER},", f"{MARKER}: {MARKER},")
_CLOSERS = (")", "]", "}", f"{MARKER}:", '"""')
_OPENERS = (f"{MARKER} = {{", f"{MARKER} = [", f"{MARKER}(", f"({MARKER}")
_PARTS = (f" {MARKER} ", f"{MARKER}(", f"{MARKER}({MARKER}(", f"[{MARKER} ")
# Ends of a statement that the line begins; the next one may follow.
_ENDS = ("", MARKER, ":", f"{MARKER}:", ")", f"{MARKER})", "):", f"{MARKER}):", "]", "}")
_DEFAULT_UNIT = "    "
_MOST_LINES = 200


def fillers(surroundings: Surroundings, index: int) -> Iterator[str]:
    """For hole `index`, the likeliest first: statements and parts of such, at every indentation that may be meant."""
    buffer, hole = surroundings.buffer, surroundings.holes[index]
    line = buffer.line_at(hole.start)
    before = buffer.source[buffer.line_starts[line] : hole.start].decode("utf-8")
    levels = _levels(surroundings, index)
    if before.strip():
        yield MARKER
        yield from (*_PARTS, *(end for end in _ENDS if end != MARKER))
        for statement in _STATEMENTS[:2]:
            yield from (f"{end}\n{level}{statement}" for level in levels for end in _ENDS)
        return
    inside = [level.removeprefix(before) for level in levels if level.startswith(before)]
    for statement in _STATEMENTS[:2]:
        yield from (level + statement for level in inside)
    yield ""
    yield from (*_ITEMS, *_CLOSERS)
    yield from (level + opener for level in inside[:3] for opener in _OPENERS)
    yield from (level + statement for level in inside for statement in _STATEMENTS[2:])
    yield from (f"{level}if {MARKER}:\n{deeper}{MARKER}" for level in inside for deeper in levels if len(deeper) > len(level))


def _levels(surroundings: Surroundings, index: int) -> tuple[str, ...]:
    """Indentations of the lines about the hole, what lies one unit about them, and those of the blocks around."""
    style = surroundings.style(index)
    unit = style.unit or _DEFAULT_UNIT
    above = next((row for row in reversed(surroundings.ahead(index).splitlines()) if row.strip()), "")
    deeper = indent_of(above.encode("utf-8")) + unit
    below = _levels_below(surroundings, index)
    return tuple(dict.fromkeys((below[0], deeper.removesuffix(unit), below[0].removesuffix(unit), deeper, *reversed(style.levels), *below)))


def _levels_below(surroundings: Surroundings, index: int) -> list[str]:
    """Indentations of lines below the hole, each less than the one before; none, at last."""
    buffer = surroundings.buffer
    holes = {buffer.line_at(hole.start) for hole in surroundings.holes}
    first = buffer.line_at(surroundings.holes[index].end) + 1
    levels: list[str] = []
    for line in range(first, min(first + _MOST_LINES, len(buffer.line_starts))):
        row = buffer.source[buffer.line_starts[line] : buffer.line_end(line)]
        indent = indent_of(row)
        if line not in holes and row.strip() and (not levels or len(indent) < len(levels[-1])):
            levels.append(indent)
            if not indent:
                break
    return levels or [""]
