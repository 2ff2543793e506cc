"""Passages of a wanted size, cut from this project's own files: how long a fill takes hangs on sizes first."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.tasks import own_lines
from engine.errors import LacunaError
from engine.passage import Passage
from engine.text import Text


@dataclass(frozen=True)
class Size:
    """`context` tokens of text around `holes` holes, evenly apart, each to be filled with exactly `tokens` tokens."""

    context: int
    holes: int = 1
    tokens: int = 16

    @property
    def rows(self) -> int:
        """What a passage of this size takes of a model's window."""
        return self.context + self.holes * self.tokens


class Cutter:
    """Cuts passages out of all own files, laid end to end. A hole starts where a line does and swallows whole lines."""

    def __init__(self, text: Text) -> None:
        self.text = text
        files = dict.fromkeys(line.text for line in own_lines())
        self.lines = [line for file in files for line in file.splitlines(keepends=True)]
        self.counts = [len(text.encode(line)) for line in self.lines]

    def cut(self, size: Size, count: int, seed: int) -> list[Passage]:
        """`count` passages, each from another place. Raises LacunaError where there is not text enough for them.

        A piece that is cut anew may come back as a token more or less than it was cut from.
        """
        # Pieces and holes swallow whole lines, so that each may take a line more than it needs, or two: lines are fewer tokens together.
        reach = size.rows + 2 * (2 * size.holes + 1) * max(self.counts)
        left = list(accumulate(reversed(self.counts)))[::-1]
        starts = [at for at, tokens in enumerate(left) if tokens >= reach]
        if len(starts) < count:
            raise LacunaError(f"this project's files hold no {count} passages of {size.rows} tokens; ask for smaller or fewer ones")
        return [self._at(start, size) for start in random.Random(seed).sample(starts, count)]

    def _at(self, start: int, size: Size) -> Passage:
        share = size.context // (size.holes + 1)
        pieces = []
        for _ in range(size.holes):
            piece, start = self._lines(start, share)
            pieces.append(self.text.decode(piece[-share:]))
            _, start = self._lines(start, size.tokens)
        rest = size.context - size.holes * share
        pieces.append(self.text.decode(self._lines(start, rest)[0][:rest]))
        budgets = (size.tokens,) * size.holes
        return Passage(tuple(pieces), budgets, at_start=False, at_end=False, fixed_lengths=(True,) * size.holes)

    def _lines(self, start: int, tokens: int) -> tuple[list[int], int]:
        """`tokens` tokens or more, of whole lines from `start` on, and the line after these."""
        end, held = start, 0
        while held < tokens:
            held += self.counts[end]
            end += 1
        while len(ids := self.text.encode("".join(self.lines[start:end]))) < tokens:
            end += 1
        return ids, end
