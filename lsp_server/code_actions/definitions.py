"""The function or class that the cursor is in."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node, Tree

from lsp_server.languages import table_of_tree
from lsp_server.syntax import smallest_node


def definitions_around(tree: Tree, start: int, end: int) -> Iterator[Node]:
    """Definitions of functions and types that hold the bytes `start` to `end`, the innermost first; decorators belong to theirs."""
    language = table_of_tree(tree)
    kinds = language.functions | language.types
    node: Node | None = smallest_node(tree, start, end)
    inner: Node | None = None
    while node is not None:
        if node.type in language.wrappers and (inner is None or inner.type not in kinds):
            yield from (child for child in node.children if child.type in kinds)
        elif node.type in kinds:
            yield node
        inner, node = node, node.parent


def name_of(definition: Node) -> str:
    """What a definition is called, for titles; 'this code' where it has no name."""
    name = definition.child_by_field_name("name")
    return name.text.decode("utf-8", "replace") if name is not None and name.text else "this code"
