"""Training examples: windows of source files with holes, as rows in the order sigma."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset

from engine.sequence import mask, teacher_forced
from export.corpus import SourceFile
from export.holes import draw_budget, make_holes
from export.vocabulary import SPECIAL_IDS

IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One window: rows `[T]` in sigma order, of which those from `first_hole_row` on stand in holes; bytes of hole text."""

    ids: Sequence[int]
    positions: Sequence[int]
    first_hole_row: int
    hole_bytes: int


class Windows(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless examples; number i is a function of (seed, i) alone, so that a resumed run goes on where it stopped.

    Items: ids `[rows]`, positions `[rows]` (int64, padded), and `(first hole row, hole bytes, rows used)`.
    """

    def __init__(self, files: Sequence[SourceFile], tokenizer: Tokenizer, rows: int, seed: int, length: int = 1 << 40) -> None:
        self.files = files
        self.tokenizer = tokenizer
        self.rows = rows
        self.seed = seed
        self.length = length
        self.ends = list(itertools.accumulate(len(file.text) for file in files))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = random.Random(f"{self.seed}/{index}")
        example = self.example(rng)
        ids = torch.full((self.rows,), SPECIAL_IDS.pad)
        positions = torch.zeros(self.rows, dtype=torch.int64)
        used = len(example.ids)
        ids[:used] = torch.as_tensor(example.ids)
        positions[:used] = torch.as_tensor(example.positions)
        return ids, positions, torch.tensor([example.first_hole_row, example.hole_bytes, used])

    def window(self, rng: random.Random) -> tuple[str, bool, bool]:
        """A stretch of a file of nearly `rows` tokens, and whether it begins and ends where the file does."""
        place = rng.randrange(self.ends[-1])
        file = self.files[bisect.bisect_right(self.ends, place)]
        start = max(0, rng.randrange(-self.rows, len(file.text)))  # the beginnings of files are worth some more visits
        encoding = self.tokenizer.encode(file.text[start : start + 6 * self.rows])
        room = self.rows - 24  # cutting holes splits some tokens
        end = min(len(file.text), start + 6 * self.rows) if len(encoding.ids) <= room else start + encoding.offsets[room - 1][1]
        return file.text[start:end], start == 0, end == len(file.text)

    def example(self, rng: random.Random) -> Example:
        text, at_start, at_end = self.window(rng)
        holed = make_holes(text, rng)
        pieces = [encoding.ids for encoding in self.tokenizer.encode_batch(list(holed.pieces))]
        holes = [[*encoding.ids, SPECIAL_IDS.eoh] for encoding in self.tokenizer.encode_batch(list(holed.holes))]
        sequence = mask(
            pieces,
            [draw_budget(len(hole), rng) for hole in holes],
            SPECIAL_IDS,
            at_start=at_start,
            at_end=at_end,
            order="suffix-first" if rng.random() < 0.7 else "prefix-first",
        )
        ids, positions = teacher_forced(sequence, holes)
        hole_bytes = sum(len(hole.encode()) for hole in holed.holes)
        return Example(ids[: self.rows].tolist(), positions[: self.rows].tolist(), len(sequence.ids), hole_bytes)
