"""A model folder's graphs side by side: size, agreement with the float32 one, bits per byte on held-out text, and time per pass."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from engine.errors import ModelError
from engine.manifest import load_manifest
from engine.model import FloatArray, Model, Rows
from engine.onnx_model import OnnxModel, OnnxState
from engine.sampling import log_softmax
from engine.sequence import IntArray
from export.held_out import HeldOut, held_out

REFERENCE = "float32"
MOST_LOSS = 0.01  # of bits per byte: what the fastest precision may lose against float32
_ROUNDS, _WARMUP = 30, 3
# (content rows, slot rows, rows already kept)
TIMED_PASSES = {"1 + 1 over 512": (1, 1, 512), "8 + 16 over 512": (8, 16, 512), "prefill 512": (512, 1, 0)}
DECODING = "8 + 16 over 512"  # what "fastest" is judged by: its fastest run, as other programs only ever add time


@dataclass(frozen=True)
class Graph:
    """One precision's figures.

    Against the float32 graph on the same rows: the largest and the mean `logit_difference`, the share of rows with the `same_top`
    token, and the mean `divergence` (nats a row) of the distribution. `bits_per_byte` of the text, and by which share of
    float32's that is more (`loss`). `pass_ms` has the median milliseconds of each of `TIMED_PASSES`, `decoding_ms` the fewest
    of `DECODING`.
    """

    precision: str
    megabytes: float
    largest_logit_difference: float
    mean_logit_difference: float
    same_top: float
    divergence: float
    bits_per_byte: float
    loss: float
    pass_ms: Mapping[str, float]
    decoding_ms: float


@dataclass(frozen=True)
class Report:
    """All graphs of a model, float32 first, measured on so many rows of the text."""

    model: str
    text: str
    text_bytes: int
    rows: int
    graphs: tuple[Graph, ...]

    def fastest(self) -> Graph:
        """The one whose pass of decoding was fastest, of those that lose at most `MOST_LOSS`; float32 always does."""
        near = [graph for graph in self.graphs if graph.loss <= MOST_LOSS]
        return min(near, key=lambda graph: graph.decoding_ms)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def as_table(self) -> str:
        """One line a figure, one column a graph."""
        graphs = self.graphs
        lines = [
            ("", [graph.precision for graph in graphs]),
            ("file, MB", [f"{graph.megabytes:.1f}" for graph in graphs]),
            ("largest logit difference from float32", [f"{graph.largest_logit_difference:.3g}" for graph in graphs]),
            ("  mean", [f"{graph.mean_logit_difference:.3g}" for graph in graphs]),
            ("same likeliest token", [f"{graph.same_top:.1%}" for graph in graphs]),
            ("divergence, nats a row", [f"{graph.divergence:.2g}" for graph in graphs]),
            ("bits per byte", [f"{graph.bits_per_byte:.4f}" for graph in graphs]),
            ("  more than float32", [f"{graph.loss:+.2%}" for graph in graphs]),
            *((f"{name}, ms", [f"{graph.pass_ms[name]:.2f}" for graph in graphs]) for name in TIMED_PASSES),
            (f"{DECODING}, fastest run, ms", [f"{graph.decoding_ms:.2f}" for graph in graphs]),
        ]
        head = (
            f"measured on {self.text}, {self.rows:,} rows and {self.text_bytes:,} bytes; passes: content + slot rows, median of {_ROUNDS}"
        )
        return "\n".join([head, *(f"{label:<42}" + "".join(f"{cell:>12}" for cell in cells) for label, cells in lines)])


def compare_precisions(folder: Path, corpus: Path | None = None) -> Report:
    """All graphs of a model folder; times in turns. The text is the corpus's held-out files, or Lacuna's own code. Raises ModelError
    for a broken folder and for one without a float32 graph, and LacunaError for a damaged corpus."""
    manifest = load_manifest(folder)
    if REFERENCE not in manifest.graphs:
        raise ModelError(f"{folder} has no {REFERENCE} graph to compare with, only {', '.join(manifest.graphs)}; export the model again")
    names = [REFERENCE, *(name for name in manifest.graphs if name != REFERENCE)]
    models = {name: OnnxModel(folder, manifest, name) for name in names}
    text = held_out(folder, manifest, corpus)
    tallies = {name: _Tally() for name in names}
    for ids, tokens in tqdm(list(zip(text.sequences, text.tokens, strict=True)), "held-out text", unit="text", leave=False, delay=1):
        exact = _logits(models[REFERENCE], ids)
        for name, tally in tallies.items():
            tally.add(exact if name == REFERENCE else _logits(models[name], ids), exact, ids, tokens)
    times = _pass_times(models, np.random.default_rng(0))
    sizes = {name: sum((folder / entry.file).stat().st_size for entry in manifest.graphs[name].files) for name in names}
    graphs = [tallies[name].graph(name, sizes[name], text, tallies[REFERENCE].bits, times[name]) for name in names]
    return Report(manifest.name, text.source, text.bytes, tallies[REFERENCE].rows, tuple(graphs))


class _Tally:
    """One graph's logits beside float32's, text by text."""

    def __init__(self) -> None:
        self.rows = self.same = 0
        self.largest = self.absolute = self.divergence = self.bits = 0.0
        self.logits = 0

    def add(self, logits: NDArray[np.float32], exact: NDArray[np.float32], ids: IntArray, tokens: int) -> None:
        """Logits `[R, V]` of the rows that ask for `ids[1:]` and one more; the last `tokens` of `ids` are text."""
        allowed = np.isfinite(exact)
        differences = np.abs(logits[allowed] - exact[allowed])
        self.largest = max(self.largest, float(differences.max()))
        self.absolute += float(differences.sum(dtype=np.float64))
        self.logits += differences.size
        self.same += int((logits.argmax(axis=-1) == exact.argmax(axis=-1)).sum())
        self.rows += len(logits)
        given, wanted = log_softmax(logits), log_softmax(exact)
        likely = wanted > -np.inf
        self.divergence += float((np.exp(wanted[likely]) * (wanted[likely] - given[likely])).sum())
        asked = np.arange(len(ids) - tokens, len(ids))
        self.bits -= float(given[asked - 1, ids[asked]].sum()) / math.log(2)

    def graph(self, name: str, size: int, text: HeldOut, exact_bits: float, taken: Mapping[str, Sequence[float]]) -> Graph:
        return Graph(
            precision=name,
            megabytes=size / 1e6,
            largest_logit_difference=self.largest,
            mean_logit_difference=self.absolute / self.logits,
            same_top=self.same / self.rows,
            divergence=self.divergence / self.rows,
            bits_per_byte=self.bits / text.bytes,
            loss=self.bits / exact_bits - 1,
            pass_ms={title: float(np.median(milliseconds)) for title, milliseconds in taken.items()},
            decoding_ms=min(taken[DECODING]),
        )


def _logits(model: Model, ids: IntArray) -> FloatArray:
    """Logits `[R, V]` of each row's successor, by one pass over the rows `[R]` from left to right; -inf for what never stands in a hole."""
    rows = np.arange(len(ids))[None]
    asked = Rows(ids=ids[None], positions=rows, counts=np.array([len(ids)]), sources=rows, targets=rows + 1, sees=rows + 1)
    logits: FloatArray = model.open().run(asked)[0]
    return logits


def _pass_times(models: Mapping[str, OnnxModel], rng: np.random.Generator) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each timed pass on each model, which take turns."""
    found: dict[str, dict[str, list[float]]] = {name: {} for name in models}
    for title, (content, slots, past) in tqdm(TIMED_PASSES.items(), "passes timed", unit="pass", leave=False, delay=1):
        states = {name: _with_past(model, past, rng) for name, model in models.items()}
        vocabulary = next(iter(models.values())).manifest.vocabulary
        rows = _rows(content, slots, past, vocabulary, rng)
        taken: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(_WARMUP + _ROUNDS):
            for name, state in states.items():
                start = time.perf_counter()
                state.run(rows)
                taken[name].append(1000 * (time.perf_counter() - start))
        for name in models:
            found[name][title] = taken[name][_WARMUP:]
    return found


def _with_past(model: OnnxModel, past: int, rng: np.random.Generator) -> OnnxState:
    state = model.open()
    if past:
        state.run(_rows(past, 1, 0, model.manifest.vocabulary, rng))
        state.keep(np.array([past]))
    return state


def _rows(content: int, slots: int, past: int, vocabulary: int, rng: np.random.Generator) -> Rows:
    """A pass of random tokens; its slot rows ask one position further each, from the last rows."""
    targets = past + content + np.arange(slots)
    sources = content - 1 - np.arange(slots)[::-1].clip(max=content - 1)
    return Rows(
        ids=rng.integers(0, vocabulary, (1, content)),
        positions=past + np.arange(content)[None],
        counts=np.array([content]),
        sources=sources[None],
        targets=targets[None],
        sees=sources[None] + 1,
    )
