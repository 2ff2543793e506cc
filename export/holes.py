"""Making holes in source text the way people leave them, and turning them into training rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_python
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_python.language()))

KINDS = ("node", "line", "block", "characters", "empty", "long")
_WEIGHTS = (30, 28, 12, 18, 4, 8)

Span = tuple[int, int]


@dataclass(frozen=True)
class HoledText:
    """Text pieces and the texts of the holes between them; `kinds[i]` tells how hole i was drawn."""

    pieces: tuple[str, ...]
    holes: tuple[str, ...]
    kinds: tuple[str, ...]

    def whole(self) -> str:
        """The original text."""
        return "".join(piece + hole for piece, hole in zip(self.pieces, (*self.holes, ""), strict=True))


def make_holes(text: str, rng: random.Random, count: int | None = None) -> HoledText:
    """Draw 1-8 non-overlapping holes in `text` (one in half of all cases), each of a kind drawn from `KINDS`."""
    wanted = count if count is not None else (1 if rng.random() < 0.5 else rng.randint(2, 8))
    drawer = _Drawer(text, rng)
    spans: list[tuple[Span, str]] = []
    for _ in range(wanted * 3):
        if len(spans) == wanted:
            break
        kind = rng.choices(KINDS, _WEIGHTS)[0]
        if kind == "long" and spans:
            continue
        span = drawer.draw(kind, longest=max(16, len(text) // (2 * wanted)))
        if span is not None and all(span[1] < other[0] or span[0] > other[1] for other, _ in spans):
            spans.append((span, kind))
        if kind == "long" and spans:
            break
    if not spans:
        middle = rng.randint(0, len(text))
        spans.append(((middle, middle), "empty"))
    return _cut(text, sorted(spans))


def _cut(text: str, spans: list[tuple[Span, str]]) -> HoledText:
    pieces = []
    position = 0
    for (start, end), _ in spans:
        pieces.append(text[position:start])
        position = end
    pieces.append(text[position:])
    return HoledText(tuple(pieces), tuple(text[start:end] for (start, end), _ in spans), tuple(kind for _, kind in spans))


class _Drawer:
    """Draws one span after another from one text; parses it at most once."""

    def __init__(self, text: str, rng: random.Random) -> None:
        self.text = text
        self.rng = rng
        self._nodes: list[Span] | None = None

    def draw(self, kind: str, longest: int) -> Span | None:
        """A span of the kind, at most `longest` characters (whole lines and long masks aside); None if there is none."""
        text, rng = self.text, self.rng
        at = rng.randint(0, len(text))
        if kind == "empty":
            return at, at
        if kind == "characters":
            return at, min(len(text), at + min(longest, int(rng.lognormvariate(3.0, 1.0))))
        if kind == "long":
            length = int(len(text) * rng.uniform(0.4, 0.98))
            start = rng.randint(0, len(text) - length)
            return start, start + length
        if kind == "node":
            nodes = [span for span in self._named_nodes() if span[1] - span[0] <= longest]
            return rng.choice(nodes) if nodes else None
        start, end = self._line(at)
        if kind == "block":
            for _ in range(rng.randint(1, 5)):
                if end < len(text) and end + 1 - start < longest:
                    end = self._line(end + 1)[1]
        if rng.random() < 0.8:  # most people leave the indentation standing
            start += len(text[start:end]) - len(text[start:end].lstrip(" \t"))
        if kind == "line" and end > start and rng.random() < 0.3:  # the rest of a line begun
            start = rng.randint(start, end)
        return start, max(start, end)

    def _line(self, at: int) -> Span:
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", at)
        return start, len(self.text) if end < 0 else end

    def _named_nodes(self) -> list[Span]:
        if self._nodes is None:
            source = self.text.encode()
            tree = _PARSER.parse(source)
            if len(source) == len(self.text):
                self._nodes = list(_spans(tree.root_node))
            else:
                self._nodes = [
                    (len(source[:start].decode(errors="ignore")), len(source[:end].decode(errors="ignore")))
                    for start, end in _spans(tree.root_node)
                ]
        return self._nodes


def _spans(root: Node) -> Iterator[Span]:
    """Byte ranges of all named nodes but comments and the root, outermost first."""
    stack = list(root.children)
    while stack:
        node = stack.pop()
        if node.is_named and node.type != "comment" and node.end_byte > node.start_byte:
            yield node.start_byte, node.end_byte
        stack.extend(node.children)


def draw_budget(length: int, rng: random.Random) -> int:
    """Slots for a hole of `length` tokens (end mark included): that many, plus a log-uniform surplus up to 96."""
    return length + int(97 ** rng.random()) - 1
