"""Cut contexts: windows from within a file, headed by what an editor fetches from above them.

An editor shows a model the lines about a hole, and before them, without a mark of the gap, imports and the headers of the scopes
around. A model that only saw windows without gaps takes the one for the neighbour of the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from engine.errors import LacunaError

_PARSER = Parser(Language(tree_sitter_python.language()))
_IMPORTS = ("import_statement", "import_from_statement", "future_import_statement")
# Of a window, at most: what the editor's side gives to imports and headers, and as much again for imports, since others may give more.
IMPORTS_SHARE, HEADERS_SHARE = 1 / 12, 1 / 6
_LARGEST_FILE = 200_000  # characters; larger ones would take longer to parse than they teach


@dataclass(frozen=True)
class ContextMix:
    """`cut`: the share of windows from within a file that begin with imports and headers of the scopes around."""

    cut: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.cut <= 1:
            raise LacunaError(f"the share of cut contexts must be between 0 and 1, not {self.cut}")


WHOLE = ContextMix()


def fetch(text: str, start: int, room: int, rng: random.Random) -> tuple[str, bool]:
    """Whole lines of `text` from above the line that begins at `start`, in order, and whether they begin where the text does.

    Import statements of the top level, and the headers of the compound statements around `start`, decorators included, the innermost
    first where not all fit. They take at most the shares above of `room` characters, imports a random part of theirs. Nothing where the
    text is too large to be parsed in passing.
    """
    imports = rng.uniform(0, IMPORTS_SHARE) * room
    if len(text) > _LARGEST_FILE:
        return "", False
    source = text.encode()
    root = _PARSER.parse(source).root_node
    at = len(text[:start].encode())
    spans = sorted([*_fitting(_imports(root, source, at), imports), *_fitting(_headers(root, source, at), HEADERS_SHARE * room)])
    return b"".join(source[first:last] for first, last in spans).decode(), bool(spans) and spans[0][0] == 0


def _fitting(spans: Iterator[tuple[int, int]], room: float) -> Iterator[tuple[int, int]]:
    """Those that fit into `room` bytes together."""
    for first, last in spans:
        if last - first <= room:
            room -= last - first
            yield first, last


def _imports(root: Node, source: bytes, at: int) -> Iterator[tuple[int, int]]:
    end = 0
    for node in root.children:
        first, last = _lines(source, node.start_byte, node.end_byte)
        if last > at:
            return
        if node.type in _IMPORTS and first >= end:
            yield first, last
            end = last


def _headers(root: Node, source: bytes, at: int) -> Iterator[tuple[int, int]]:
    begin = at + len(source[at:]) - len(source[at:].lstrip())  # the first word from `at` on
    node = root.descendant_for_byte_range(begin, begin)
    above = at
    while node is not None:
        body = node.child_by_field_name("body") or node.child_by_field_name("consequence")
        if body is not None:
            outer = node.parent if node.parent is not None and node.parent.type == "decorated_definition" else node
            first, last = _lines(source, outer.start_byte, outer.start_byte + len(source[outer.start_byte : body.start_byte].rstrip()))
            if last <= above:
                yield first, last
                above = first
        node = node.parent


def _lines(source: bytes, first: int, last: int) -> tuple[int, int]:
    """Bytes `first` to `last` widened to whole lines."""
    end = source.find(b"\n", last)
    return source.rfind(b"\n", 0, first) + 1, len(source) if end < 0 else end + 1
