"""Suggestions that are one and the same to a person who reads code: white space and comments apart."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Tree

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings

Look = tuple[object, ...]


def look(candidate: Candidate, surroundings: Surroundings) -> Look:
    """The same for candidates of the same holes that say the same.

    With a tree these are the tokens of the fills and how deep in it they are, which tells blocks apart by what belongs to them.
    Plain text, and fills of comments alone, are compared without white space at the ends of lines and of themselves.
    """
    filled = surroundings.filled(candidate)
    looks: list[Look] = []
    for edit, (start, end) in zip(candidate.edits, filled.ranges, strict=True):
        tokens = () if filled.tree is None else tuple(_tokens(filled.tree, start, end))
        looks.append(tokens or tuple(line.rstrip() for line in edit.text.rstrip().splitlines()))
    return tuple(looks)


def _tokens(tree: Tree, start: int, end: int) -> Iterator[tuple[int, str, bytes | None]]:
    """(depth, kind, text) of the leaves, comments aside, that touch the bytes `start` to `end`."""
    cursor = tree.walk()
    while cursor.node is not None and cursor.node.start_byte < end:
        node = cursor.node
        comment = node.is_extra and node.is_named
        if not comment and node.child_count and cursor.goto_first_child_for_byte(start) is not None:
            continue
        # What ends a statement may be a token of white space.
        if not comment and not node.child_count and node.end_byte > start and (node.is_named or node.type.strip()):
            yield cursor.depth, node.type, node.text
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
