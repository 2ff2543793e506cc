"""What the annotation of a parameter or a result must be: one type, of names that mean something there."""

from __future__ import annotations

from tree_sitter import Node, Tree

from lsp_server.bindings import unbound
from lsp_server.candidate import Candidate
from lsp_server.languages import Language, table_of_tree
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that is more or less than a type (a second parameter, say), or names what is bound nowhere before."""
    filled = surroundings.filled(candidate)
    if filled.tree is None:
        return None
    language = table_of_tree(filled.tree)
    for edit, (start, end) in zip(candidate.edits, filled.ranges, strict=True):
        annotation = _type_at(filled.tree, language, start, end)
        if annotation is None:
            return f"it is no type: {edit.text.strip()[:40]}"
        lazy = any((node.text or b"").decode("utf-8") in language.lazy_annotations for node in filled.tree.root_node.children)
        for word in () if lazy else unbound(filled.tree, filled.source, start, end):
            return f"it names what means nothing here: {word}"
    return None


def _type_at(tree: Tree, language: Language, start: int, end: int) -> Node | None:
    """The node of a type that takes up just these bytes."""
    node = tree.root_node.descendant_for_byte_range(start, end)
    while node is not None and (node.start_byte, node.end_byte) == (start, end):
        if node.type in language.annotations:
            return node if node.named_children[0].type in language.type_expressions else None
        node = node.parent
    return None
