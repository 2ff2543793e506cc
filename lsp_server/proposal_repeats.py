"""Whether a proposal goes on to write what follows the cursor anyway.

This is stricter than the rule for holes (`lsp_server.postprocess.suffix_overlap`), which spares what may well be meant twice. A
person who leaves a hole waits for its fill, but one who types has lost nothing where a proposal is shorter, or doesn't come.
"""

from __future__ import annotations

import re

from lsp_server.line_ends import to_model
from lsp_server.postprocess.repetition import lines_of
from lsp_server.postprocess.surroundings import Surroundings

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LETTER = re.compile(r"[^\W_]")
_MOST_TOKENS = 60
_MOST_LINES = 4
# Brackets close one after the other: whether there is one too many is for a rule that counts them.
_CLOSING = frozenset(")]}")


def repeats(text: str, surroundings: Surroundings) -> str | None:
    """Why `text` (its line ends \\n), written at the one hole, would repeat what follows or run into it; None where it doesn't."""
    rest, _, below = to_model(surroundings.after(0)).partition("\n")
    if rest.strip():
        return _into_the_line(text, rest)
    # With what stands before it on its line: the end of a line may make it the line below.
    written, following = lines_of(to_model(surroundings.ahead(0)).rpartition("\n")[2] + text), lines_of(below)
    for count in range(1, min(_MOST_LINES, len(written), len(following)) + 1):
        if written[-count:] == following[:count] and any(map(_LETTER.search, following[:count])):
            return f"it repeats the line that follows it: {following[0][:40]}"
    return None


def _into_the_line(text: str, rest: str) -> str | None:
    if _is_word(text[-1]) and _is_word(rest[0]):
        return f"it would run into the word that follows it: {rest[:40]}"
    ending, beginning = _TOKEN.findall(text)[-_MOST_TOKENS:], _TOKEN.findall(rest)[:_MOST_TOKENS]
    for count in range(min(len(ending), len(beginning)), 0, -1):
        if ending[-count:] == beginning[:count] and not _CLOSING.issuperset(ending[-count:]):
            return f"it repeats the beginning of what follows it: {' '.join(beginning[:count])[:40]}"
    return None


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"
