"""A fill must leave the file no more broken than it was."""

from __future__ import annotations

from tree_sitter import Tree

from lsp_server.candidate import Candidate
from lsp_server.edits import Range
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.syntax import count_errors, errors


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate after which the tree has more ERROR and MISSING nodes than before, or one in a fill that was sound."""
    if surroundings.before is None:
        return None
    filled = surroundings.filled(candidate)
    if filled.tree is None or not filled.tree.root_node.has_error:
        return None
    before, holes = surroundings.before
    breaks_fill = _touches(filled.tree, filled.ranges) and not _touches(before, holes)
    if breaks_fill or count_errors(filled.tree) > count_errors(before):
        return f"it would be a syntax error: {candidate.preview}"
    return None


def _touches(tree: Tree, ranges: tuple[Range, ...]) -> bool:
    """Whether an error lies in one of the ranges or at its border."""
    return any(node.start_byte <= end and start <= node.end_byte for node in errors(tree) for start, end in ranges)
