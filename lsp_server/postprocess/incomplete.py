"""A fill whose budget ran out before the model was done is a torso."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate of which a fill doesn't come to its end."""
    for fill, hole in zip(candidate.fills, surroundings.holes, strict=True):
        if not fill.complete:
            return f"the model had more to say than {hole.budget} tokens hold: allow more of them (--max-tokens, or the setting maxTokens)"
    return None
