"""Whether a text says enough for its repetition to be no accident."""

from __future__ import annotations

import re

_LETTER = re.compile(r"[^\W_]")
# Lines that may well stand twice in a row, or nearly.
_COMMON_LINES = frozenset(
    {"pass", "else:", "try:", "finally:", "return", "break", "continue", "end", '"""', "'''", "else", "else {", "} else {"}
    | {"break;", "continue;", "return;", "try {", "default:", "#endif", "#else", "end;", "end)", "/**"}
)
_FEWEST_CHARACTERS = 3


def has_a_word(text: str) -> bool:
    """Whether `text`, which has no white space at its ends, has at least three characters and a letter or digit."""
    return len(text) >= _FEWEST_CHARACTERS and bool(_LETTER.search(text))


def says_something(line: str) -> bool:
    """Whether such a line has a word and is none of those that stand everywhere."""
    return has_a_word(line) and line not in _COMMON_LINES


def begins_with(text: str, part: str) -> bool:
    """Whether `text` begins with `part`, which isn't empty, and doesn't cut a word there."""
    return text.startswith(part) and not (_is_word(part[-1]) and _is_word(text[len(part) : len(part) + 1]))


def ends_with(text: str, part: str) -> bool:
    """Whether `text` ends with `part`, which isn't empty, and doesn't cut a word there."""
    return text.endswith(part) and not (_is_word(part[0]) and _is_word(text[: -len(part)][-1:]))


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def lines_of(text: str) -> list[str]:
    """The lines that aren't blank, without indentation and trailing space."""
    return [line for line in map(str.strip, text.splitlines()) if line]
