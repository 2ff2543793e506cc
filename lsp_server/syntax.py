"""Syntax trees: parsing, keeping a tree in step with edits, and asking it simple questions."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tree_sitter import Language, Node, Parser, Point, Tree

from lsp_server.languages import grammar_of

PARSE_SECONDS = 5.0
# A tree takes some forty times its text's memory. A larger text is served as plain text.
LARGEST_PARSED = 4 * 1024 * 1024
# Garbage of this size is parsed in less than that. Only what is read block by block can be given up, but the binding never lets go of
# the blocks (tree-sitter 0.26.1 holds a reference to each): so smaller texts are handed over whole, and blocks are small.
_NEVER_LATE_BYTES = 1024 * 1024
_READ_BYTES = 4096


def parse(source: bytes, language: str, old: Tree | None = None) -> Tree | None:
    """The tree of `source`, or None for a language without a grammar.

    `old` is an earlier tree that went through `edited`, which makes parsing quick. None also comes back for more than LARGEST_PARSED
    bytes, and where parsing takes longer than PARSE_SECONDS (some garbage is very slow to make sense of): callers then treat
    the text as plain.
    """
    grammar = grammar_of(language)
    return None if grammar is None else _parse(source, grammar, old)


def parse_again(source: bytes, old: Tree) -> Tree | None:
    """The tree of `source` by the grammar of `old`, which went through `edited` for every change between the two."""
    return _parse(source, old.language, old)


def _parse(source: bytes, grammar: Language, old: Tree | None) -> Tree | None:
    if len(source) > LARGEST_PARSED:
        return None
    parser = Parser(grammar)
    if len(source) <= _NEVER_LATE_BYTES:
        return parser.parse(source) if old is None else parser.parse(source, old)
    deadline = time.monotonic() + PARSE_SECONDS

    def read(offset: int, point: Point) -> bytes:
        return source[offset : offset + _READ_BYTES]

    def late(offset: int, has_error: bool) -> bool:
        return time.monotonic() > deadline

    try:
        if old is None:
            return parser.parse(read, progress_callback=late)
        return parser.parse(read, old_tree=old, progress_callback=late)
    except ValueError:
        # The binding's way of saying that `late` stopped it.
        return None


def edited(tree: Tree, before: bytes, start: int, end: int, after: bytes) -> Tree:
    """A copy of `tree`, told that bytes `start` to `end` of its source `before` were replaced, which gave `after`.

    Give the result to `parse` as `old`. `tree` itself stays as it is, so that another thread may go on reading it.
    """
    changed = tree.copy()
    new_end = end + len(after) - len(before)
    changed.edit(start, end, new_end, _point(before, start), _point(before, end), _point(after, new_end))
    return changed


def _point(source: bytes, offset: int) -> Point:
    """Row and byte column, where, unlike in a Buffer, only \\n ends a row: that is tree-sitter's own count."""
    return Point(source.count(b"\n", 0, offset), offset - (source.rfind(b"\n", 0, offset) + 1))


def smallest_node(tree: Tree, start: int, end: int) -> Node:
    """The smallest named node that covers the bytes `start` to `end`; the root where nothing smaller does."""
    return tree.root_node.named_descendant_for_byte_range(start, end) or tree.root_node


def leaf_at(tree: Tree, offset: int) -> Node | None:
    """The token, named or not, whose bytes hold `offset`; None in white space between tokens."""
    node = tree.root_node.descendant_for_byte_range(offset, offset)
    if node is None or node.child_count or not node.start_byte <= offset < node.end_byte:
        return None
    return node


def errors(tree: Tree) -> Iterator[Node]:
    """All ERROR and MISSING nodes, in the order of the text."""
    stack = [tree.root_node]
    while stack:
        node = stack.pop()
        if node.is_error or node.is_missing:
            yield node
        if node.has_error:
            stack.extend(reversed(node.children))


def errors_near(tree: Tree, start: int, end: int) -> Iterator[Node]:
    """Those ERROR and MISSING nodes that touch the bytes `start` to `end`, outer ones before those inside."""
    stack = [tree.root_node]
    if tree.root_node.is_error:
        yield tree.root_node
    while stack:
        cursor = stack.pop().walk()
        more = cursor.goto_first_child_for_byte(start) is not None
        while more and (node := cursor.node) is not None and node.start_byte <= end:
            if node.is_error or node.is_missing:
                yield node
            if node.has_error:
                stack.append(node)
            more = cursor.goto_next_sibling()


def count_errors(tree: Tree) -> int:
    """Number of ERROR and MISSING nodes."""
    return sum(1 for _ in errors(tree))
