"""Making holes in source text the way people leave them, and turning them into training rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tree_sitter_python
from tree_sitter import Language, Node, Parser

from engine.errors import LacunaError

_PARSER = Parser(Language(tree_sitter_python.language()))

KINDS = ("node", "line", "block", "characters", "empty", "long", "near-total")
_ALONE = ("long", "near-total")  # kinds that leave no room for other holes

BUDGETS = ("free", "surplus", "exact")
LARGEST_SURPLUS = 160  # slots left empty in a hole, at most

Span = tuple[int, int]


@dataclass(frozen=True)
class HoleMix:
    """What a recipe's holes are like: relative weights of the kinds, and how budgets are drawn (see `draw_budget`)."""

    node: float = 26.0
    line: float = 34.0
    block: float = 12.0
    characters: float = 14.0
    empty: float = 4.0
    long: float = 6.0
    near_total: float = 4.0
    budgets: str = "free"

    def __post_init__(self) -> None:
        weights = self.weights()
        if min(weights) < 0 or sum(weights) <= 0:
            raise LacunaError(f"the weights of the kinds of holes must not be below 0, nor all 0: {weights}")
        if self.budgets not in BUDGETS:
            raise LacunaError(f"budgets must be one of {', '.join(BUDGETS)}, not {self.budgets!r}")

    def weights(self) -> tuple[float, ...]:
        """In the order of `KINDS`."""
        return (self.node, self.line, self.block, self.characters, self.empty, self.long, self.near_total)


DEFAULT_MIX = HoleMix()


def only(kind: str) -> HoleMix:
    """A mix of one kind."""
    weights = {name.replace("-", "_"): float(name == kind) for name in KINDS}
    return replace(DEFAULT_MIX, **weights)  # type: ignore[arg-type]


@dataclass(frozen=True)
class HoledText:
    """Text pieces and the texts of the holes between them; `kinds[i]` tells how hole i was drawn."""

    pieces: tuple[str, ...]
    holes: tuple[str, ...]
    kinds: tuple[str, ...]

    def whole(self) -> str:
        """The original text."""
        return "".join(piece + hole for piece, hole in zip(self.pieces, (*self.holes, ""), strict=True))


def make_holes(text: str, rng: random.Random, count: int | None = None, mix: HoleMix = DEFAULT_MIX) -> HoledText:
    """Draw non-overlapping holes in `text`: `count` of them, or one in half of all cases and 2-8 in the others.

    Each is of a kind drawn by `mix`. Fewer come back where the text has no room for them or the kind stands alone; a
    text with nothing of the kind in it (a line of no syntax node, say) gets one empty hole.
    """
    wanted = count if count is not None else (1 if rng.random() < 0.5 else rng.randint(2, 8))
    drawer = _Drawer(text, rng)
    spans: list[tuple[Span, str]] = []
    for _ in range(wanted * 3):
        if len(spans) == wanted:
            break
        kind = rng.choices(KINDS, mix.weights())[0]
        if kind in _ALONE and spans:
            continue
        if kind == "near-total":
            return _cut(text, [(span, kind) for span in drawer.near_total(wanted)])
        span = drawer.draw(kind, longest=max(16, len(text) // (2 * wanted)))
        if span is not None and all(span[1] < other[0] or span[0] > other[1] for other, _ in spans):
            spans.append((span, kind))
        if kind in _ALONE and spans:
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
        whole = rng.random()
        if whole < 0.25 and end < len(text):  # whole lines, with the line break
            return start, end + 1
        if whole < 0.8:  # most people leave the indentation standing
            start += len(text[start:end]) - len(text[start:end].lstrip(" \t"))
        if kind == "line" and end > start and rng.random() < 0.3:  # the rest of a line begun
            start = rng.randint(start, end)
        return start, max(start, end)

    def near_total(self, count: int) -> list[Span]:
        """`count` holes, at most, over all of the text but small islands that make up a fifth of it, at most."""
        visible = int(len(self.text) * self.rng.uniform(0.0, 0.2))
        count = max(1, min(count, visible + 1))
        # Islands between holes have a character at least; those at the two ends may be empty.
        islands = self._parts(visible - (count - 1), count + 1)
        masked = self._parts(len(self.text) - visible, count)
        spans = []
        start = islands[0]
        for length, island in zip(masked, islands[1:], strict=True):
            spans.append((start, start + length))
            start += length + island + 1
        return spans

    def _parts(self, total: int, count: int) -> list[int]:
        """`count` random lengths of sum `total`."""
        cuts = [0, *sorted(self.rng.randint(0, total) for _ in range(count - 1)), total]
        return [end - start for start, end in itertools.pairwise(cuts)]

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
                begins = (np.frombuffer(source, np.uint8) & 0xC0) != 0x80  # all bytes but those that continue a character
                before = [0, *np.cumsum(begins).tolist()]
                self._nodes = [(before[start], before[end]) for start, end in _spans(tree.root_node)]
        return self._nodes


def _spans(root: Node) -> Iterator[Span]:
    """Byte ranges of all named nodes but comments and the root, outermost first."""
    stack = list(root.children)
    while stack:
        node = stack.pop()
        if node.is_named and node.type != "comment" and node.end_byte > node.start_byte:
            yield node.start_byte, node.end_byte
        stack.extend(node.children)


def draw_budget(length: int, rng: random.Random, budgets: str = DEFAULT_MIX.budgets) -> int:
    """Slots for a hole of `length` tokens, its end mark included; at most `LARGEST_SURPLUS` more than that.

    "free": nearly independent of the length, so that a model can't take the budget for a hint at it (given the budget K,
    all lengths up to K keep their odds), but for one hole in ten that has no slot to spare. "surplus": log-uniform up to
    96 more, with a median of 9: a budget tells much. "exact": none more, which tells all.
    """
    if budgets == "exact":
        return length
    if budgets == "surplus":
        return length + int(97 ** rng.random()) - 1
    if rng.random() < 0.1:
        return length
    return rng.randint(length, LARGEST_SURPLUS) if length <= 96 else length + rng.randint(0, 64)
