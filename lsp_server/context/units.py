"""What stays whole when a text is cut: statements, headers and, in statements too large for that, the nodes in them."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node, Tree

from lsp_server.statements import Span, statements
from lsp_server.syntax import smallest_node


def units(tree: Tree, start: int, end: int, most: int) -> Iterator[Span]:
    """All statements and headers that touch the bytes `start` to `end`; for one of more than `most` bytes the largest nodes in
    it that have no more. What is in none of them, a text of many lines say, may be cut at any line.
    """
    for first, last in statements(tree, start, end):
        if last - first <= most:
            yield first, last
        else:
            yield from _nodes(smallest_node(tree, first, last), (max(first, start), min(last, end)), most)


def _nodes(large: Node, within: Span, most: int) -> Iterator[Span]:
    start, end = within
    stack = [large]
    while stack:
        cursor = stack.pop().walk()
        more = cursor.goto_first_child_for_byte(start) is not None
        while more and cursor.node is not None and cursor.node.start_byte < end:
            node = cursor.node
            if node.end_byte - node.start_byte > most:
                stack.append(node)
            else:
                yield node.start_byte, node.end_byte
            more = cursor.goto_next_sibling()
