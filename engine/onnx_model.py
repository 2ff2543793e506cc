"""An AS-ARM as an ONNX graph, run by ONNX Runtime with a key/value cache that is written in place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.finite import refuse_broken
from engine.manifest import Manifest, checked_file
from engine.model import Rows
from engine.onnx_draft_head import OnnxDraftHead, load_draft_head
from engine.runtime import available_cores
from engine.sequence import IntArray

_BLOCK = 64  # cache capacity grows by this many rows, so that it is rarely copied and never much too long

# The pass by which threads are chosen: rows of either kind, over so many kept ones, and how often it is timed.
_TRIED_ROWS, _TRIED_PAST, _TRIALS = 6, 256, 4
# A pass is some 40 products and as many hand-overs between threads, which cost it about a millisecond: one of fewer seconds
# than this is not worth loading the graph again to see.
_WORTH_SHARING = 4e-3
_CLEARLY_LESS = 0.9

CacheArray = NDArray[np.floating[Any]]


class OnnxModel:
    """Loads one precision of a model folder, to run on so many threads; 0: on one, or on all cores where decoding passes are
    seen to be clearly faster so. Raises ModelError when the graph breaks the manifest's promises."""

    def __init__(self, folder: Path, manifest: Manifest, precision: str = "float32", threads: int = 0) -> None:
        if precision not in manifest.graphs:
            raise ModelError(f"{folder} has no {precision} graph, only {', '.join(manifest.graphs)}; choose one of these")
        path = checked_file(folder, manifest.graphs[precision])
        self.session = _session(path, threads or 1)
        self.path = path
        self.manifest = manifest
        caches = 2 * (manifest.layers + 1)
        self.past_names = [f"past_{index}" for index in range(caches)]
        self._check(path)
        past = next(entry for entry in self.session.get_inputs() if entry.name == "past_0")
        self.cache_type = np.dtype(np.float16 if past.type == "tensor(float16)" else np.float32)
        specials = manifest.special_ids
        self.never = [specials.pad, specials.bos, specials.sof, specials.eof]
        self.draft_head: OnnxDraftHead | None = load_draft_head(folder, manifest)
        if threads == 0:
            self._try_all_cores()

    def _check(self, path: Path) -> None:
        manifest = self.manifest
        wanted = [
            "content_ids",
            "content_positions",
            "content_visibility",
            "slot_sources",
            "slot_targets",
            "slot_visibility",
            *self.past_names,
        ]
        given = {entry.name: entry for entry in self.session.get_inputs()}
        if sorted(given) != sorted(wanted):
            raise ModelError(
                f"{path} takes other inputs than its manifest promises ({', '.join(sorted(set(wanted) ^ set(given)))}); "
                "export the model again"
            )
        found = [entry.name for entry in self.session.get_outputs()]
        if found != ["logits", "states", *(f"new_{index}" for index in range(len(self.past_names)))]:
            raise ModelError(f"{path} gives other outputs than Lacuna reads ({', '.join(found[:3])}, ...); export the model again")
        shape = given["past_0"].shape
        if [shape[1], shape[3]] != [manifest.heads, manifest.head_size]:
            raise ModelError(
                f"{path} has caches of {shape[1]} heads of {shape[3]}, "
                f"its manifest says {manifest.heads} of {manifest.head_size}; export the model again"
            )
        vocabulary = self.session.get_outputs()[0].shape[2]
        if vocabulary != manifest.vocabulary:
            raise ModelError(f"{path} has a vocabulary of {vocabulary}, its manifest says {manifest.vocabulary}; export the model again")

    @property
    def eoh(self) -> int:
        return self.manifest.special_ids.eoh

    @property
    def provider(self) -> str:
        """The execution provider that came first, such as 'CPUExecutionProvider'."""
        return str(self.session.get_providers()[0])

    def open(self) -> OnnxState:
        return self._opened(0)

    def _opened(self, rows: int) -> OnnxState:
        """One context whose first rows hold zeros."""
        shape = (1, self.manifest.heads, rows, self.manifest.head_size)
        return OnnxState(self, [np.zeros(shape, dtype=self.cache_type) for _ in self.past_names], np.array([rows]))

    def _try_all_cores(self) -> None:
        cores, alone = available_cores(), self._pass_seconds()
        if cores == 1 or alone < _WORTH_SHARING:
            return
        one, self.session = self.session, _session(self.path, cores)
        if self._pass_seconds() > _CLEARLY_LESS * alone:
            self.session = one

    def _pass_seconds(self) -> float:
        """The least time that a decoding pass was seen to take."""
        index = np.arange(_TRIED_ROWS)[None]
        rows = Rows(index * 0, index, np.array([_TRIED_ROWS]), index, index + 1, index + 1)
        inputs, seconds = self._opened(_TRIED_PAST).inputs(rows), []
        for _ in range(_TRIALS):
            start = time.perf_counter()
            self.session.run(None, inputs)
            seconds.append(time.perf_counter() - start)
        return min(seconds)


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Raises ModelError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A spinning pool starves the editor, and collapses when other programs want the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        raise ModelError(
            f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0][:200]}); export the model again"
        ) from None


class OnnxState:
    """Contexts as per-layer caches `[B, H, capacity, D]`, of which the first `lengths[b]` rows are valid.

    The visibility input hides the rest, so a cache is passed whole and never copied between passes.
    """

    def __init__(self, model: OnnxModel, caches: list[CacheArray], lengths: IntArray) -> None:
        self.model = model
        self.caches = caches
        self.lengths = lengths
        self.states: NDArray[np.float32] = np.zeros((len(lengths), 0, 0), dtype=np.float32)
        self._new: list[CacheArray] = []

    def run(self, rows: Rows) -> NDArray[np.float32]:
        logits, self.states, *self._new = self.model.session.run(None, self.inputs(rows))
        refuse_broken(logits, self.model.path)
        logits[..., self.model.never] = -np.inf
        result: NDArray[np.float32] = logits
        return result

    def inputs(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """What the graph is given for a pass over `rows`."""
        batch, content = rows.ids.shape
        capacity = self.caches[0].shape[2]
        past = np.arange(capacity) < self.lengths[:, None]
        index = np.arange(content)
        content_visibility = np.empty((batch, content, capacity + content), dtype=bool)
        content_visibility[:, :, :capacity] = past[:, None]
        content_visibility[:, :, capacity:] = index <= index[:, None]
        slot_visibility = np.empty((batch, rows.targets.shape[1], capacity + content), dtype=bool)
        slot_visibility[:, :, :capacity] = past[:, None]
        slot_visibility[:, :, capacity:] = index < rows.sees[:, :, None]
        return {
            "content_ids": rows.ids,
            "content_positions": rows.positions,
            "content_visibility": content_visibility,
            "slot_sources": rows.sources,
            "slot_targets": rows.targets,
            "slot_visibility": slot_visibility,
            **dict(zip(self.model.past_names, self.caches, strict=True)),
        }

    def keep(self, counts: IntArray) -> None:
        lengths = self.lengths + counts
        needed = int(lengths.max())
        if needed > self.caches[0].shape[2]:
            self._grow(-(-(needed + _BLOCK // 2) // _BLOCK) * _BLOCK)
        for row, (start, end) in enumerate(zip(self.lengths, lengths, strict=True)):
            if end > start:
                for cache, new in zip(self.caches, self._new, strict=True):
                    cache[row, :, start:end] = new[row, :, : end - start]
        self.lengths = lengths
        self._new = []  # a context that is kept for later requests must not hold them a second time

    def _grow(self, capacity: int) -> None:
        grown = []
        for cache in self.caches:
            larger = np.zeros((*cache.shape[:2], capacity, cache.shape[3]), dtype=cache.dtype)
            larger[:, :, : cache.shape[2]] = cache
            grown.append(larger)
        self.caches = grown

    def fork(self, copies: int, rows: int | None = None) -> OnnxState:
        if rows is None:
            return OnnxState(self.model, [np.repeat(cache, copies, axis=0) for cache in self.caches], np.repeat(self.lengths, copies))
        room = -(-rows // _BLOCK) * _BLOCK
        caches = [np.repeat(cache[:, :, :room], copies, axis=0) for cache in self.caches]
        return OnnxState(self.model, caches, np.full(copies, rows))

    def cut(self, rows: int) -> None:
        self.lengths = np.array([rows])

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for cache in self.caches)
