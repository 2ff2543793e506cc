"""Statements and the headers of compound statements as ranges of bytes: the units that a prompt is put together from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tree_sitter import Node, Tree

from lsp_server.languages import Language, table_of_tree
from lsp_server.syntax import smallest_node

Span = tuple[int, int]

# Imports stand at the top; looking no further keeps a huge file cheap.
_TOP_STATEMENTS = 400
# How far into a statement a body is looked for: a function may be the argument of a call.
_MOST_NODES_TO_BODY = 64


def statements(tree: Tree, start: int, end: int) -> Iterator[Span]:
    """All simple statements and all headers (decorators included) of compound ones that touch the bytes `start` to `end`."""
    language = table_of_tree(tree)
    stack = [tree.root_node]
    headed: set[int] = set()
    while stack:
        parent = stack.pop()
        begin = _end_of_case(parent) if parent.type in language.cases else start
        for node in _children(parent, max(start, begin), end):
            if node.type in language.cases:
                yield node.start_byte, _end_of_case(node)
            elif node.type not in language.blocks:
                body = body_within(node, language)
                if body is None:
                    if node.is_named and (parent.type in language.statement_lists or parent.type in language.blocks):
                        yield node.start_byte, node.end_byte
                    continue
                if body.id not in headed:
                    yield _header(node, body)
                headed.add(body.id)
            stack.append(node)


def enclosing_headers(tree: Tree, source: bytes, offset: int) -> Iterator[Span]:
    """Headers of the compound statements around `offset`, the innermost first.

    On a blank line, scopes without brackets are those of the text before it that are indented less than `offset`, since a tree ends
    a block with its last statement.
    """
    language = table_of_tree(tree)
    column = offset - (source.rfind(b"\n", 0, offset) + 1)
    blank = not source[offset - column : offset].strip() and source[offset : offset + 1] in (b"", b"\n", b"\r")
    node: Node | None = smallest_node(tree, offset, offset)
    if blank:
        before = source[:offset].rstrip()
        node = smallest_node(tree, max(0, len(before) - 1), len(before))
    while node is not None:
        while node.parent is not None and node.parent.type in language.wrappers:
            node = node.parent
        body = _body(node, language)
        is_case = node.type in language.cases
        if node.start_byte < offset and (is_case or body is not None):
            bracketed = body is not None and _has_brackets(body)
            if offset < node.end_byte if bracketed else not blank or node.start_point.column < column:
                yield _header(node, body) if body is not None else (node.start_byte, _end_of_case(node))
        node = node.parent


def imports(tree: Tree) -> Iterator[Span]:
    """The import statements at the top of the file, in the order of the text."""
    language = table_of_tree(tree)
    for node in islice(top_statements(tree.root_node, language), _TOP_STATEMENTS):
        if node.type in language.imports:
            yield node.start_byte, node.end_byte


def top_statements(root: Node, language: Language) -> Iterator[Node]:
    """The children of a node that are statements or members, those in directives (`#ifdef`) among them."""
    stack = [_children(root, 0, root.end_byte)]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
        elif node.type in language.statement_lists and node.type not in language.bodies and not node.is_error:
            stack.append(_children(node, 0, node.end_byte))
        elif node.is_named:
            yield node


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
    before = body.prev_sibling
    return node.start_byte, body.start_byte if before is None else before.end_byte


def _end_of_case(node: Node) -> int:
    return next((child.end_byte for child in node.children if child.type == ":"), node.start_byte)


def unwrapped(node: Node, language: Language) -> Node:
    """The definition in decorators or an export; any other node is itself."""
    while node.type in language.wrappers and node.named_child_count:
        node = node.named_children[-1]
    return node


def body_within(statement: Node, language: Language) -> Node | None:
    """The first body in a statement, be it its own or that of a function in one of its expressions of several lines."""
    body = _body(statement, language)
    if body is not None or statement.start_point.row == statement.end_point.row:
        return body
    cursor = statement.walk()
    for _ in range(_MOST_NODES_TO_BODY):
        node = cursor.node
        if node is None or _is_body(node, language):
            return node
        if node.start_point.row != node.end_point.row and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return None
    return None


def _is_body(node: Node, language: Language) -> bool:
    return node.type in language.bodies or node.type in language.cases


def _body(node: Node, language: Language) -> Node | None:
    """The block that a compound statement or one of its clauses introduces, on a later line or its own; None for all else."""
    if node.type in language.blocks:
        return None
    return next((child for child in unwrapped(node, language).children if _is_body(child, language)), None)


def _has_brackets(body: Node) -> bool:
    """Whether a body ends with a bracket that says so."""
    last = body.descendant_for_byte_range(max(body.start_byte, body.end_byte - 1), body.end_byte)
    return last is not None and last.type == "}" and last.parent == body
