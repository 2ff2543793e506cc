"""A model folder's graphs side by side: size, agreement with the float32 one, and time per pass."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.manifest import load_manifest
from engine.model import Rows
from engine.onnx_model import OnnxModel, OnnxState
from engine.sampling import log_softmax
from engine.sequence import IntArray
from engine.text import Text

REFERENCE = "float32"
_SEQUENCES = 16  # of random tokens, and as many of code
_ROUNDS, _WARMUP = 20, 3
# (content rows, slot rows, rows already kept)
TIMED_PASSES = {"1 + 1 over 512": (1, 1, 512), "8 + 16 over 512": (8, 16, 512), "prefill 512": (512, 1, 0)}


@dataclass(frozen=True)
class Agreement:
    """Against the float32 graph on the same rows: largest and mean logit difference, share of rows with the same likeliest
    token, and the mean divergence (nats a row) of the distribution from that of float32."""

    rows: int
    largest: float
    mean: float
    same_top: float
    divergence: float


@dataclass(frozen=True)
class Graph:
    """One precision's figures. `pass_ms` has the median milliseconds of each of `TIMED_PASSES`."""

    precision: str
    megabytes: float
    random: Agreement
    code: Agreement
    pass_ms: Mapping[str, float]


def compare_precisions(folder: Path) -> list[Graph]:
    """All graphs of a model folder, float32 first; times in turns. The code is Lacuna's own. Raises ModelError for a broken
    folder and for one without a float32 graph."""
    manifest = load_manifest(folder)
    if REFERENCE not in manifest.graphs:
        raise ModelError(f"{folder} has no {REFERENCE} graph to compare with, only {', '.join(manifest.graphs)}; export the model again")
    names = [REFERENCE, *(name for name in manifest.graphs if name != REFERENCE)]
    models = {name: OnnxModel(folder, manifest, name) for name in names}
    rng = np.random.default_rng(0)
    special = max(vars(manifest.special_ids).values()) + 1
    random = [rng.integers(special, manifest.vocabulary, manifest.window) for _ in range(_SEQUENCES)]
    code = _code(Text(folder, manifest), manifest.special_ids.bos, manifest.window)
    times = _pass_times(models, rng)
    return [
        Graph(
            precision=name,
            megabytes=(folder / manifest.graphs[name].file).stat().st_size / 1e6,
            random=_agreement(models[name], models[REFERENCE], random),
            code=_agreement(models[name], models[REFERENCE], code),
            pass_ms=times[name],
        )
        for name in names
    ]


def as_table(graphs: list[Graph]) -> str:
    """One line a figure, one column a graph."""
    lines = [("", [graph.precision for graph in graphs]), ("file, MB", [f"{graph.megabytes:.1f}" for graph in graphs])]
    for title in ("random", "code"):
        agreements: list[Agreement] = [getattr(graph, title) for graph in graphs]
        lines += [
            (f"largest logit difference, {title} rows", [f"{agreement.largest:.3f}" for agreement in agreements]),
            ("  mean", [f"{agreement.mean:.4f}" for agreement in agreements]),
            ("  same likeliest token", [f"{agreement.same_top:.1%}" for agreement in agreements]),
            ("  divergence, nats a row", [f"{agreement.divergence:.4f}" for agreement in agreements]),
        ]
    lines += [(f"{name}, ms", [f"{graph.pass_ms[name]:.2f}" for graph in graphs]) for name in TIMED_PASSES]
    return "\n".join(f"{label:<42}" + "".join(f"{cell:>12}" for cell in cells) for label, cells in lines)


def _code(text: Text, bos: int, rows: int) -> list[IntArray]:
    """Sequences `[rows]` from the beginnings of this package's own files."""
    found: list[IntArray] = []
    for file in sorted(Path(__file__).parent.glob("*.py")):
        tokens = text.encode(file.read_text(encoding="utf-8"))[: rows - 1]
        found.append(np.array([bos, *tokens], dtype=np.int64))
    return found[:_SEQUENCES]


def _agreement(model: OnnxModel, reference: OnnxModel, sequences: list[IntArray]) -> Agreement:
    differences, same, divergences = [], [], []
    for ids in sequences:
        ours, theirs = _logits(model, ids), _logits(reference, ids)
        differences.append(np.abs(ours - theirs))
        same.append(ours.argmax(axis=-1) == theirs.argmax(axis=-1))
        wanted = log_softmax(theirs)
        divergences.append((np.exp(wanted) * (wanted - log_softmax(ours))).sum(axis=-1))
    tops, all_differences = np.concatenate(same), np.concatenate(differences)
    return Agreement(
        rows=len(tops),
        largest=float(all_differences.max()),
        mean=float(all_differences.mean()),
        same_top=float(tops.mean()),
        divergence=float(np.concatenate(divergences).mean()),
    )


def _logits(model: OnnxModel, ids: IntArray) -> NDArray[np.float32]:
    """Logits `[R, N]` of each row's successor, by one pass over the rows `[R]` from left to right; N tokens may stand in a hole."""
    rows = np.arange(len(ids))[None]
    logits = model.open().run(
        Rows(ids=ids[None], positions=rows, counts=np.array([len(ids)]), sources=rows, targets=rows + 1, sees=rows + 1)
    )
    allowed: NDArray[np.float32] = np.delete(logits[0], model.never, axis=-1)
    return allowed


def _pass_times(models: Mapping[str, OnnxModel], rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Median milliseconds of each timed pass on each model, which take turns."""
    medians: dict[str, dict[str, float]] = {name: {} for name in models}
    for title, (content, slots, past) in TIMED_PASSES.items():
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
            medians[name][title] = float(np.median(taken[name][_WARMUP:]))
    return medians


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
