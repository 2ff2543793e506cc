"""What a model is worth on held-out code: against a 5-gram on the left context, and against itself without the suffix."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from engine.errors import LacunaError, ModelError
from engine.manifest import Manifest, checked_file, load_manifest
from engine.model import Rows
from engine.onnx_model import OnnxModel
from engine.sampling import log_softmax
from engine.sequence import IntArray, mask, teacher_forced
from export import corpus, ngram
from export.corpus import SourceFile
from export.examples import Windows
from export.holes import draw_budget, make_holes

FloatArray = NDArray[np.float64]

ORDER = 5
_RESAMPLES = 2000
_FILES_AT_ONCE = 256


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds between which it lies with 95% confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Comparison:
    """Bits per byte of the model and of its rival on the same text, and by how many the model is better."""

    model: Interval
    rival: Interval
    gain: Interval


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures, lower is better; intervals by a bootstrap over windows, those of `gain` over paired windows.

    `left`: whole windows, left context only; the rival is the n-gram model of `order`. `holes`: the first hole of each
    window, end mark included, both sides visible; the rival is the model with only the text before the hole visible.
    `hole_texts`: the same without the end marks' bits.
    """

    model: str
    windows: int
    seed: int
    order: int
    ngram_tokens: int
    left_bytes: int
    hole_bytes: int
    left: Comparison
    holes: Comparison
    hole_texts: Comparison

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_table(self) -> str:
        rows = [
            ("left context only, the model", self.left.model),
            (f"left context only, {self.order}-gram", self.left.rival),
            ("  the model is better by", self.left.gain),
            ("first holes, both sides visible", self.holes.model),
            ("first holes, only what precedes them", self.holes.rival),
            ("  the suffix is worth", self.holes.gain),
            ("without end marks, both sides visible", self.hole_texts.model),
            ("without end marks, only what precedes", self.hole_texts.rival),
            ("  the suffix is worth", self.hole_texts.gain),
        ]
        head = (
            f"{self.model} on {self.windows} held-out windows (seed {self.seed}), bits per byte [95% interval]; "
            f"{self.left_bytes:,} bytes of text, {self.hole_bytes:,} in holes; the {self.order}-gram saw {self.ngram_tokens:,} tokens"
        )
        return "\n".join([head, *(f"{label:<40}{interval}" for label, interval in rows)])


@dataclass(frozen=True)
class _Scored:
    """Bits of one window: left context only by both models, then its first hole as (text, end mark) with and without suffix."""

    left_bytes: int
    left_model: float
    left_ngram: float
    hole_bytes: int
    both_sides: tuple[float, float]
    prefix_only: tuple[float, float]


def evaluate(corpus_folder: Path, model_folder: Path, windows: int = 200, seed: int = 0, train_bytes: int | None = None) -> Evaluation:
    """Compare on `windows` held-out windows drawn by `seed`; the n-gram model counts the training split.

    `train_bytes` limits what it counts to about that much of the split, drawn file by file. Raises LacunaError for a
    number of windows below 2 or of bytes below 1, a damaged corpus, a broken model folder, and a model without `<eoh>`.
    """
    if windows < 2:
        raise LacunaError(f"an evaluation needs at least 2 windows, not {windows}")
    if train_bytes is not None and train_bytes < 1:
        raise LacunaError(f"the n-gram model needs at least 1 byte of training text, not {train_bytes}")
    manifest = load_manifest(model_folder)
    if manifest.hole_lengths != "marked":
        raise LacunaError(f"{model_folder} has no mark for the end of a hole, on which these figures rest, so it can't be measured here")
    tokenizer = _tokenizer(model_folder, manifest)
    model = OnnxModel(model_folder, manifest)
    held_out = Windows(corpus.load(corpus_folder, "held_out"), tokenizer, manifest.window, seed)
    tokens = _training_tokens(_part(corpus.load(corpus_folder, "train"), train_bytes), tokenizer, manifest.special_ids.sof)
    rival = ngram.train(tokens, ORDER, manifest.vocabulary, manifest.special_ids.sof)
    rngs = [random.Random(f"evaluation/{seed}/{index}") for index in range(windows)]
    scored = [_score(model, rival, held_out, rng) for rng in tqdm(rngs, desc="windows", unit="window")]
    left_bytes = np.array([window.left_bytes for window in scored], dtype=np.float64)
    hole_bytes = np.array([window.hole_bytes for window in scored], dtype=np.float64)
    if not hole_bytes.any():
        raise LacunaError(f"all first holes of these {windows} windows are empty; ask for more windows")
    both = np.array([window.both_sides for window in scored])
    prefix = np.array([window.prefix_only for window in scored])
    left = np.array([(window.left_model, window.left_ngram) for window in scored])
    return Evaluation(
        model=manifest.name,
        windows=windows,
        seed=seed,
        order=ORDER,
        ngram_tokens=int((tokens != manifest.special_ids.sof).sum()),
        left_bytes=int(left_bytes.sum()),
        hole_bytes=int(hole_bytes.sum()),
        left=compare(left[:, 0], left[:, 1], left_bytes),
        holes=compare(both.sum(axis=1), prefix.sum(axis=1), hole_bytes),
        hole_texts=compare(both[:, 0], prefix[:, 0], hole_bytes),
    )


def compare(model: FloatArray, rival: FloatArray, sizes: FloatArray) -> Comparison:
    """Bits `[W]` of two models over the windows' bytes `[W]`; the percentile bootstrap keeps each window together."""
    picks = np.random.default_rng(0).integers(0, len(sizes), size=(_RESAMPLES, len(sizes)))
    picked = sizes[picks].sum(axis=1)
    picks, picked = picks[picked > 0], picked[picked > 0]

    def interval(bits: FloatArray) -> Interval:
        low, high = np.percentile(bits[picks].sum(axis=1) / picked, [2.5, 97.5])
        return Interval(float(bits.sum() / sizes.sum()), float(low), float(high))

    return Comparison(interval(model), interval(rival), interval(rival - model))


def _tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    path = checked_file(folder, manifest.tokenizer)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{path} is not a tokenizer ({error}); export the model again") from None
    if tokenizer.get_vocab_size() != manifest.vocabulary:
        raise ModelError(
            f"{path} has {tokenizer.get_vocab_size()} entries, its manifest says {manifest.vocabulary}; export the model again"
        )
    tokenizer.encode_special_tokens = True
    return tokenizer


def _part(files: Sequence[SourceFile], most: int | None) -> list[SourceFile]:
    chosen = list(files)
    if most is None:
        return chosen
    random.Random(0).shuffle(chosen)
    part: list[SourceFile] = []
    for file in chosen:
        if most <= 0:
            break
        part.append(file)
        most -= len(file.text.encode())
    return part


def _training_tokens(files: Sequence[SourceFile], tokenizer: Tokenizer, mark: int) -> IntArray:
    """All files' tokens, each file begun by `mark`."""
    parts: list[NDArray[np.int32]] = []
    for start in tqdm(range(0, len(files), _FILES_AT_ONCE), desc="training text", unit_scale=_FILES_AT_ONCE, unit="file"):
        batch = [file.text for file in files[start : start + _FILES_AT_ONCE]]
        parts.extend(np.array([mark, *encoding.ids], dtype=np.int32) for encoding in tokenizer.encode_batch_fast(batch))
    return np.concatenate(parts).astype(np.int64)


def _score(model: OnnxModel, rival: ngram.NGram, held_out: Windows, rng: random.Random) -> _Scored:
    window = held_out.window(rng, held_out.rows)
    specials, tokenizer = model.manifest.special_ids, held_out.tokenizer
    start = [specials.sof] if window.at_start else []
    tokens = tokenizer.encode(window.text).ids
    ids = np.array([specials.bos, *start, *tokens], dtype=np.int64)
    left_model = _logprobs(model, ids, np.arange(len(ids)), len(tokens))
    left_ngram = rival.logprobs(ids[1:])[len(start) :]
    holed = make_holes(window.text, rng)
    pieces = [encoding.ids for encoding in tokenizer.encode_batch(list(holed.pieces))]
    holes = [[*encoding.ids, specials.eoh] for encoding in tokenizer.encode_batch(list(holed.holes))]
    budgets = [draw_budget(len(hole), rng) for hole in holes]
    unfilled: list[list[int]] = [[] for _ in holes[1:]]
    both = mask(pieces, budgets, specials, at_start=window.at_start, at_end=window.at_end, order="suffix-first")
    prefix = mask([pieces[0], []], budgets[:1], specials, at_start=window.at_start, at_end=False)
    both_sides = _logprobs(model, *teacher_forced(both, [holes[0], *unfilled]), len(holes[0]))
    prefix_only = _logprobs(model, *teacher_forced(prefix, holes[:1]), len(holes[0]))
    return _Scored(
        left_bytes=len(window.text.encode()),
        left_model=_bits(left_model),
        left_ngram=_bits(left_ngram),
        hole_bytes=len(holed.holes[0].encode()),
        both_sides=(_bits(both_sides[:-1]), _bits(both_sides[-1:])),
        prefix_only=(_bits(prefix_only[:-1]), _bits(prefix_only[-1:])),
    )


def _logprobs(model: OnnxModel, ids: IntArray, positions: IntArray, count: int) -> FloatArray:
    """Natural-log probabilities of the last `count` rows, each given all rows before it, by one pass."""
    content = len(ids) - 1
    sources = np.arange(content - count, content, dtype=np.int64)[None]
    logits = model.open().run(
        Rows(
            ids=ids[None, :content],
            positions=positions[None, :content],
            counts=np.array([content]),
            sources=sources,
            targets=positions[None, content + 1 - count :],
            sees=sources + 1,
        )
    )
    logprobs: FloatArray = log_softmax(logits[0])[np.arange(count), ids[content + 1 - count :]]
    return logprobs


def _bits(logprobs: FloatArray) -> float:
    return -math.fsum(logprobs) / math.log(2)
