"""What is missing at a cursor: a function's body that is a stub, code that the grammar misses, an argument, a right-hand side.

Nothing of it is marked as a hole, so the tree has to say where one is. A tree of broken code may say anything, and what it
says is only believed where an identifier put into the place leaves it no more broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from tree_sitter import Node, Tree

from lsp_server.buffer import Buffer
from lsp_server.edits import Edit, tree_after
from lsp_server.extent import in_text
from lsp_server.holes import MARKER, Hole, hole_from_range
from lsp_server.languages import Language, table_of_tree
from lsp_server.syntax import errors, errors_near, smallest_node

What = Literal["stub", "argument", "right-hand side", "missing", "error"]

BLOCK_BUDGET = 128
# The model writes more where there is more room, and an argument is short.
ARGUMENT_BUDGET = 12
# An error of more bytes is no slip of the hand.
_LARGEST_ERROR = 80
# A line may be a megabyte long; near the cursor is what counts.
_FAR = 512
# What is larger or more broken is not parsed once more to see whether an identifier suits a place.
_MOST_BYTES = 1 << 20
_MOST_ERRORS = 100
# A body with more statements and comments is no stub.
_MOST_IN_STUB = 8
_TODO = re.compile(r"\b(TODO|FIXME|XXX)\b", re.IGNORECASE)
_RETURN = re.compile(rb"(?<![\w.$])return[ \t]+$")
_CLOSERS = (b")", b"]", b"}", b",", b";")


@dataclass(frozen=True)
class CursorHole:
    """A hole that stands where the cursor is, or where what it belongs to does, and `what` it would be filled with.

    stub: over a statement that stands for a function's body to come, and over its TODO comment. argument, right-hand side: an
    empty hole where one of these is still to be written. missing: an empty hole where the grammar misses something. error: over a few
    characters that the grammar can't make sense of.
    """

    hole: Hole
    what: What


def hole_at_cursor(buffer: Buffer, tree: Tree | None, offset: int, max_tokens: int | None = None) -> CursorHole | None:
    """The hole that a bare cursor at byte `offset` of the buffer may mean; None where nothing is missing, and for plain text (`tree` None).

    `tree` is the buffer's. Takes any offset, also one outside the text or inside a character. Its hole is a `range` (`Hole.kind`), to be
    filled as it is; a stub's budget is 128 tokens, an argument's 12, any other's as `hole_from_range` has it; `max_tokens` overrides. Never
    raises.
    Within a block that is a stub it is always that; else the order is that of `What`.
    """
    if tree is None:
        return None
    offset = buffer.settle(offset)
    look = _Look(buffer, tree, offset, table_of_tree(tree))
    if (span := look.stub()) is not None:
        return CursorHole(Hole(*span, "range", max_tokens or BLOCK_BUDGET), "stub")
    if in_text(tree, offset):
        return None
    finders: Sequence[tuple[What, Iterator[tuple[int, int]]]] = (
        ("argument", look.arguments()),
        ("right-hand side", look.right_hand_sides()),
        ("missing", look.gaps()),
        ("error", look.slips()),
    )
    for what, places in finders:
        for start, end in islice(places, 1):
            most = max_tokens or (ARGUMENT_BUDGET if what == "argument" else None)
            return CursorHole(hole_from_range(buffer, start, end, most), what)
    return None


class _Look:
    """One look at a place; each method gives ranges of bytes that may be holes."""

    def __init__(self, buffer: Buffer, tree: Tree, offset: int, language: Language) -> None:
        self.buffer, self.tree, self.offset, self.language = buffer, tree, offset, language
        line = buffer.line_at(offset)
        self.before = buffer.source[max(buffer.line_starts[line], offset - _FAR) : offset]
        self.after = buffer.source[offset : min(buffer.line_end(line), offset + _FAR)]

    @property
    def window(self) -> tuple[int, int]:
        """The bytes near the cursor on its line."""
        return self.offset - len(self.before), self.offset + len(self.after)

    def stub(self) -> tuple[int, int] | None:
        """The stub that is all of the body of the function around the cursor, or around the beginning of its line."""
        indent = len(self.before) - len(self.before.lstrip())
        for place in dict.fromkeys((self.offset, self.window[0] + indent)):
            node: Node | None = smallest_node(self.tree, place, place)
            while node is not None and node.type not in self.language.functions:
                node = node.parent
            if node is not None and (span := self._only_stub(node)) is not None:
                return span
        return None

    def _only_stub(self, function: Node) -> tuple[int, int] | None:
        body = next((child for child in function.children if child.type in self.language.bodies), None)
        found = [] if body is None else self._statements(body)
        if len(found) > 1 and found[0].named_child_count == 1 and found[0].named_children[0].type in self.language.text:
            found = found[1:]  # less the docstring
        if len(found) != 1 or not self._is_stub(found[0]):
            return None
        end = found[0].end_byte
        return found[0].start_byte, self._end_of_todo(end) or end

    def _is_stub(self, statement: Node) -> bool:
        return self.language.is_stub(self.buffer.source[statement.start_byte : statement.end_byte].decode("utf-8", "replace"))

    def _statements(self, body: Node) -> list[Node]:
        """A body's statements, comments aside; none where it has many."""
        while body.named_child_count == 1 and body.named_children[0].type in self.language.statement_lists:
            body = body.named_children[0]
        if body.named_child_count > _MOST_IN_STUB:
            return []
        return [child for child in body.named_children if not child.is_extra and not child.is_error]

    def _end_of_todo(self, end: int) -> int | None:
        """Where a comment ends that follows byte `end` on its line and says that something is to be done."""
        rest = self.buffer.source[end : min(self.buffer.line_end(self.buffer.line_at(end)), end + _FAR)]
        start = end + len(rest) - len(rest.lstrip())
        comment = self.tree.root_node.descendant_for_byte_range(start, start + 1)
        while comment is not None and comment.parent is not None and comment.parent.is_extra:
            comment = comment.parent
        if comment is None or not comment.is_extra or comment.start_byte != start:
            return None
        text = self.buffer.source[start : min(comment.end_byte, end + len(rest))].rstrip()
        return start + len(text) if _TODO.search(text.decode("utf-8", "replace")) else None

    def arguments(self) -> Iterator[tuple[int, int]]:
        """The cursor's place between an opening bracket or comma of a call and the comma or bracket that comes next."""
        source = self.buffer.source
        ahead = source[max(0, self.offset - _FAR) : self.offset].rstrip()
        behind = source[self.offset : self.offset + _FAR].lstrip()
        if ahead.endswith((b"(", b",", b"=")) and behind.startswith((b")", b",")):
            first = max(0, self.offset - _FAR) + len(ahead) - 1
            last = min(self.offset + _FAR, len(source)) - len(behind)
            if self._is_between_arguments(first) and self._is_between_arguments(last):
                yield self._place(first + 1)

    def _is_between_arguments(self, offset: int) -> bool:
        """Whether the sign at `offset` belongs to a list of arguments itself, or gives one of them a name."""
        leaf = self.tree.root_node.descendant_for_byte_range(offset, offset + 1)
        node = None if leaf is None or leaf.child_count else leaf.parent
        if node is not None and (node.is_error or self.buffer.source[offset : offset + 1] == b"="):
            node = node if node.type in self.language.arguments else node.parent
        return node is not None and node.type in self.language.arguments

    def right_hand_sides(self) -> Iterator[tuple[int, int]]:
        """The cursor's place after a sign of assignment or a `return`, where nothing follows that could be its value."""
        text, after = self.before.rstrip(), self.after.lstrip()
        ends = not after or after.startswith((*_CLOSERS, self.language.line_comment.encode()))
        if ends and (text.endswith((b"=", b"=>")) or _RETURN.search(self.before)):
            place = self._place(self.window[0] + len(text))
            if self._suits(place[0], fewer=False):
                yield place

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Where the grammar misses a token on the cursor's line, the nearest first, or would miss less with an identifier at the cursor."""
        broken = list(errors_near(self.tree, *self.window))
        missing = [node.start_byte for node in broken if node.is_missing]
        for place in sorted(missing, key=lambda place: abs(place - self.offset)):
            if not self.buffer.source[place : self.offset].strip():
                place = max(place, self.offset)  # behind the white space that was typed already
            yield place, place
        if broken and self._suits(self.offset, fewer=True):
            yield self.offset, self.offset

    def slips(self) -> Iterator[tuple[int, int]]:
        """The small errors on the cursor's line, the nearest first."""
        start, end = self.window
        wrong = [node for node in errors_near(self.tree, start, end) if start <= node.start_byte and node.end_byte <= end]
        for node in sorted(wrong, key=lambda node: max(0, node.start_byte - self.offset, self.offset - node.end_byte)):
            if 0 < node.end_byte - node.start_byte <= _LARGEST_ERROR:
                yield node.start_byte, node.end_byte

    def _place(self, least: int) -> tuple[int, int]:
        """The cursor's, but behind a space where the cursor stands between that and the sign that ends at `least`."""
        space = self.buffer.source[least - 1 : least + 1] in (b"= ", b", ", b"> ")
        place = self.offset + (self.offset == least and space)
        return place, place

    def _suits(self, offset: int, *, fewer: bool) -> bool:
        """Whether the tree has no more errors, or `fewer`, with an identifier at `offset`."""
        if len(self.buffer.source) > _MOST_BYTES:
            return False
        now = _count(self.tree)
        probe = tree_after(self.tree, self.buffer.source, [Edit(offset, offset, MARKER)]) if now <= _MOST_ERRORS else None
        return probe is not None and _count(probe) <= now - fewer


def _count(tree: Tree) -> int:
    """Number of errors, as far as it matters."""
    return sum(1 for _ in islice(errors(tree), _MOST_ERRORS + 1))
