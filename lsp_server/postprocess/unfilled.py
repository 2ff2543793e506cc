"""A hole that is still a hole."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that writes nothing where a marker stood, or the marker itself anywhere."""
    for fill, hole in zip(candidate.fills, surroundings.holes, strict=True):
        if hole.kind == "marker" and not fill.text.strip():
            return "it leaves a hole empty"
        if surroundings.marker in fill.text:
            return f"it holds the marker {surroundings.marker}"
    return None
