"""From a Hugging Face XLNet folder to a model folder: above all for the checkpoints of the paper, which are XLNet's.

Guo & Ermon, arXiv 2504.20456: visible tokens see each other, hole tokens what precedes them in sigma. These models know no end of a hole:
the manifest says that lengths are to be compared.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from engine.errors import LacunaError
from engine.manifest import FORMAT_VERSION, MANIFEST, TWO_STREAM, FileEntry, Manifest, sha256_of
from engine.sequence import NO_MARK, SpecialIds
from export.graph_file import write_graph
from export.onnx_graph import EXACT, GRAPHS, TOLERANCE, made_with, refuse_foreign
from export.train import TOKENIZER
from export.xlnet_checkpoint import load_weights, weights_file
from export.xlnet_config import CONFIG, XlnetConfig, load_config
from export.xlnet_graph import FloatArray, distances, xlnet_to_onnx
from export.xlnet_model import XlnetReference
from export.xlnet_tokenizer import XlnetTokenizer, load_tokenizer, tokenizer_file

# Of keys and values, relative to the largest of their tensor or 1. Twelve layers that normalise behind each block make rounding grow
# to 2e-5 with random weights; a wrong graph is off by thousands of that.
CACHE_TOLERANCE = 1e-4
WINDOW = 512  # tokens that XLNet and the paper's checkpoints were trained on
_MAX_HOLES = 8
# (B, C, S, P): no past, one row, one slot, batches, longer pasts.
_CHECKED_SHAPES = ((1, 1, 1, 0), (1, 7, 1, 0), (2, 5, 3, 4), (1, 40, 9, 0), (1, 1, 1, 17), (1, 3, 12, 60), (1, 60, 2, 60))
_MEGABYTE = 1e6
# Of a window's keys and values a fill keeps the prompt's and those of each alternative; passes need room of their own.
_FILLED_CONTEXTS = 4
_BESIDE = 300e6  # Python, its libraries, the tokenizer, and what allocators hold back, which differs by 200 MB from run to run


@dataclass(frozen=True)
class Needs:
    """Bytes: on disk for the model folder, of memory to export it, and of memory to fill with it afterwards."""

    disk: int
    export_memory: int
    fill_memory: int


@dataclass(frozen=True)
class ExportedXlnet:
    """A model folder's manifest, and how far ONNX Runtime's logits are from torch's on random passes, absolute."""

    manifest: Manifest
    difference: float


def needs(config: XlnetConfig, window: int = WINDOW) -> Needs:
    """What an export and a fill take, by the sizes of the model; `python -m benchmarks.xlnet_memory` compares that with what they took."""
    weights = 4 * sum(int(np.prod(shape)) for shape in config.shapes().values())
    made_at_load = 4 * config.layers * config.width * (2 * distances(config, window) + 1) + 4 * config.vocabulary * config.width
    # The file, the weights read from it, and these laid out for products; in the end the file is let go.
    load = _BESIDE + 3 * weights + 2 * made_at_load
    caches = 4 * 2 * config.layers * config.width * window
    # Scores of a prompt's pass: for all distances, gathered, with their mask, as probabilities; and their indices.
    scores = 4 * config.heads * window * (2 * distances(config, window) + 1 + 5 * window)
    fill = _BESIDE + 2 * weights + made_at_load + _FILLED_CONTEXTS * caches + scores
    # The weights, the graph and three copies of it while it is checked and written; then the weights and the loaded graph.
    export = 3 * _BESIDE + max(5 * weights, weights + load)
    return Needs(disk=weights, export_memory=round(export), fill_memory=round(max(load, fill)))


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system doesn't say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            lines = dict(line.split(":", 1) for line in stream)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def export_xlnet(
    folder: Path,
    out: Path,
    name: str,
    *,
    tokenizer: Path | None = None,
    code_whitespace: bool = False,
    window: int = WINDOW,
    say: Callable[[str], None] = lambda line: None,
) -> ExportedXlnet:
    """Write the model folder `out` from a Hugging Face folder: `config.json`, weights, tokenizer (or the one at `tokenizer`).

    `say` gets a line before the work begins: what it takes; and one that says which texts don't come back unchanged. Weights and
    arithmetic are float32. Files appear in `out`, the manifest last, only once ONNX Runtime's outputs are within `TOLERANCE` (of logits
    up to 10 in size, in proportion beyond) and `CACHE_TOLERANCE` of torch's. Raises LacunaError otherwise, for input that is no such
    model or changes meanwhile, for too little memory or disk space, and for an `out` that can't be written or is no model.
    """
    refuse_foreign(out)
    config = load_config(folder)
    path, pieces = weights_file(folder), tokenizer_file(tokenizer or folder)
    before = _stamps(folder / CONFIG, path, pieces)
    needed = needs(config, window)
    say(
        f"needs {needed.export_memory / _MEGABYTE:,.0f} MB of memory and {needed.disk / _MEGABYTE:,.0f} MB on disk now, "
        f"and about {needed.fill_memory / _MEGABYTE:,.0f} MB of memory to fill a window of {window} tokens"
    )
    _refuse_short(needed, out)
    words = load_tokenizer(pieces, config.vocabulary, code_whitespace=code_whitespace)
    say(f"warning: not every text survives this model's tokenizer: {words.changes}")
    weights = load_weights(path, config)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside_name:
            beside = Path(beside_name)
            (beside / TOKENIZER).write_text(words.json, encoding="utf-8")
            graph = write_graph(xlnet_to_onnx(config, weights, window), beside / GRAPHS[EXACT])
            difference = largest_difference(beside / graph.file, XlnetReference(config, weights), window)
            if _stamps(folder / CONFIG, path, pieces) != before:
                raise LacunaError(f"{folder} was changed while it was exported, so {out} was not written; export it again")
            tokens = FileEntry(TOKENIZER, sha256_of(beside / TOKENIZER))
            manifest = _manifest(name, config, window, words, tokens, graph)
            # For people: what to count on, and what it was made of.
            manifest = replace(
                manifest, evaluation={"fill_memory_mb": round(needed.fill_memory / _MEGABYTE)}, made_with=made_with(sha256_of(path))
            )
            (beside / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
            out.mkdir(exist_ok=True)
            kept = [each.file for each in manifest.files]
            for file in (*kept, MANIFEST):
                (beside / file).replace(out / file)
            for file in GRAPHS.values():  # of an earlier export, which the manifest no longer names
                for stale in {file, f"{file}.data"}.difference(kept):
                    (out / stale).unlink(missing_ok=True)
    except OSError as error:
        raise LacunaError(f"{out} can't be written ({error.strerror}); name another folder or make room") from None
    return ExportedXlnet(manifest, difference)


def _manifest(name: str, config: XlnetConfig, window: int, words: XlnetTokenizer, tokens: FileEntry, graph: FileEntry) -> Manifest:
    return Manifest(
        format_version=FORMAT_VERSION,
        name=name,
        architecture=TWO_STREAM,
        parameters=sum(int(np.prod(shape)) for shape in config.shapes().values()),
        vocabulary=config.vocabulary,
        special_ids=SpecialIds(NO_MARK, NO_MARK, NO_MARK, NO_MARK, NO_MARK),
        longest_position=window,
        window=window,
        max_holes=_MAX_HOLES,
        layers=config.layers,
        heads=config.heads,
        head_size=config.head_size,
        prompt_visibility="bidirectional",
        prompt_order="prefix-first",
        tokenizer=tokens,
        graphs={EXACT: graph},
        draft_head=None,
        corpus={},
        evaluation={},
        barred=words.barred,
        tokenization="sentencepiece",
        text_changes=words.changes,
        hole_lengths="compared",
    )


def _stamps(*paths: Path) -> list[tuple[int, int, int] | None]:
    """What tells a file from another one that took its place; None: it is gone."""
    states = [os.stat(path) if path.exists() else None for path in paths]
    return [state and (state.st_ino, state.st_size, state.st_mtime_ns) for state in states]


def _refuse_short(needed: Needs, out: Path) -> None:
    memory = available_memory()
    if memory is not None and memory < needed.export_memory:
        raise LacunaError(
            f"the export needs {needed.export_memory / _MEGABYTE:,.0f} MB of memory, but {memory / _MEGABYTE:,.0f} MB are free; "
            "close other programs or use another machine"
        )
    place = next(parent for parent in (out, *out.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed.disk:
        raise LacunaError(f"{out} needs {needed.disk / _MEGABYTE:,.0f} MB, but {free / _MEGABYTE:,.0f} MB are free there; make room first")


def read_reference(folder: Path) -> XlnetReference:
    """The torch model of a Hugging Face folder. Raises LacunaError for one that `export_xlnet` would refuse."""
    config = load_config(folder)
    return XlnetReference(config, load_weights(weights_file(folder), config))


def largest_difference(graph: Path, reference: XlnetReference, longest: int) -> float:
    """The largest between logits of the graph in ONNX Runtime and of torch, on random passes. Raises LacunaError where it is too large."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(20250423)
    worst = [0.0]
    for shape in _CHECKED_SHAPES:
        given = random_pass(reference.config, shape, longest, rng)
        ours: Sequence[FloatArray] = session.run(None, given)
        theirs = [output.numpy() for output in reference_outputs(reference, given)]
        apart = [float(np.abs(one - other).max()) for one, other in zip(ours, theirs, strict=True)]
        sizes = [float(np.abs(other).max()) for other in theirs]
        limits = [*(TOLERANCE * max(1.0, size / 10) for size in sizes[:2]), *(CACHE_TOLERANCE * max(1.0, size) for size in sizes[2:])]
        for what, distance, limit in zip(("logits", "states", *["keys and values"] * (len(apart) - 2)), apart, limits, strict=True):
            if not distance <= limit:  # NaN too
                raise LacunaError(
                    f"ONNX Runtime's {what} differ from torch's by {distance:.2g} (at most {limit:.2g}); "
                    "try other versions of torch or onnxruntime"
                )
        worst.append(apart[0])
    return max(worst)


def reference_outputs(reference: XlnetReference, given: Mapping[str, NDArray[np.generic]]) -> list[torch.Tensor]:
    """What torch makes of a graph's inputs."""
    names = ("content_ids", "content_positions", "content_visibility", "slot_targets", "slot_visibility", "past_positions")
    past = [torch.from_numpy(given[f"past_{index}"]) for index in range(2 * reference.config.layers)]
    ids, positions, visibility, targets, slot_visibility, past_positions = (torch.from_numpy(given[name]) for name in names)
    return reference.forward(ids, positions, visibility, targets, slot_visibility, past_positions, past)


def random_pass(
    config: XlnetConfig, shape: tuple[int, int, int, int], longest: int, rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    """Inputs of one pass of the given (B, C, S, P), with masks at random in which each content row sees itself and each slot some row."""
    batch, content, slots, past = shape
    seen = rng.random((batch, content, past + content)) < 0.5
    seen[:, np.arange(content), past + np.arange(content)] = True
    asked = rng.random((batch, slots, past + content)) < 0.5
    asked[:, :, -1] = True
    return {
        "content_ids": rng.integers(0, config.vocabulary, (batch, content)),
        "content_positions": rng.integers(0, longest, (batch, content)),
        "content_visibility": seen,
        "slot_sources": np.zeros((batch, slots), dtype=np.int64),
        "slot_targets": rng.integers(0, longest, (batch, slots)),
        "slot_visibility": asked,
        "past_positions": rng.integers(0, longest, (batch, past)),
        **dict(_random_caches(config, batch, past, rng)),
    }


def _random_caches(config: XlnetConfig, batch: int, past: int, rng: np.random.Generator) -> Iterator[tuple[str, FloatArray]]:
    for index in range(2 * config.layers):
        yield f"past_{index}", rng.normal(size=(batch, config.heads, past, config.head_size)).astype(np.float32)
