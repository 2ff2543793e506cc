"""Tied holes hold the same text, also once each was mended for its own place."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate whose edits differ between holes with the same tie."""
    texts: dict[str, str] = {}
    for edit, hole in zip(candidate.edits, surroundings.holes, strict=True):
        if hole.tie is not None and texts.setdefault(hole.tie, edit.text) != edit.text:
            return f"its layout would differ between the places of one tie: {hole.tie}"
    return None
