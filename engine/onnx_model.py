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
from engine.laid_rows import LaidRows
from engine.manifest import TWO_STREAM, Manifest, checked_file
from engine.model import Rows
from engine.onnx_draft_head import OnnxDraftHead, load_draft_head
from engine.runtime import available_cores
from engine.sequence import BoolArray, IntArray

_COMMON, _FREE = -1, -2  # owners of rows in a cache that are no context's own
_BLOCK = 64  # cache capacity grows by this many rows, so that it is rarely copied and never much too long

# The pass by which threads are chosen: rows of either kind, over so many kept ones, and how often it is timed.
_TRIED_ROWS, _TRIED_PAST, _TRIALS = 6, 256, 4
# A pass is some 40 products and as many hand-overs between threads, which cost it about a millisecond: one of fewer seconds
# than this is not worth loading the graph again to see.
_WORTH_SHARING = 4e-3
_CLEARLY_LESS = 0.9

CacheArray = NDArray[np.floating[Any]]


class OnnxModel:
    """Loads one precision of a model folder, None being the manifest's first, to run on so many threads; 0: on one, or on all cores
    where decoding passes are seen to be clearly faster so. Raises ModelError when the graph breaks the manifest's promises."""

    def __init__(self, folder: Path, manifest: Manifest, precision: str | None = None, threads: int = 0) -> None:
        precision = precision or manifest.default_precision
        if precision not in manifest.graphs:
            raise ModelError(f"{folder} has no {precision} graph, only {', '.join(manifest.graphs)}; choose one of these")
        path = checked_file(folder, manifest.graphs[precision])
        self.session = _session(path, threads or 1)
        self.path = path
        self.sha256 = manifest.graphs[precision].sha256
        self.manifest = manifest
        self.past_names = [f"past_{index}" for index in range(2 * manifest.cached_layers)]
        # Rotary keys hold their position; relative ones are compared with a query's when it comes.
        self.takes_positions = manifest.architecture == TWO_STREAM
        self._check(path)
        past = next(entry for entry in self.session.get_inputs() if entry.name == "past_0")
        self.cache_type = np.dtype(np.float16 if past.type == "tensor(float16)" else np.float32)
        self.never = manifest.never
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
            *(["past_positions"] if self.takes_positions else []),
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

    @property
    def threads(self) -> int:
        """How many threads a pass runs on."""
        return int(self.session.get_session_options().intra_op_num_threads)

    def open(self) -> OnnxState:
        return self._opened(0)

    def _opened(self, rows: int) -> OnnxState:
        """One context whose first rows hold zeros."""
        shape = (1, self.manifest.heads, rows, self.manifest.head_size)
        return OnnxState(self, [np.zeros(shape, dtype=self.cache_type) for _ in self.past_names], rows)

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
        inputs, seconds = self._opened(_TRIED_PAST).inputs(LaidRows.of(rows)), []
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
    """Contexts that begin with the same rows, in one cache a layer `[1, H, capacity, D]`.

    `owners` `[capacity]` says whose each row is: that of all contexts, of one of them, or free; `positions` `[capacity]` where it
    stands. Visibility is an input of
    the graph, so a pass is one sequence of the real rows of all contexts, each of which sees its own alone: what contexts have in
    common is kept once and read once, and neither padding nor a context that is finished costs anything.
    """

    def __init__(self, model: OnnxModel, caches: list[CacheArray], rows: int, contexts: int = 1) -> None:
        self.model = model
        self.caches = caches
        self.rows = rows
        self.contexts = contexts
        self.owners = np.full(caches[0].shape[2], _FREE)
        self.owners[:rows] = _COMMON
        self.positions = np.zeros_like(self.owners)
        self.states: NDArray[np.float32] = np.zeros((contexts, 0, 0), dtype=np.float32)
        self._new: list[CacheArray] = []
        self._laid: LaidRows | None = None

    def run(self, rows: Rows) -> NDArray[np.float32]:
        self._laid = laid = LaidRows.of(rows)
        logits, states, *self._new = self.model.session.run(None, self.inputs(laid))
        refuse_broken(logits, self.model.path)
        logits[..., self.model.never] = -np.inf
        self.states = laid.apart(states[0])
        return laid.apart(logits[0])

    def inputs(self, laid: LaidRows) -> dict[str, NDArray[Any]]:
        """What the graph is given for a pass over these rows."""
        return {
            "content_ids": laid.ids[None],
            "content_positions": laid.positions[None],
            "content_visibility": self._visible(laid.context, laid.visible),
            "slot_sources": laid.sources[None],
            "slot_targets": laid.targets[None],
            "slot_visibility": self._visible(laid.slot_context, laid.slot_visible),
            **({"past_positions": self.positions[None]} if self.model.takes_positions else {}),
            **dict(zip(self.model.past_names, self.caches, strict=True)),
        }

    def _visible(self, contexts: IntArray, new: BoolArray) -> BoolArray:
        """What rows of `contexts` `[R]` see, `[1, R, capacity + C]`: kept rows of all or their own, and of this pass's what `new` says."""
        past = (self.owners == _COMMON) | (self.owners == contexts[:, None])
        return np.concatenate((past, new), axis=1)[None]

    def keep(self, counts: IntArray) -> None:
        assert self._laid is not None
        chosen = self._laid.kept(counts)
        end = self.rows + len(chosen)
        if end > len(self.owners):
            self._grow(-(-(end + _BLOCK // 2) // _BLOCK) * _BLOCK)
        # A single context keeps its first rows: copied as they lie, which takes half as long.
        picked = slice(len(chosen)) if self.contexts == 1 else chosen
        for cache, new in zip(self.caches, self._new, strict=True):
            cache[:, :, self.rows : end] = new[:, :, picked]
        self.positions[self.rows : end] = self._laid.positions[chosen]
        self.owners[self.rows : end] = _COMMON if self.contexts == 1 else self._laid.context[chosen]
        self.rows = end
        self._new = []  # a context that is kept for later requests must not hold them a second time

    def _grow(self, capacity: int) -> None:
        self.caches = [self._copied(cache, self.rows, capacity) for cache in self.caches]
        owners = np.full(capacity, _FREE)
        owners[: self.rows] = self.owners[: self.rows]
        positions = np.zeros_like(owners)
        positions[: self.rows] = self.positions[: self.rows]
        self.owners, self.positions = owners, positions

    def fork(self, copies: int, rows: int | None = None) -> OnnxState:
        assert self.contexts == 1
        rows = self.rows if rows is None else rows
        capacity = -(-(rows + _BLOCK // 2) // _BLOCK) * _BLOCK
        forked = OnnxState(self.model, [self._copied(cache, rows, capacity) for cache in self.caches], rows, copies)
        forked.positions[:rows] = self.positions[:rows]
        return forked

    @staticmethod
    def _copied(cache: CacheArray, rows: int, capacity: int) -> CacheArray:
        larger = np.zeros((*cache.shape[:2], capacity, cache.shape[3]), dtype=cache.dtype)
        larger[:, :, :rows] = cache[:, :, :rows]
        return larger

    def cut(self, rows: int) -> None:
        assert self.contexts == 1
        self.rows = rows
        self.owners[rows:] = _FREE

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for cache in self.caches)
