"""A fill that begins by writing what stands before it already. Refused, not trimmed, for the reason that `suffix_overlap` gives."""

from __future__ import annotations

from lsp_server.candidate import Candidate
from lsp_server.line_ends import to_model
from lsp_server.postprocess.repetition import begins_with, has_a_word, lines_of, says_something
from lsp_server.postprocess.surroundings import Surroundings

_MOST_LINES = 4
# Calls nest: max(max(a, b), c) is no accident.
_OPENING = ("(", "[", "{")


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that begins with all that stands before it on its line, or with the lines above it."""
    for index, fill in enumerate(candidate.fills):
        above, _, before = to_model(surroundings.ahead(index)).rpartition("\n")
        before = before.strip()
        if before:
            if has_a_word(before) and not before.endswith(_OPENING) and begins_with(fill.text.strip(), before):
                return f"it repeats what stands before it: {before[:40]}"
            continue
        lines, preceding = lines_of(fill.text), lines_of(above)
        for count in range(1, min(_MOST_LINES, len(lines), len(preceding)) + 1):
            if lines[:count] == preceding[-count:] and any(says_something(line) for line in lines[:count]):
                return f"it repeats the line above it: {lines[0][:40]}"
    return None
