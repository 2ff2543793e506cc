"""A suggestion must suggest something."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that writes everywhere what stands there already."""
    source = surroundings.buffer.source
    if all(source[edit.start : edit.end] == edit.text.encode("utf-8") for edit in candidate.edits):
        return "it changes nothing: the model would write what stands there"
    return None
