"""A fill that goes on to write what follows it anyway.

Such a fill is refused, not trimmed: what is left after trimming would not have the likelihood that is shown beside it.
"""

from __future__ import annotations

import re
from itertools import islice

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings

_LETTER = re.compile(r"[^\W_]")
# Lines that may well stand twice in a row, or nearly.
_COMMON_LINES = frozenset({"pass", "else:", "try:", "finally:", "return", "break", "continue", "end", '"""', "'''"})
_FEWEST_CHARACTERS = 3
_MOST_LINES = 4


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that ends with the rest of its line, or whose last lines are those that come next."""
    for index, fill in enumerate(candidate.fills):
        rest, _, below = surroundings.after(index).partition("\n")
        rest = rest.strip()
        if rest:
            if _says_something(rest) and fill.text.rstrip().endswith(rest):
                return f"it repeats what follows it: {rest[:40]}"
            continue
        lines, following = _lines(fill.text), _lines(below)
        for count in range(1, min(_MOST_LINES, len(lines), len(following)) + 1):
            if lines[-count:] == following[:count] and any(_says_something(line) for line in following[:count]):
                return f"it repeats the line that follows it: {following[0][:40]}"
    return None


def _lines(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return list(islice((line for line in lines if line), 1000))


def _says_something(text: str) -> bool:
    return len(text) >= _FEWEST_CHARACTERS and text not in _COMMON_LINES and bool(_LETTER.search(text))
