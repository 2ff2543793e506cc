"""Held-out passages and a model's losses on them while it trains."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from export.contexts import WHOLE, ContextMix, fetch
from export.corpus import Split
from export.examples import IGNORED, Batch, Budget, Prompting, encode, pack
from export.holes import DEFAULT_MIX, HoledText, HoleMix, draw_budget, make_holes
from export.losses import draft_rows, row_losses
from export.model import AsArm

FloatArray = NDArray[np.float64]

_CHARACTERS_PER_ROW = 2.2  # of a passage, so that nearly all fit the rows whatever the vocabulary


@dataclass(frozen=True)
class Passages:
    """Held-out texts with holes: the same for every tokenizer and model. `at_start[i]`: text i begins where its file does."""

    texts: tuple[HoledText, ...]
    at_start: tuple[bool, ...]
    at_end: tuple[bool, ...]

    @property
    def hole_bytes(self) -> FloatArray:
        """UTF-8 bytes in each text's holes, `[N]`."""
        return np.array([sum(len(hole.encode()) for hole in text.holes) for text in self.texts], dtype=np.float64)


@dataclass(frozen=True)
class Bits:
    """Bits per passage, `[N]`, and the rows they were counted on: `hole` tokens with their end marks, `prompt` and `draft` rows."""

    hole: FloatArray
    hole_rows: FloatArray
    prompt: FloatArray
    prompt_rows: FloatArray
    draft: FloatArray
    draft_rows: FloatArray


@dataclass(frozen=True)
class Losses:
    """Held-out figures. `hole_bits_per_byte` counts hole tokens and end marks over the holes' UTF-8 bytes."""

    hole_bits_per_byte: float
    hole_nats_per_token: float
    prompt_nats_per_token: float
    draft_nats_per_token: float

    def __str__(self) -> str:
        return f"{self.hole_bits_per_byte:.3f} bits/byte in holes, {self.hole_nats_per_token:.3f} nats/token"


def draw_passages(split: Split, rows: int, count: int, seed: int, mix: HoleMix = DEFAULT_MIX, context: ContextMix = WHOLE) -> Passages:
    """`count` passages for lines of `rows` rows, of places and holes drawn by `seed`."""
    rng = random.Random(f"validation/{seed}")
    ends = np.cumsum(split.sizes)
    length = int(rows * _CHARACTERS_PER_ROW)
    texts, at_start, at_end = [], [], []
    for _ in range(count):
        text = split[int(np.searchsorted(ends, rng.randrange(int(ends[-1])), side="right"))].text
        start = rng.randint(0, max(0, len(text) - length))
        above, begins = "", start == 0
        if start > 0 and context.cut > 0 and rng.random() < context.cut:
            start = text.rfind("\n", 0, start) + 1
            above, begins = fetch(text, start, length, rng)
        end = min(len(text), start + length - len(above))
        holed = make_holes(text[start:end], rng, mix=mix)
        texts.append(replace(holed, pieces=(above + holed.pieces[0], *holed.pieces[1:])))
        at_start.append(begins)
        at_end.append(end == len(text))
    return Passages(tuple(texts), tuple(at_start), tuple(at_end))


def encode_passages(
    passages: Passages, tokenizer: Tokenizer, rows: int, budget: Budget = draw_budget, bidirectional: bool = False
) -> list[Batch]:
    """One line a passage, suffix first. What is longer than `rows` loses its last rows."""
    lines = []
    prompting = Prompting(bidirectional=float(bidirectional), suffix_first=1.0)
    for index, holed in enumerate(passages.texts):
        rng = random.Random(f"budgets/{index}")
        start, end = passages.at_start[index], passages.at_end[index]
        example = encode(holed, tokenizer, rng, at_start=start, at_end=end, budget=budget, prompting=prompting)
        lines.append(pack([example], rows))
    return lines


def measure(model: AsArm, lines: Sequence[Batch], furthest: int, at_once: int = 16) -> Bits:
    """Bits of each line."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    found: list[list[Tensor]] = [[] for _ in range(6)]
    model.eval()
    with torch.no_grad():
        for start in range(0, len(lines), at_once):
            batch = Batch(*(torch.stack(parts) for parts in zip(*lines[start : start + at_once], strict=True)))
            drafts = draft_rows(batch, furthest, generator)
            moved = Batch(*(part.to(device) for part in batch))
            losses, draft_losses = (part.cpu() for part in row_losses(model, moved, tuple(part.to(device) for part in drafts)))  # type: ignore[arg-type]
            asked, holes, draft_asked = batch.labels != IGNORED, batch.holes.bool(), drafts[2] != IGNORED
            sums = (losses * holes, asked & holes, losses * ~holes, asked & ~holes, draft_losses, draft_asked)
            for kept, values in zip(found, sums, strict=True):
                kept.append(values.double().sum(1))
    model.train()
    hole, hole_rows, prompt, prompt_rows, draft, drafted = (torch.cat(values).numpy() for values in found)
    nat = 1 / math.log(2)
    return Bits(hole * nat, hole_rows, prompt * nat, prompt_rows, draft * nat, drafted)


def summarise(bits: Bits, passages: Passages) -> Losses:
    nat = math.log(2)
    return Losses(
        float(bits.hole.sum() / max(1.0, passages.hole_bytes.sum())),
        float(nat * bits.hole.sum() / max(1.0, bits.hole_rows.sum())),
        float(nat * bits.prompt.sum() / max(1.0, bits.prompt_rows.sum())),
        float(nat * bits.draft.sum() / max(1.0, bits.draft_rows.sum())),
    )
