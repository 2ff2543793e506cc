"""Files for an editor to open, cut from this project's own: of several sizes, with markers at assignments, or with lines missing."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.editor_client import Place
from benchmarks.tasks import own_lines
from lsp_server.buffer import Buffer
from lsp_server.holes import MARKER, find_markers
from lsp_server.syntax import parse

# An assignment whose right-hand side a marker can stand for, whatever stands there.
_ASSIGNMENT = re.compile(r"^( +[a-z_]\w* = )\w[\w.]*(?:\([\w., ]*\))?$", re.MULTILINE)
_ASSIGNMENTS_A_MARKER = 8


@dataclass(frozen=True)
class OpenFile:
    """A text for the editor, called `name`."""

    name: str
    text: str

    @property
    def uri(self) -> str:
        return f"file:///benchmark/{self.name.replace(' ', '_')}.py"

    @property
    def lines(self) -> int:
        return self.text.count("\n")


@dataclass(frozen=True)
class HoledFile(OpenFile):
    """A text with markers, of which the first stands at `marker`."""

    marker: Place


def own_texts() -> list[str]:
    """The files of the engine and the language server."""
    return list(dict.fromkeys(line.text for line in own_lines()))


def with_markers(text: str, every: int = _ASSIGNMENTS_A_MARKER) -> str:
    """Every so many assignments get a marker for their right-hand side, the first among them."""
    number = -1

    def hole(found: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return found[0] if number % every else found[1] + MARKER

    return _ASSIGNMENT.sub(hole, text)


def sized_files(largest: int) -> list[OpenFile]:
    """A file of 60 to 120 lines, one of 2,000, and one of `largest` bytes, each with markers."""
    texts = own_texts()
    small = next(text for text in texts if 60 <= text.count("\n") <= 120 and MARKER in with_markers(text) and MARKER not in text)
    together = "\n\n".join(text for text in texts if MARKER not in text)
    middle = "".join(together.splitlines(keepends=True)[:2000])
    large = (together + "\n\n") * (1 + largest // len(together))
    return [
        OpenFile("small", with_markers(small)),
        OpenFile("middle", with_markers(middle)),
        OpenFile("large", with_markers(large[: large.rindex("\n", 0, largest) + 1])),
    ]


def places(file: OpenFile, count: int, rng: random.Random) -> list[Place]:
    """`count` cursors in a file: in turn at a marker, and at a character of any line that isn't blank."""
    markers = [found.start() for found in re.finditer(MARKER, file.text)]
    characters = [found.start() for found in re.finditer(r"\S", file.text)]
    return [Place.at(file.text, rng.choice(characters if number % 2 else markers)) for number in range(count)]


def with_missing_lines(count: int, holes: int, rng: random.Random) -> list[HoledFile]:
    """`count` of the project's files, each with markers in the stead of `holes` of its lines. Their names differ, even where two are the
    same file with other lines missing."""
    by_text: dict[str, list[tuple[int, int]]] = {}
    for line in own_lines():
        if MARKER not in line.text:
            by_text.setdefault(line.text, []).append((line.start, line.end))
    texts = [text for text, lines in by_text.items() if len(lines) >= 10 * holes]
    found: list[HoledFile] = []
    while len(found) < count:
        text = rng.choice(texts)
        holed = without(text, sorted(rng.sample(by_text[text], holes)))
        # A marker in a comment or string is none, nor is one that garbles what follows it.
        if len(find_markers(Buffer(holed.encode()), parse(holed.encode(), "python"))) == holes:
            found.append(HoledFile(f"missing {len(found)}", holed, Place.at(holed, holed.index(MARKER))))
    return found


def without(text: str, lines: Sequence[tuple[int, int]]) -> str:
    """The text with a marker for what stands on each of the lines, given as [start, end) in order; their indentation stays."""
    for start, end in reversed(lines):
        line = text[start:end]
        indent = line[: len(line) - len(line.lstrip())]
        text = text[:start] + indent + MARKER + line[len(line.rstrip()) :] + text[end:]
    return text
