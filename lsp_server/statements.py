"""Statements and the headers of compound statements as ranges of bytes: the units that a prompt is put together from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tree_sitter import Node, Tree

from lsp_server.syntax import smallest_node

Span = tuple[int, int]

# Imports stand at the top; looking no further keeps a huge file cheap.
_TOP_STATEMENTS = 400
_STATEMENT_LISTS = frozenset({"module", "block", "ERROR"})


def statements(tree: Tree, start: int, end: int) -> Iterator[Span]:
    """All simple statements and all headers (decorators included) of compound ones that touch the bytes `start` to `end`."""
    stack = [tree.root_node]
    while stack:
        parent = stack.pop()
        for node in _children(parent, start, end):
            body = _body(node)
            if node.type == "block":
                stack.append(node)
            elif body is not None:
                yield _header(node, body)
                stack.append(_undecorated(node))
            elif parent.type in _STATEMENT_LISTS and node.is_named:
                yield node.start_byte, node.end_byte


def enclosing_headers(tree: Tree, source: bytes, offset: int) -> Iterator[Span]:
    """Headers of the compound statements around `offset`, the innermost first.

    On a blank line the scopes are those of the text before it that are indented less than `offset`, since a tree
    ends a block with its last statement.
    """
    column = offset - (source.rfind(b"\n", 0, offset) + 1)
    blank = not source[offset - column : offset].strip() and source[offset : offset + 1] in (b"", b"\n", b"\r")
    node: Node | None = smallest_node(tree, offset, offset)
    if blank:
        before = source[:offset].rstrip()
        node = smallest_node(tree, max(0, len(before) - 1), len(before))
    while node is not None:
        if node.parent is not None and node.parent.type == "decorated_definition":
            node = node.parent
        body = _body(node)
        if body is not None and node.start_byte < offset and (not blank or node.start_point.column < column):
            yield _header(node, body)
        node = node.parent


def imports(tree: Tree) -> Iterator[Span]:
    """The import statements at the top of the file, in the order of the text."""
    for node in islice(_children(tree.root_node, 0, tree.root_node.end_byte), _TOP_STATEMENTS):
        if node.type in ("import_statement", "import_from_statement", "future_import_statement"):
            yield node.start_byte, node.end_byte


def _children(node: Node, start: int, end: int) -> Iterator[Node]:
    """The children that touch the bytes `start` to `end`, found without visiting those before."""
    cursor = node.walk()
    if cursor.goto_first_child_for_byte(start) is None:
        return
    while cursor.node is not None and cursor.node.start_byte < end:
        yield cursor.node
        if not cursor.goto_next_sibling():
            return


def _header(node: Node, body: Node) -> Span:
    colon = body.prev_sibling
    return node.start_byte, body.start_byte if colon is None else colon.end_byte


def _undecorated(node: Node) -> Node:
    return node.child_by_field_name("definition") or node if node.type == "decorated_definition" else node


def _body(node: Node) -> Node | None:
    """The block that a compound statement or one of its clauses introduces, on a later line or its own; None for all else."""
    return next((child for child in _undecorated(node).children if child.type == "block"), None)
