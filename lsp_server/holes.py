"""Where the holes are: markers in the text, a selection, or a range that somebody named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tree_sitter import Node, Tree

from engine.errors import LacunaError
from engine.passage import Wording
from lsp_server.buffer import Buffer
from lsp_server.languages import table_of_tree
from lsp_server.markers import markers
from lsp_server.syntax import leaf_at, smallest_node

MARKER = "___"
MOST_HOLES = 128

TOKEN_BUDGET = 32
LINE_BUDGET = 64
# Names are short, and the search for a text that suits all places costs more with every token.
TIED_BUDGET = 4
LARGEST_DEFAULT_BUDGET = 128

# Source code averages about three bytes a token.
_BYTES_PER_TOKEN = 3
# A selection that misses no more than this much of a node, nor more than a third of it, was meant to cover it.
_ALMOST_BYTES = 3


@dataclass(frozen=True)
class Hole:
    """Bytes `start` to `end` of the source are to be written anew, in at most `budget` tokens, the end mark included.

    Holes with the same `tie` get the same text; None: tied to no other. `wording` is what the text has to be like.
    """

    start: int
    end: int
    kind: Literal["marker", "selection", "range"]
    budget: int
    tie: str | None = None
    wording: Wording = Wording.ANY


def find_markers(buffer: Buffer, tree: Tree | None, marker: str = MARKER, max_tokens: int | None = None) -> tuple[Hole, ...]:
    """All markers that stand as whole words, in the order of the text; with a tree, none in a comment or string.

    None is left empty. Those that share a name (`___total`; see `lsp_server.markers`) are tied. A hole that is one token among others
    gets a budget of 32 tokens, one alone on its line 64, and tied ones 4; `max_tokens` overrides.
    """
    found = [place for place in markers(buffer.text, marker) if tree is None or not is_text(tree, place.start, place.end)]
    counts = Counter(place.name for place in found)
    holes = []
    for place in found:
        tie = place.name if place.name is not None and counts[place.name] > 1 else None
        budget = _budget_of_gap(buffer, place.start, place.end) if tie is None else TIED_BUDGET
        # Nobody marks what shall be nothing, and nothing is what suits many places best.
        holes.append(Hole(place.start, place.end, "marker", max_tokens or budget, tie, Wording.SOME))
    return tuple(holes)


def with_tied(some: Sequence[Hole], markers: Sequence[Hole]) -> tuple[Hole, ...]:
    """Those of all the `markers` that are among `some` or tied to one of them: no one of these can be filled by itself."""
    ties = {hole.tie for hole in some if hole.tie is not None}
    return tuple(hole for hole in markers if hole in some or hole.tie in ties)


def hole_from_selection(buffer: Buffer, tree: Tree | None, start: int, end: int, max_tokens: int | None = None) -> Hole:
    """The hole that a person means by selecting bytes `start` to `end`.

    White space at both ends is left out, so that neither an indentation nor a trailing line end is swallowed. What
    is left snaps to the syntax node that it almost covers, else to the tokens that it almost covers at its ends. An
    empty selection is an empty hole at the cursor; one of white space alone is an empty hole where its first line
    ends, or where it itself does. The budget is as for a marker where the hole is empty, else at least twice the
    length of what it replaces plus 8, at most 128; `max_tokens` overrides.
    Raises LacunaError for a selection that ends before it starts.
    """
    start, end = _checked(buffer, start, end)
    if not buffer.source[start:end].strip():
        start = end = min(end, buffer.line_end(buffer.line_at(start)))
    else:
        start, end = _trim(buffer, start, end)
        if tree is not None:
            # Once more, as a whole module's node ends after its last line end.
            start, end = _trim(buffer, *_snap(tree, start, end))
    return Hole(start, end, "selection", max_tokens or _budget(buffer, start, end))


def hole_from_range(buffer: Buffer, start: int, end: int, max_tokens: int | None = None) -> Hole:
    """A hole of exactly the bytes `start` to `end`, moved off the middle of a character or a \\r\\n. Budgets as for a selection.

    Raises LacunaError for a range that ends before it starts.
    """
    start, end = _checked(buffer, start, end)
    return Hole(start, end, "range", max_tokens or _budget(buffer, start, end))


def in_order(buffer: Buffer, holes: Sequence[Hole], marker: str = MARKER) -> tuple[Hole, ...]:
    """The holes sorted by place. Raises LacunaError where there is none, there are more than 128, or two overlap."""
    if not holes:
        raise LacunaError(f"there is no hole in {buffer.name}: mark one with {marker} outside comments and strings, or name a range")
    if len(holes) > MOST_HOLES:
        raise LacunaError(f"{buffer.name} has {len(holes):,} holes; at most {MOST_HOLES} are filled at once")
    ordered = tuple(sorted(holes, key=lambda hole: (hole.start, hole.end)))
    for first, second in pairwise(ordered):
        if second.start < first.end or (first.start, first.end) == (second.start, second.end):
            raise LacunaError(f"the holes at {_place(buffer, first)} and {_place(buffer, second)} of {buffer.name} overlap")
    return ordered


def _place(buffer: Buffer, hole: Hole) -> str:
    line, character = buffer.position(hole.start, "utf-32")
    return f"{line + 1}:{character + 1}"


def is_text(tree: Tree, start: int, end: int) -> bool:
    """Whether these bytes are part of a comment or a string, and not of code in braces inside one."""
    language = table_of_tree(tree)
    node: Node | None = smallest_node(tree, start, end)
    while node is not None:
        if node.type in language.text:
            return True
        if node.type in language.code_in_text:
            return False
        node = node.parent
    return False


def _checked(buffer: Buffer, start: int, end: int) -> tuple[int, int]:
    if end < start:
        raise LacunaError(f"the range in {buffer.name} ends before it starts")
    return buffer.settle(start), buffer.settle(end)


def _budget(buffer: Buffer, start: int, end: int) -> int:
    if start == end:
        return _budget_of_gap(buffer, start, end)
    length = end - start - buffer.source.count(b"\r\n", start, end)  # a line end is one character to the model
    return max(TOKEN_BUDGET, min(LARGEST_DEFAULT_BUDGET, 2 * -(-length // _BYTES_PER_TOKEN) + 8))


def _budget_of_gap(buffer: Buffer, start: int, end: int) -> int:
    line = buffer.line_at(start)
    # Only as far as any marker's line may matter: a line may be a megabyte long.
    before = buffer.source[max(buffer.line_starts[line], start - 1024) : start]
    after = buffer.source[end : min(buffer.line_end(line), end + 1024)]
    return TOKEN_BUDGET if before.strip() or after.strip() else LINE_BUDGET


def _trim(buffer: Buffer, start: int, end: int) -> tuple[int, int]:
    text = buffer.source[start:end]
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())


def _snap(tree: Tree, start: int, end: int) -> tuple[int, int]:
    node = smallest_node(tree, start, end)
    if _almost(end - start, node):
        return node.start_byte, node.end_byte
    first, last = leaf_at(tree, start), leaf_at(tree, end - 1)
    if first is not None and _almost(min(end, first.end_byte) - start, first):
        start = first.start_byte
    if last is not None and _almost(end - max(start, last.start_byte), last):
        end = last.end_byte
    return start, end


def _almost(covered: int, node: Node) -> bool:
    length = node.end_byte - node.start_byte
    missing = length - covered
    return missing <= _ALMOST_BYTES and 3 * missing <= length
