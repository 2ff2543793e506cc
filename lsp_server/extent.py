"""How far a suggestion at the cursor goes: an expression's worth, the rest of a line, or the block that is about to begin.

The extent says how many tokens the model may write, and where what it wrote is cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from tree_sitter import Node, Tree

from lsp_server.buffer import Buffer
from lsp_server.languages import table_of_tree

# words: a piece of a comment or string. expression: what fits in before the code that follows on the line.
Kind = Literal["words", "expression", "line", "block"]

# Tokens, the end mark included. The model writes longer where it has more room, and what is cut off was written in vain.
BUDGETS: dict[Kind, int] = {"words": 12, "expression": 12, "line": 24, "block": 64}
_MOST_LINES = 12
_MOST_CUTS = 8
_FAR = 1024
_MOST_BLANK_LINES = 20
# A line that ends so is not over, and what comes next belongs to it. Braces are left out: they open blocks too.
_UNFINISHED = (b"(", b"[", b",", b"\\")
_TAB_WIDTH = 4
_TOKEN = re.compile(r"\w+|[()\[\]{}]|[^\w\s()\[\]{}]+")


@dataclass(frozen=True)
class Extent:
    """What a suggestion may be at most. `column` is the width of a block's indentation, else 0."""

    kind: Kind
    column: int = 0

    @property
    def budget(self) -> int:
        """Tokens that the model may write, the end mark included."""
        return BUDGETS[self.kind]


def extent_at(buffer: Buffer, tree: Tree | None, offset: int) -> Extent:
    """How far a suggestion at `offset` goes.

    In a comment or string: some words. With code after it on the line: an expression. At a line's end: the rest of that line. On a
    blank line that is indented deeper than the line above, with nothing below that is as deep: a block; on any other blank
    line: a line.
    """
    if tree is not None and _in_text(tree, offset):
        return Extent("words")
    line = buffer.line_at(offset)
    # A line may be a megabyte long; near the cursor is what counts.
    before = buffer.source[max(buffer.line_starts[line], offset - _FAR) : offset]
    after = buffer.source[offset : min(buffer.line_end(line), offset + _FAR)]
    if after.strip():
        return Extent("expression")
    if before.strip():
        return Extent("line")
    column = _width(before)
    return Extent("block", column) if _begins_block(buffer, line, column) else Extent("line")


def cuts(text: str, extent: Extent, *, complete: bool) -> Iterator[str]:
    """The beginnings of a fill `text` (its line ends \\n) that may be shown, the one to be preferred first; eight at most.

    A line is cut at its end, and where that is no place to stop (a bracket is open, say) later ones may be; a block ends before the
    first line that is indented less, and may be cut at the end of each of its lines. What doesn't do as a whole may do up to
    one of its words or signs. A fill that is not `complete`, as its tokens ran out, is never shown to its end.
    Nothing comes where the fill's first line is blank.
    """
    shown: dict[str, None] = {}
    for end in _ends(text, extent, complete):
        cut = text[:end]
        if cut.strip() and cut.partition("\n")[0].strip():
            shown.setdefault(cut)
    yield from islice(shown, _MOST_CUTS)


def _ends(text: str, extent: Extent, complete: bool) -> Iterator[int]:
    ends = [match.start() for match in re.finditer("\n", text)] + [len(text)] * complete
    first = ends[0] if ends else len(text)
    lines = [end for end in ends[:_MOST_LINES] if text[:end].rpartition("\n")[2].strip()]
    if extent.kind == "line":
        yield from lines
    elif extent.kind == "block":
        stop = _block_end(text, extent.column)
        yield from reversed([end for end in lines if end <= stop])
    else:
        yield from ends[:1]
    borders = [match.end() for match in _TOKEN.finditer(text, 0, first)]
    # Where the tokens ran out, the last word may be half a word.
    yield from reversed(borders if first in ends else borders[:-1])


def _block_end(text: str, column: int) -> int:
    """Where the first line begins, its line end included, that is indented less than `column` and not blank."""
    for match in re.finditer(r"\n([ \t]*)(?=\S)", text):
        if _width(match.group(1).encode()) < column:
            return match.start()
    return len(text)


def _begins_block(buffer: Buffer, line: int, column: int) -> bool:
    above = next(_rows(buffer, range(line - 1, max(-1, line - 1 - _MOST_BLANK_LINES), -1)), None)
    if above is None or _width(above) >= column or above.rstrip().endswith(_UNFINISHED):
        return False
    below = next(_rows(buffer, range(line + 1, min(len(buffer.line_starts), line + 1 + _MOST_BLANK_LINES))), None)
    return below is None or _width(below) < column


def _rows(buffer: Buffer, lines: range) -> Iterator[bytes]:
    """Those of the lines that aren't blank; of each its beginning, and its end where it is short."""
    for line in lines:
        start = buffer.line_starts[line]
        row = buffer.source[start : min(buffer.line_end(line), start + _FAR)]
        if row.strip():
            yield row


def _width(row: bytes) -> int:
    """Columns that the white space at the beginning of a row takes."""
    return len(row[: len(row) - len(row.lstrip(b" \t"))].expandtabs(_TAB_WIDTH))


def _in_text(tree: Tree, offset: int) -> bool:
    """Whether what is typed at `offset` lands in a comment or string. Right after a comment to the line's end it does."""
    language = table_of_tree(tree)
    node: Node | None = tree.root_node.descendant_for_byte_range(max(0, offset - 1), offset)
    while node is not None:
        if node.start_byte < offset:
            if node.type in language.code_in_text and offset < node.end_byte:
                return False
            if node.type in language.text and (offset < node.end_byte or _ends_with_line(node, language.line_comment)):
                return True
        node = node.parent
    return False


def _ends_with_line(node: Node, line_comment: str) -> bool:
    """Whether this is a comment that goes on when more is typed behind it, and whose node doesn't hold its line end already."""
    text = node.text or b""
    return node.is_extra and text.startswith(line_comment.encode()) and not text.endswith((b"\n", b"\r"))
