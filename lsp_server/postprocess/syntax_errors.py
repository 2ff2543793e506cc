"""A fill must leave the file no more broken than it was."""

from __future__ import annotations

from tree_sitter import Tree

from lsp_server.candidate import Candidate
from lsp_server.edits import Range, ranges_after, tree_after
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.syntax import count_errors, errors


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate after which the tree has more ERROR and MISSING nodes than before, or one in a fill that was sound."""
    if surroundings.tree is None or surroundings.before is None:
        return None
    filled = tree_after(surroundings.tree, surroundings.buffer.source, candidate.edits)
    if filled is None or not filled.root_node.has_error:
        return None
    before, holes = surroundings.before
    breaks_fill = _touches(filled, ranges_after(candidate.edits)) and not _touches(before, holes)
    if breaks_fill or count_errors(filled) > count_errors(before):
        return f"it would be a syntax error: {candidate.preview}"
    return None


def _touches(tree: Tree, ranges: tuple[Range, ...]) -> bool:
    """Whether an error lies in one of the ranges or at its border."""
    return any(node.start_byte <= end and start <= node.end_byte for node in errors(tree) for start, end in ranges)
