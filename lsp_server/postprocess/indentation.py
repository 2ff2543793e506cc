"""The lines of a fill are indented as the buffer is.

The model has mostly seen four spaces. Where a fill of several lines is indented by a unit of its own throughout, `mend`
puts the buffer's in its place; where its lines disagree among themselves, `check` refuses it. A mended candidate keeps its
likelihood, which is that of the text as the model wrote it: of all the texts that would have been shown the same way, one.
What is shown is therefore at least as likely as it says. White space in strings is content, and stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lsp_server.candidate import Candidate
from lsp_server.edits import Edit
from lsp_server.line_ends import to_buffer, to_model
from lsp_server.postprocess.indent_style import TAB, IndentStyle, indent_of
from lsp_server.postprocess.line_roles import Role, role_at
from lsp_server.postprocess.surroundings import Surroundings

NAME = "indentation"

# What the model may have had in mind, the likeliest first.
_WIDTHS = (4, 8, 2, 3)
_DEFAULT_WIDTH = 4
_OPENERS = tuple(":([{,\\")


@dataclass(frozen=True)
class _Line:
    """A line of a fill: row `row` of its text, indented by `indent`, of which the buffer itself holds the beginning, `kept`."""

    row: int
    indent: str
    kept: str
    role: Role
    after_opener: bool

    @property
    def spaces(self) -> int:
        """Spaces after the tabs."""
        return len(self.indent.lstrip(TAB))

    @property
    def tabs(self) -> int:
        return len(self.indent) - self.spaces


def mend(candidate: Candidate, surroundings: Surroundings) -> Candidate:
    """The candidate with the buffer's indentation in place of the fills' own, where those are consistent; else as it is."""
    edits = tuple(_mended(candidate, surroundings, index) for index in range(len(candidate.edits)))
    return candidate if edits == candidate.edits else replace(candidate, edits=edits, mended=(*candidate.mended, NAME))


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that is indented otherwise than the buffer, or unevenly, and that could not be mended."""
    for index in range(len(candidate.edits)):
        lines = _lines(candidate, surroundings, index)
        if lines and (reason := _misfit(lines, surroundings.style(index), surroundings)) is not None:
            return reason
    return None


def _lines(candidate: Candidate, surroundings: Surroundings, index: int) -> list[_Line]:
    """The lines of fill `index` whose indentation the fill decides on, strings' contents and blank lines aside."""
    text = to_model(candidate.edits[index].text)
    filled = surroundings.filled(candidate)
    start, end = filled.ranges[index]
    begin = max(filled.source.rfind(b"\n", 0, start), filled.source.rfind(b"\r", 0, start)) + 1
    before = filled.source[begin:start]
    rows = text.split("\n")
    newline = len(surroundings.buffer.newline)
    lines: list[_Line] = []
    offset, above = start, ""
    for number, row in enumerate(rows):
        kept = before.decode("utf-8") if number == 0 else ""
        own = indent_of(row.encode("utf-8"))
        last = number == len(rows) - 1
        follows = filled.source[end : end + 1] if last else b"\n"
        blank = row == own and (not last or follows in (b"", b"\n", b"\r", b" ", b"\t"))
        if not blank and not kept.strip():
            role = role_at(filled.tree, offset + len(own))
            if role != "data":
                lines.append(_Line(number, kept + own, kept, role, filled.tree is None or above.endswith(_OPENERS)))
        above = row.rstrip() or above
        offset += len(row.encode("utf-8")) + newline
    return lines


def _mended(candidate: Candidate, surroundings: Surroundings, index: int) -> Edit:
    edit = candidate.edits[index]
    text = to_model(edit.text)
    style = surroundings.style(index)
    if style.mixed or ("\n" not in text and text[:1] not in (" ", TAB)):
        return edit
    lines = _lines(candidate, surroundings, index)
    indents = _adapted(lines, style, has_tree=surroundings.tree is not None)
    if indents is None or any(not indent.startswith(line.kept) for indent, line in zip(indents, lines, strict=True)):
        return edit
    rows = text.split("\n")
    for indent, line in zip(indents, lines, strict=True):
        rows[line.row] = indent[len(line.kept) :] + rows[line.row][len(line.indent) - len(line.kept) :]
    return replace(edit, text=to_buffer("\n".join(rows), surroundings.buffer.newline))


def _adapted(lines: Sequence[_Line], style: IndentStyle, has_tree: bool) -> list[str] | None:
    """The indentation of each line by the buffer's unit; None where the fill has no unit of its own, or no single one."""
    if style.unit == TAB:
        return _to_tabs(lines, style)
    if any(line.tabs or TAB in line.indent for line in lines):
        return _to_spaces(lines, style)
    if style.unit is not None and has_tree:
        return _to_width(lines, style, style.unit)
    return None


def _to_tabs(lines: Sequence[_Line], style: IndentStyle) -> list[str] | None:
    """A tab for each of the fill's units of spaces, be they all of the indentation or only what it adds to the block's."""
    if any(TAB in line.indent.lstrip(TAB) for line in lines):
        return None
    code = [line for line in lines if line.role != "prose"]
    if any(line.spaces and not line.tabs for line in code) and any(line.tabs and not line.kept for line in code):
        return None
    width = _width(lines, len(style.base))
    if width is None:
        return None
    return [TAB * (line.tabs + line.spaces // width) + " " * (line.spaces % width) for line in lines]


def _width(lines: Sequence[_Line], depth: int) -> int | None:
    """How many spaces the fill takes for a level, if below `depth` levels it goes deeper only where something opens. None: no saying."""
    statements = [line for line in lines if line.role == "statement"]

    def leaps(width: int) -> int:
        count, above = 0, depth
        for line in statements:
            level = line.tabs + line.spaces // width
            count += line.row > 0 and level > above + line.after_opener
            above = level
        return count

    fitting = [width for width in _WIDTHS if not any(line.spaces % width for line in statements)]
    return min(fitting, key=leaps) if fitting else None


def _to_spaces(lines: Sequence[_Line], style: IndentStyle) -> list[str] | None:
    """The buffer's unit for each of the fill's tabs."""
    if any(TAB in line.indent.strip(" ") and " " in line.indent.strip(" ") for line in lines):
        return None
    code = [line for line in lines if line.role != "prose" and not line.kept]
    if any(line.tabs for line in code) and any(line.indent[:1] == " " for line in code):
        return None
    if style.unit is None and not style.base:
        return None
    unit = style.unit or " " * _DEFAULT_WIDTH
    return [line.indent.replace(TAB, unit) for line in lines]


def _to_width(lines: Sequence[_Line], style: IndentStyle, unit: str) -> list[str] | None:
    """The buffer's width for each level of the fill's, whose lines either add to the block's indentation or count from the margin.

    What speaks for one reading is that its statements go deeper just where something opens.
    """
    steps = _steps(lines, style)
    if steps <= {len(unit)}:
        return None
    readings = [_relative(lines, style, unit), _from_margin(lines, unit)]
    surprises, indents = min(((_surprises(lines, style, reading), reading) for reading in readings if reading), key=lambda pair: pair[0])
    if surprises == 0 or (len(steps) == 1 and steps <= set(_WIDTHS)):
        return indents
    return None


def _steps(lines: Sequence[_Line], style: IndentStyle) -> set[int]:
    """By how many spaces the fill's statements go deeper than those above them; indentations that the buffer has too don't count."""
    stack = [len(level) for level in style.levels]
    steps: set[int] = set()
    for line in lines:
        column = len(line.indent)
        if line.role != "statement" or line.indent in style.odd:
            continue
        while len(stack) > 1 and stack[-1] > column:
            stack.pop()
        if stack[-1] < column:
            stack.append(column)
            if line.indent != line.kept:
                steps.add(column - stack[-2])
    return steps


def _relative(lines: Sequence[_Line], style: IndentStyle, unit: str) -> list[str] | None:
    """One `unit` deeper for each statement that is deeper at all; other lines move with the statement that they belong to.

    None where a statement goes back to a level that isn't there.
    """
    stack = [(len(level), level) for level in style.levels]
    indents: list[str] = []
    width = 0
    for line in lines:
        column, deepest = len(line.indent), len(stack)
        while len(stack) > 1 and stack[-1][0] > column:
            stack.pop()
        top, indent = stack[-1]
        if line.row > 0 and line.role == "statement" and len(stack) < deepest and column > top:
            return None
        if line.indent == line.kept:
            indents.append(line.kept)
        elif column == top:
            indents.append(indent)
        elif line.role == "statement" or column - top == width:
            indents.append(indent + unit)
        else:
            indents.append(indent + " " * (column - top))
        if line.role == "statement" and column > top:
            width = column - top
            stack.append((column, indents[-1]))
    return indents


def _from_margin(lines: Sequence[_Line], unit: str) -> list[str]:
    """A `unit` for each four spaces; statements elsewhere stay where they are."""
    indents = []
    for line in lines:
        levels, rest = divmod(len(line.indent), _DEFAULT_WIDTH)
        stays = line.kept or (rest and line.role == "statement")
        indents.append(line.indent if stays else unit * levels + " " * rest)
    return indents


def _surprises(lines: Sequence[_Line], style: IndentStyle, indents: Sequence[str]) -> int:
    """How many statements would go deeper where nothing opens, or no deeper where something does."""
    above = max((len(level) for level in (*style.levels, style.base) if len(level) <= len(style.base)), default=0)
    count = 0
    for line, indent in zip(lines, indents, strict=True):
        if line.role == "statement":
            count += line.row > 0 and (len(indent) > above) != line.after_opener
            above = len(indent)
    return count


def _misfit(lines: Sequence[_Line], style: IndentStyle, surroundings: Surroundings) -> str | None:
    """Why the lines don't fit the buffer; None where they do."""
    if style.mixed:
        return None
    code = [line for line in lines if line.role != "prose"]
    if any(TAB in line.indent.lstrip(TAB) for line in code):
        return "its indentation mixes tabs and spaces"
    kinds = {TAB if line.tabs else " " for line in code if line.indent and not line.kept}
    if len(kinds) > 1 and style.unit != TAB:
        return "its indentation mixes tabs and spaces"
    if style.unit == TAB:
        if any(line.spaces and (line.role == "statement" or not line.indent.startswith(style.base[:1])) for line in code):
            return "it is indented with spaces where the file has tabs"
    elif TAB in kinds and (style.unit is not None or style.base):
        return "it is indented with tabs where the file has spaces"
    elif style.unit is not None and surroundings.tree is not None and not _steps(lines, style) <= {len(style.unit)}:
        return f"it is indented unevenly where the file has {len(style.unit)} spaces a level"
    return None
