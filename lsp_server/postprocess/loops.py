"""A fill that goes round in circles: a small model's way of filling a budget."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.postprocess.repetition import lines_of, says_something
from lsp_server.postprocess.surroundings import Surroundings

_LONGEST_ROUND = 4
# Twice may be meant.
_ROUNDS = 3


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill in which up to four lines that say something come three times in a row."""
    for fill in candidate.fills:
        lines = lines_of(fill.text)
        for length in range(1, _LONGEST_ROUND + 1):
            for start in range(len(lines) - _ROUNDS * length + 1):
                once = lines[start : start + length]
                if lines[start : start + _ROUNDS * length] == once * _ROUNDS and any(map(says_something, once)):
                    return f"it goes round in circles: {next(line for line in once if says_something(line))[:40]}"
    return None
