"""A hole that is still a hole."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.languages import table_of_tree
from lsp_server.markers import holds_marker
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that writes nothing where a marker stood, the marker itself anywhere, or a stub in place of a stub."""
    source, language = surroundings.buffer.source, None if surroundings.tree is None else table_of_tree(surroundings.tree)
    for fill, hole in zip(candidate.fills, surroundings.holes, strict=True):
        if hole.kind == "marker" and not fill.text.strip():
            return "it leaves a hole empty"
        if holds_marker(fill.text, surroundings.marker):
            return f"it holds the marker {surroundings.marker}"
        replaced = source[hole.start : hole.end].decode("utf-8")
        if language is not None and language.is_stub(replaced) and language.is_stub(fill.text):
            return f"it is still a stub: {fill.text.strip()}"
    return None
