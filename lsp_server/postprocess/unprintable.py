"""Half a character or a control character is no code."""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings

# The replacement character stands for bytes that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill with a character that nobody types: all control characters but tab and \\n, and broken UTF-8."""
    for fill in candidate.fills:
        match = _UNPRINTABLE.search(fill.text)
        if match:
            return f"it holds the unprintable character U+{ord(match.group()):04X}"
    return None
