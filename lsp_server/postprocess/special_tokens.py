"""Tokens that steer a model must not leak into a person's code."""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings

_SPECIAL = re.compile(r"<\|[\w|-]+\|>|</?(?:s|bos|eos|eoh|pad|unk|mask|sep|cls|hole|fim_\w+|extra_id_\d+)>")


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill with the name of a special token, unless the buffer itself speaks of that token."""
    for fill in candidate.fills:
        for match in _SPECIAL.finditer(fill.text):
            if match.group().encode("utf-8") not in surroundings.buffer.source:
                return f"it holds the special token {match.group()}"
    return None
