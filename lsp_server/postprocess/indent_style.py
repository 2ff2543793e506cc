"""How a buffer is indented, as seen from one place in it: near it first, then in the whole file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.postprocess.line_roles import role_at

TAB = "\t"

_NEAR_LINES = 60
_MOST_LINES = 600
_LONGEST_LINE = 400
_SPACES = frozenset(" " * width for width in range(2, 9))
_LEADING = re.compile(rb"[ \t]*")


@dataclass(frozen=True)
class IndentStyle:
    """`unit` is what one level adds: a tab or 2 to 8 spaces; None where the text doesn't say.

    `base` is the indentation of the place's own line, as far as it stands before the place. `levels` are those of that line, where
    there is code before the place, and of the lines above, each less than the next; the first is none. `odd` are indentations
    nearby that are no whole number of units.
    """

    unit: str | None
    base: str
    levels: tuple[str, ...]
    odd: frozenset[str]

    @property
    def mixed(self) -> bool:
        """Whether the place's own line has both tabs and spaces, so that nothing fits it."""
        return TAB in self.base and " " in self.base


def style_at(buffer: Buffer, tree: Tree | None, offset: int) -> IndentStyle:
    """The style about byte `offset`. Looks at a few hundred lines at most."""
    line = buffer.line_at(offset)
    before = buffer.source[buffer.line_starts[line] : offset]
    base = indent_of(before)
    levels = _levels(buffer, line, None if base.encode() == before else base)
    near = list(_indents(buffer, tree, range(line - _NEAR_LINES, line + _NEAR_LINES)))
    kind = base or levels[-1]
    unit = _unit(near, kind)
    if unit is None:
        unit = _unit(_indents(buffer, tree, range(_MOST_LINES)), kind)
    if unit is None and kind:
        unit = TAB if kind[0] == TAB else next((level for level in (*levels, base) if level in _SPACES), None)
    odd = frozenset() if unit is None else frozenset(indent for indent in near if len(indent) % len(unit))
    return IndentStyle(unit, base, levels, odd)


def indent_of(row: bytes) -> str:
    """The white space that a line begins with."""
    found = _LEADING.match(row)
    return "" if found is None else found.group().decode("ascii")


def _row(buffer: Buffer, line: int) -> bytes:
    start = buffer.line_starts[line]
    return buffer.source[start : min(buffer.line_end(line), start + _LONGEST_LINE)]


def _levels(buffer: Buffer, line: int, own: str | None) -> tuple[str, ...]:
    """`own`, where there is one, and the indentations of the lines above `line`, each shorter than those below it; the outermost first."""
    levels = [] if own is None else [own]
    for above in range(line - 1, max(-1, line - _MOST_LINES), -1):
        if levels and not levels[-1]:
            break
        row = _row(buffer, above)
        indent = indent_of(row)
        if row.strip() and (not levels or (len(indent) < len(levels[-1]) and levels[-1].startswith(indent))):
            levels.append(indent)
    levels.reverse()
    return tuple(levels) if levels and not levels[0] else ("", *levels)


def _indents(buffer: Buffer, tree: Tree | None, lines: Iterable[int]) -> Iterator[str]:
    """Indentations of those of the lines with which a statement begins."""
    for line in lines:
        if 0 <= line < len(buffer.line_starts):
            row = _row(buffer, line)
            if row.strip():
                indent = indent_of(row)
                if role_at(tree, buffer.line_starts[line] + len(indent)) == "statement":
                    yield indent


def _unit(indents: Iterable[str], base: str) -> str | None:
    """The commonest step from one statement to a deeper one; where `base` is indented, only steps of its kind count, tabs or spaces."""
    steps: Counter[str] = Counter()
    above: str | None = None
    for indent in indents:
        if above is not None and len(indent) > len(above) and indent.startswith(above):
            step = indent[len(above) :]
            if (step == TAB or step in _SPACES) and (not base or base[0] == step[0]):
                steps[step] += 1
        above = indent
    return max(steps, key=lambda step: (steps[step], -len(step))) if steps else None
