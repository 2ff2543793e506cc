"""Training examples: windows of source files with holes, as packed rows in the order sigma."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset

from engine.sequence import IntArray, mask, teacher_forced
from export.contexts import WHOLE, ContextMix, fetch
from export.corpus import Split
from export.holes import DEFAULT_MIX, HoledText, HoleMix, draw_budget, make_holes
from export.vocabulary import SPECIAL_IDS

IGNORED = -100
Budget = Callable[[int, random.Random], int]
_SMALLEST = 80  # rows; what is left of a packed line below that stays empty
_CHARACTERS = 4.5  # of a window, a row, at most: nearly all files have fewer to a token


@dataclass(frozen=True)
class Prompting:
    """How prompts are laid out: the shares of examples whose prompt rows see all of the prompt, not only what comes
    before them in sigma (`bidirectional`), and whose suffix comes first in sigma (`suffix_first`)."""

    bidirectional: float = 0.0
    suffix_first: float = 0.7


class Batch(NamedTuple):
    """Packed lines of T rows, `[T]` each or `[B, T]` collated, int64.

    Row i sees the rows `first[i]` to `reach[i]`: its own example up to itself, or to the prompt's end for rows of a
    bidirectional prompt. `labels[i]` is the token that row i asks for, at position `targets[i]`, or `IGNORED`.
    `holes[i]` is 1 where that token stands in a hole. Padding sees itself alone and asks for nothing.
    """

    ids: Tensor
    positions: Tensor
    first: Tensor
    reach: Tensor
    labels: Tensor
    targets: Tensor
    holes: Tensor


@dataclass(frozen=True)
class Example:
    """One holed window: ids and positions `[R]` in sigma order; rows from `prompt` on stand in holes."""

    ids: IntArray
    positions: IntArray
    prompt: int
    bidirectional: bool = False


def encode(
    holed: HoledText,
    tokenizer: Tokenizer,
    rng: random.Random,
    *,
    at_start: bool,
    at_end: bool,
    budget: Budget = draw_budget,
    prompting: Prompting = Prompting(),
) -> Example:
    """A holed text as rows; `budget` tells the slots for a hole of a length, end mark included.

    Pieces and holes are tokenised separately, so that a border inside a word is ordinary.
    """
    pieces = [encoding.ids for encoding in tokenizer.encode_batch(list(holed.pieces))]
    holes = [[*encoding.ids, SPECIAL_IDS.eoh] for encoding in tokenizer.encode_batch(list(holed.holes))]
    sequence = mask(
        pieces,
        [budget(len(hole), rng) for hole in holes],
        SPECIAL_IDS,
        at_start=at_start,
        at_end=at_end,
        order="suffix-first" if rng.random() < prompting.suffix_first else "prefix-first",
    )
    ids, positions = teacher_forced(sequence, holes)
    return Example(ids, positions, len(sequence.ids), rng.random() < prompting.bidirectional)


def pack(examples: list[Example], rows: int) -> Batch:
    """Examples one after another in a line of `rows` rows; what has no room is cut off."""
    lines = {name: torch.zeros(rows, dtype=torch.int64) for name in Batch._fields}
    lines["ids"].fill_(SPECIAL_IDS.pad)
    lines["labels"].fill_(IGNORED)
    own = torch.arange(rows)
    lines["first"].copy_(own)
    lines["reach"].copy_(own)
    start = 0
    for example in examples:
        count = min(len(example.ids), rows - start)
        prompt = min(example.prompt, count)
        end = start + count
        ids, positions = torch.from_numpy(example.ids[:count]), torch.from_numpy(example.positions[:count])
        lines["ids"][start:end] = ids
        lines["positions"][start:end] = positions
        lines["first"][start:end] = start
        asks = start
        if example.bidirectional:
            lines["reach"][start : start + prompt] = start + prompt - 1
            asks = start + prompt - 1  # the other prompt rows have seen what they would ask for
        lines["labels"][asks : end - 1] = ids[asks - start + 1 :]
        lines["targets"][asks : end - 1] = positions[asks - start + 1 :]
        lines["holes"][start + prompt - 1 : end - 1] = 1
        start = end
    return Batch(**lines)


@dataclass(frozen=True)
class Window:
    """A stretch of a file; whether the passage begins and ends where the file does; lines `above` it that stand before it."""

    text: str
    at_start: bool
    at_end: bool
    above: str = ""


class Windows(Dataset[Batch]):
    """Endless packed lines; line i is a function of (seed, i) alone, so that a resumed run goes on where it stopped."""

    def __init__(
        self,
        split: Split,
        tokenizer: Tokenizer,
        rows: int,
        seed: int,
        mix: HoleMix = DEFAULT_MIX,
        prompting: Prompting = Prompting(),
        context: ContextMix = WHOLE,
    ) -> None:
        self.split = split
        self.tokenizer = tokenizer
        self.rows = rows
        self.seed = seed
        self.mix = mix
        self.prompting = prompting
        self.context = context
        self.ends = np.cumsum(split.sizes)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.tokenizer.encode_special_tokens = True  # which a tokenizer forgets on its way to another process

    def __getitem__(self, index: int) -> Batch:
        return pack(list(self.examples(random.Random(f"{self.seed}/{index}"))), self.rows)

    def examples(self, rng: random.Random) -> Iterator[Example]:
        """Examples until the line is full: a long file's window fills it, short files share it."""
        room = self.rows
        while room == self.rows or room >= _SMALLEST:
            example = self.example(rng, room)
            yield example
            room -= len(example.ids)

    def example(self, rng: random.Random, rows: int) -> Example:
        window = self.window(rng, rows)
        holed = make_holes(window.text, rng, mix=self.mix)
        holed = replace(holed, pieces=(window.above + holed.pieces[0], *holed.pieces[1:]))
        budget = partial(draw_budget, budgets=self.mix.budgets)
        ends = {"at_start": window.at_start, "at_end": window.at_end}
        return encode(holed, self.tokenizer, rng, **ends, budget=budget, prompting=self.prompting)

    def window(self, rng: random.Random, rows: int) -> Window:
        """A stretch of a file of nearly `rows` tokens, headed by some of what is above it where the context is a cut one."""
        text = self.split[int(np.searchsorted(self.ends, rng.randrange(int(self.ends[-1])), side="right"))].text
        start = max(0, rng.randrange(-rows, len(text)))  # the beginnings of files are worth some more visits
        above, at_start = "", start == 0
        room = rows - 24  # cutting holes splits some tokens
        cut = start > 0 and self.context.cut > 0 and rng.random() < self.context.cut
        if cut and 0 < (line := text.find("\n", start) + 1) < len(text):
            start = line
            above, at_start = fetch(text, start, int(_CHARACTERS * rows), rng)
            room -= len(self.tokenizer.encode(above))
        end = min(len(text), start + int(_CHARACTERS * rows))
        encoding = self.tokenizer.encode(text[start:end])
        if len(encoding) > room:
            end = start + encoding.offsets[room - 1][1]
        return Window(text[start:end], at_start, end == len(text), above)
