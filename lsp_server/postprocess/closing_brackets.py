"""A fill that closes what is closed right after it already: `f(x)` and then `)`, `"text"` and then `"`.

A grammar notices most of that as an error, but plain text has none, and some languages take two strings side by side.
"""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.line_ends import to_model
from lsp_server.postprocess.surroundings import Surroundings

_PAIRS = {")": "(", "]": "[", "}": "{"}
_QUOTES = ('"', "'", "`")


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill with a bracket or quote too many that follows it anyway, on a line that is even without the fill."""
    for index, fill in enumerate(candidate.fills):
        before = to_model(surroundings.ahead(index)).rpartition("\n")[2]
        after = to_model(surroundings.after(index)).partition("\n")[0]
        closer, text = after.lstrip()[:1], fill.text.rstrip()
        if not closer or not text.endswith(closer):
            continue
        if (closer in _PAIRS and _left_open(before + after, closer) == 0 and _left_open(text, closer) < 0) or (
            closer in _QUOTES and (before + after).count(closer) % 2 == 0 and text.count(closer) % 2 == 1
        ):
            return f"it closes what is closed already, with {closer}"
    return None


def _left_open(text: str, closer: str) -> int:
    """Opening brackets less closing ones of a kind."""
    return text.count(_PAIRS[closer]) - text.count(closer)
