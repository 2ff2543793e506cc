"""A hole's marker as text: where it stands, and the name behind it, by which holes are tied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A name that nobody would write is longer.
_FAR = 256


@dataclass(frozen=True)
class Marker:
    """Bytes `start` to `end` of a text, and the `name` behind the marker in them, if any."""

    start: int
    end: int
    name: str | None


def markers(text: str, marker: str) -> Iterator[Marker]:
    """All markers of a text, in order, that are no part of a longer word.

    One that ends with an underscore may have a name right behind it: letters and digits, with single underscores between them. So
    `___total` and `___first_word` are markers, while `____`, `__init__`, `___total__` and `a___b` are words like others.
    """
    reached = offset = 0
    for match in _pattern(marker).finditer(text):
        offset += len(text[reached : match.start()].encode("utf-8"))
        reached = match.end()
        start, offset = offset, offset + len(match[0].encode("utf-8"))
        yield Marker(start, offset, match["name"])


def is_marker(text: str, marker: str) -> bool:
    """Whether a text is one marker, with a name or without, and nothing else."""
    return _pattern(marker).fullmatch(text) is not None


def holds_marker(text: str, marker: str) -> bool:
    """Whether a marker, with a name or without, stands in a text."""
    return _pattern(marker).search(text) is not None


def touches_marker(source: bytes, offset: int, marker: str) -> bool:
    """Whether byte `offset` of a text in UTF-8 lies in a marker or its name, or right before or behind them."""
    before = source[max(0, offset - _FAR) : offset].decode("utf-8", "ignore")
    after = source[offset : offset + _FAR].decode("utf-8", "ignore")
    return any(match.start() <= len(before) <= match.end() for match in _pattern(marker).finditer(before + after))


def _pattern(marker: str) -> re.Pattern[str]:
    word = re.escape(marker)
    # Behind the word, since a pattern that begins with a word is found much faster than one that begins with a condition.
    before = rf"(?<!\w{word})" if re.match(r"\w", marker) else ""
    name = r"[^\W_]+(?:_[^\W_]+)*" if marker.endswith("_") else r"(?!)"
    after = r"(?!\w)" if re.match(r"\w", marker[-1:]) else ""
    return re.compile(f"{word}{before}(?P<name>{name})?{after}")
