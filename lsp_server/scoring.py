"""How likely the code that stands in a range is, given everything around it, and what the model would write there.

"Everything" is what `lsp_server.context` chooses for the window: of this file what is nearest, and definitions from the other files that
are open. So a likelihood may change when another file is opened, closed or edited.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Tree

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.results import Progress, TokenScore
from lsp_server.buffer import Buffer
from lsp_server.context import OtherFile, largest_budget, passage_for
from lsp_server.holes import LARGEST_DEFAULT_BUDGET, hole_from_range
from lsp_server.line_ends import to_buffer, to_model
from lsp_server.syntax import leaf_at, smallest_node

# Some 80,000 tokens: minutes of work, with progress and cancel, and beyond it hardly a thing that a person wants.
LARGEST_RANGE = 256 * 1024
# Tokens of a budget beyond twice those of the text.
_SOME_MORE = 4
_WORD = re.compile(rb"[\w\x80-\xff]+|[^\s\w\x80-\xff]+")


@dataclass(frozen=True)
class ScoredToken:
    """One token of the range, bytes `start` to `end` of the source. The end mark is the empty range at the end.

    `logprob` is natural; `rank` 1 is the likeliest; `alternatives` are the model's likeliest (text, probability) pairs.
    """

    start: int
    end: int
    logprob: float
    rank: int
    alternatives: tuple[tuple[str, float], ...]

    @property
    def bits(self) -> float:
        """The surprise: 0 is certain."""
        return max(0.0, -self.logprob / math.log(2))

    @property
    def probability(self) -> float:
        return math.exp(self.logprob)


@dataclass(frozen=True)
class RangeScore:
    """The joint log-likelihood (nats) of bytes `start` to `end`, given what of the rest, and of other files, is in the model's window."""

    start: int
    end: int
    tokens: tuple[ScoredToken, ...]
    passes: int
    elapsed_ms: float

    @property
    def logprob(self) -> float:
        return math.fsum(token.logprob for token in self.tokens)

    @property
    def bits_per_token(self) -> float:
        return -self.logprob / math.log(2) / max(1, len(self.tokens))


@dataclass(frozen=True)
class Expectation:
    """What the model itself would write: its greedy fill and that fill's log-likelihood. Not `complete`: it ran out of budget."""

    text: str
    logprob: float
    tokens: int
    complete: bool


def range_at(buffer: Buffer, tree: Tree | None, offset: int) -> tuple[int, int] | None:
    """Bytes of what a person points at with `offset`: the smallest syntax node, or the word without a tree. None: nothing there.

    Where the smallest node goes over several lines (pointing at a keyword, say), it is the token alone.
    """
    line = buffer.line_at(offset)
    if tree is None:
        # Far enough for any word: the line may be a megabyte long.
        start, end = max(buffer.line_starts[line], offset - 512), min(buffer.line_end(line), offset + 512)
        words = ((start + match.start(), start + match.end()) for match in _WORD.finditer(buffer.source[start:end]))
        return next(((first, last) for first, last in words if first <= offset < last), None)
    leaf = leaf_at(tree, offset)
    if leaf is None:
        return None
    node = smallest_node(tree, offset, offset + 1)
    if buffer.line_at(node.start_byte) != buffer.line_at(node.end_byte):
        node = leaf
    return node.start_byte, node.end_byte


def score_range(
    buffer: Buffer,
    tree: Tree | None,
    start: int,
    end: int,
    infiller: Infiller,
    alternatives: int = 5,
    on_pass: OnPass = ignore_progress,
    others: Sequence[OtherFile] = (),
) -> RangeScore:
    """Score bytes `start` to `end`; where both are one place, what `range_at` finds there. Definitions of `others` are given, too.

    A range too long for one pass is scored chunk by chunk: each sees the chunks before it and what follows the
    range, and by the chain rule their log-likelihoods add up; only the last chunk has an end mark. Raises
    LacunaError where there is nothing to score or the range is far too long, and whatever `on_pass` raises.
    """
    began = time.perf_counter()
    start, end = _pointed(buffer, tree, start, end)
    if end - start > LARGEST_RANGE:
        raise LacunaError(f"the range has {end - start:,} bytes; at most {LARGEST_RANGE:,} are scored at once, so name a smaller one")
    most = largest_budget(infiller)
    tokens: list[ScoredToken] = []
    chunks = list(stretches(buffer, start, end, infiller, most - 1))
    for number, (first, last) in enumerate(chunks):
        text = text_of(buffer, first, last)
        # What is still to be scored is left out of sight: the hole takes in all of the range that is left.
        budget = budget_of(infiller.count_tokens(text), infiller) if len(chunks) == 1 else most
        hole = hole_from_range(buffer, first, end, budget)
        score = infiller.score(passage_for(buffer, tree, (hole,), infiller, others), (text,), alternatives)
        scored = placed(buffer, first, last, score.holes[0])
        tokens += scored if last == end else scored[:-1]
        on_pass(Progress(passes=number + 1, tokens=len(tokens), most=len(chunks) * most))
    return RangeScore(start, end, tuple(tokens), len(chunks), 1000 * (time.perf_counter() - began))


def budget_of(tokens: int, infiller: Infiller) -> int:
    """The budget of the hole that a text of so many tokens is scored in: room for that and for as much again, but for no more, since the
    model writes longer texts where there is more room."""
    return max(tokens + 1, min(2 * tokens + _SOME_MORE, LARGEST_DEFAULT_BUDGET, largest_budget(infiller)))


def expected_text(
    buffer: Buffer,
    tree: Tree | None,
    start: int,
    end: int,
    infiller: Infiller,
    on_pass: OnPass = ignore_progress,
    others: Sequence[OtherFile] = (),
    budget: int | None = None,
) -> Expectation:
    """The model's own greedy text for the bytes `start` to `end`, in the buffer's line ends, in at most `budget` tokens (None: as many as
    `score_range` gives the text that stands there).

    Places, what is given and errors as in `score_range`.
    """
    start, end = _pointed(buffer, tree, start, end)
    budget = min(budget or budget_of(infiller.count_tokens(text_of(buffer, start, end)), infiller), largest_budget(infiller))
    hole = hole_from_range(buffer, start, end, budget)
    result = infiller.fill(passage_for(buffer, tree, (hole,), infiller, others), FillOptions(count=1, temperature=0), on_pass)
    fill = result.suggestions[0].fills[0]
    return Expectation(to_buffer(fill.text, buffer.newline), fill.logprob, len(fill.logprobs), fill.complete)


def _pointed(buffer: Buffer, tree: Tree | None, start: int, end: int) -> tuple[int, int]:
    """The bytes that are meant, at borders of characters and line ends."""
    if start == end:
        pointed = range_at(buffer, tree, start)
        if pointed is None:
            raise LacunaError(f"there is nothing to score at that place in {buffer.name}")
        start, end = pointed
    hole = hole_from_range(buffer, start, end)
    return hole.start, hole.end


def text_of(buffer: Buffer, start: int, end: int) -> str:
    """Bytes `start` to `end` as the model reads them."""
    return to_model(buffer.source[start:end].decode("utf-8"))


def stretches(buffer: Buffer, start: int, end: int, infiller: Infiller, most: int) -> Iterator[tuple[int, int]]:
    """Bytes `start` to `end` in consecutive stretches of at most `most` tokens each, cut at line ends where that doesn't waste half.

    Cuts are found in the text as the model has it, so that a file's kind of line ends doesn't move them.
    """
    text = text_of(buffer, start, end).encode("utf-8")
    places = _places_in(buffer.source[start:end], start)
    first = 0
    while first < len(text):
        last = _character_end(text, first, first + 16 * most)
        while (count := infiller.count_tokens(text[first:last].decode("utf-8"))) > most:
            shorter = _character_end(text, first, first + (last - first) * most // count)
            if shorter == last:
                break
            last = shorter
        if last < len(text):
            line_start = text.rfind(b"\n", first, last) + 1
            last = line_start if line_start > (first + last) // 2 else last
        yield places[first], places[last]
        first = last


def _character_end(text: bytes, start: int, end: int) -> int:
    """The last end of a character at or before `end`, but after at least one character from `start`."""
    for border in range(min(end, len(text)), start, -1):
        if border == len(text) or text[border] & 0xC0 != 0x80:
            return border
    border = start + 1
    while border < len(text) and text[border] & 0xC0 == 0x80:
        border += 1
    return border


def placed(buffer: Buffer, start: int, end: int, tokens: Sequence[TokenScore]) -> list[ScoredToken]:
    """The scored tokens, the last of them the end mark, with the bytes of the source that each stands for."""
    text = text_of(buffer, start, end).encode("utf-8")
    borders = _align(text, [token.text for token in tokens[:-1]])
    places = _places_in(buffer.source[start:end], start)
    return [
        ScoredToken(places[first], places[last], token.logprob, token.rank, token.alternatives)
        for (first, last), token in zip([*borders, (len(text), len(text))], tokens, strict=True)
    ]


def _places_in(source: bytes, start: int) -> list[int]:
    """For each byte of the text as the model has it, and for its end, where in the buffer it stands."""
    places = [start + index for index, byte in enumerate(source) if byte != 0x0A or source[index - 1 : index] != b"\r"]
    return [*places, start + len(source)]


def _align(text: bytes, surfaces: Sequence[str]) -> list[tuple[int, int]]:
    """Bytes of `text` that each token stands for.

    A token may hold a part of a character; its surface then has replacement characters, whose number of bytes has
    to be found such that all the tokens together are the text.
    """
    # After each token: where it may end, with where it would then start.
    steps: list[dict[int, int]] = [{0: 0}]
    for surface in surfaces:
        steps.append({start + width: start for start in steps[-1] for width in _widths(text, start, surface)})
    if len(text) not in steps[-1]:
        raise LacunaError("the tokenizer's tokens don't spell the text that was scored")
    end, ranges = len(text), []
    for step in reversed(steps[1:]):
        ranges.append((step[end], end))
        end = step[end]
    return ranges[::-1]


def _widths(text: bytes, start: int, surface: str) -> Iterator[int]:
    """How many bytes from `start` on have `surface`."""
    longest = min(len(text) - start, len(surface.encode("utf-8")))
    if text.startswith(surface.encode("utf-8"), start):
        yield longest
    elif "\ufffd" in surface:
        yield from (width for width in range(1, longest + 1) if text[start : start + width].decode("utf-8", errors="replace") == surface)
