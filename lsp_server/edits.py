"""Edits of a source, and the text and tree that they leave."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tree_sitter import Tree

from lsp_server.syntax import edited, parse_again

Range = tuple[int, int]


@dataclass(frozen=True)
class Edit:
    """Replace the bytes `start` to `end` of the source by `text`, whose line ends are the buffer's."""

    start: int
    end: int
    text: str


def apply_edits(source: bytes, edits: Iterable[Edit]) -> bytes:
    """`source` with all `edits` made. They must be in order and must not overlap."""
    parts: list[bytes] = []
    reached = 0
    for edit in edits:
        parts += (source[reached : edit.start], edit.text.encode("utf-8"))
        reached = edit.end
    return b"".join((*parts, source[reached:]))


def ranges_after(edits: Iterable[Edit]) -> tuple[Range, ...]:
    """The bytes that each edit's text takes up once all of them are made."""
    ranges, shift = [], 0
    for edit in edits:
        length = len(edit.text.encode("utf-8"))
        ranges.append((edit.start + shift, edit.start + shift + length))
        shift += length - (edit.end - edit.start)
    return tuple(ranges)


def tree_after(tree: Tree, source: bytes, edits: Sequence[Edit]) -> Tree | None:
    """The tree of `apply_edits(source, edits)`, from the tree of `source`. None where parsing takes too long."""
    if apply_edits(source, edits) == source:
        return tree
    # From the last to the first, so that an edit doesn't move those still to come.
    for edit in reversed(edits):
        after = apply_edits(source, (edit,))
        tree = edited(tree, source, edit.start, edit.end, after)
        source = after
    return parse_again(source, tree)
