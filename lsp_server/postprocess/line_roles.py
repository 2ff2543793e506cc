"""What a line is to its block, as the tree has it; the tables of the languages say which nodes count."""

from __future__ import annotations

from typing import Literal

from tree_sitter import Node, Tree

from lsp_server.languages import table_of_tree

# statement: a statement or member of a block begins here. prose: inside a comment or string that stands alone, where white space
# is layout. data: inside any other string, where white space is content. other: the rest, such as continued lines and closing brackets.
Role = Literal["statement", "other", "prose", "data"]


def role_at(tree: Tree | None, offset: int) -> Role:
    """The role of the line whose first character that is no white space stands at `offset`. Plain text has statements alone."""
    if tree is None:
        return "statement"
    language = table_of_tree(tree)
    blocks = language.blocks
    leaf = tree.root_node.descendant_for_byte_range(offset, offset + 1)
    text = text_around(leaf, offset, language.text, language.code_in_text)
    if text is not None:
        return "prose" if _stands_alone(text, blocks) else "data"
    node = leaf
    while node is not None and node.parent is not None and node.start_byte == offset:
        if node.is_extra:
            return "other"
        if node.is_named and node.parent.type in blocks:
            return "statement"
        node = node.parent
    return "other"


def in_string(tree: Tree | None, offset: int) -> bool:
    """Whether the character at `offset` belongs to a string's content, so that white space may matter there."""
    if tree is None:
        return False
    language = table_of_tree(tree)
    leaf = tree.root_node.descendant_for_byte_range(offset, offset + 1)
    text = text_around(leaf, offset, language.text, language.code_in_text)
    return text is not None and not text.is_extra


def text_around(leaf: Node | None, offset: int, text: frozenset[str], code_in_text: frozenset[str]) -> Node | None:
    """The outermost node of kind `text` that began before `offset` and holds it, unless code in that text is nearer."""
    found, node = None, leaf
    while node is not None and node.type not in code_in_text:
        if node.type in text and node.start_byte < offset < node.end_byte:
            found = node
        node = node.parent
    return found


def _stands_alone(text: Node, blocks: frozenset[str]) -> bool:
    """Whether this comment or string is a statement by itself."""
    if text.is_extra:
        return True
    node: Node | None = text
    while node is not None and (node.start_byte, node.end_byte) == (text.start_byte, text.end_byte):
        if node.parent is not None and node.parent.type in blocks:
            return True
        node = node.parent
    return False
