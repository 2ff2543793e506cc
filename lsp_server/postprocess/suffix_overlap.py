"""A fill that goes on to write what follows it anyway.

Such a fill is refused, not trimmed: what is left after trimming would not have the likelihood that is shown beside it.
"""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.line_ends import to_model
from lsp_server.postprocess.repetition import ends_with, lines_of, says_something
from lsp_server.postprocess.surroundings import Surroundings

_TOKEN = re.compile(r"\w+|[^\w\s]")
_MOST_LINES = 4
# Part of a line counts from here on: `+ y` may well be meant twice, `, key=value` hardly.
_FEWEST_TOKENS = 3
_FEWEST_CHARACTERS = 6
_MOST_TOKENS = 60


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that ends with the rest of its line or much of that rest's beginning, or whose last lines are those that come next."""
    for index, fill in enumerate(candidate.fills):
        rest, _, below = to_model(surroundings.after(index)).partition("\n")
        rest = rest.strip()
        if rest:
            if says_something(rest) and ends_with(fill.text.rstrip(), rest):
                return f"it repeats what follows it: {rest[:40]}"
            if overlap := _overlap(fill.text, rest):
                return f"it repeats the beginning of what follows it: {overlap[:40]}"
            continue
        lines, following = lines_of(fill.text), lines_of(below)
        for count in range(1, min(_MOST_LINES, len(lines), len(following)) + 1):
            if lines[-count:] == following[:count] and any(says_something(line) for line in following[:count]):
                return f"it repeats the line that follows it: {following[0][:40]}"
    return None


def _overlap(text: str, rest: str) -> str:
    """The longest run of whole tokens that ends `text` and begins `rest`, if it is long enough to be no accident; else nothing."""
    ending = _TOKEN.findall(text)[-_MOST_TOKENS:]
    beginning = _TOKEN.findall(rest)[:_MOST_TOKENS]
    for count in range(min(len(ending), len(beginning)), _FEWEST_TOKENS - 1, -1):
        if ending[-count:] == beginning[:count]:
            overlap = " ".join(ending[-count:])
            return overlap if says_something(overlap) and len("".join(ending[-count:])) >= _FEWEST_CHARACTERS else ""
    return ""
