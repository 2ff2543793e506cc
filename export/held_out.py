"""Text that a model is measured on: a corpus's held-out files, or, where there is none, Lacuna's own code."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import LacunaError
from engine.manifest import Manifest
from engine.sequence import IntArray
from engine.text import Text
from export import corpus

_OWN = ("export", "engine")
_SEQUENCES = 32  # at most
_BYTES_PER_ROW = 8  # read of a file; more than rows hold of code


@dataclass(frozen=True)
class HeldOut:
    """`sequences` are rows of token ids: marks, then `tokens[i]` tokens of text, which are `bytes` UTF-8 bytes all together."""

    source: str
    sequences: tuple[IntArray, ...]
    tokens: tuple[int, ...]
    bytes: int


def held_out(folder: Path, manifest: Manifest, corpus_folder: Path | None) -> HeldOut:
    """The same stretches of text at every call, each as long as the model's window. Raises LacunaError for a damaged corpus."""
    text, specials = Text(folder, manifest), manifest.special_ids
    source = "Lacuna's own code" if corpus_folder is None else f"held-out files of {corpus_folder}"
    sequences, counts, size = [], [], 0
    for piece, at_start in _own() if corpus_folder is None else _drawn(corpus_folder, manifest.window):
        marks = [specials.bos, *([specials.sof] if at_start else [])]
        tokens = text.encode(piece[: _BYTES_PER_ROW * manifest.window])[: manifest.window - len(marks)]
        if tokens:
            sequences.append(np.array([*marks, *tokens], dtype=np.int64))
            counts.append(len(tokens))
            size += len(text.decode(tokens).encode())
    if not sequences:
        raise LacunaError(f"{source} hold no text to measure on; name another corpus")
    return HeldOut(source, tuple(sequences), tuple(counts), size)


def _own() -> Iterator[tuple[str, bool]]:
    files = [file for package in _OWN for file in sorted((Path(__file__).parents[1] / package).glob("*.py"))]
    for file in files[:_SEQUENCES]:
        yield file.read_text(encoding="utf-8"), True


def _drawn(folder: Path, rows: int) -> Iterator[tuple[str, bool]]:
    """Stretches of files, long ones more often."""
    split = corpus.load(folder, "held_out")
    ends, rng = np.cumsum(split.sizes), random.Random("precisions")
    for _ in range(_SEQUENCES):
        text = split[int(np.searchsorted(ends, rng.randrange(int(ends[-1])), side="right"))].text
        start = max(0, rng.randrange(-rows, len(text)))  # some begin where their file does
        yield text[start:], start == 0
