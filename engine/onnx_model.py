"""An AS-ARM as an ONNX graph, run by ONNX Runtime with a key/value cache that is written in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import ModelError
from engine.manifest import Manifest, checked_file
from engine.model import Rows
from engine.sequence import IntArray

_BLOCK = 64  # cache capacity grows by this many rows, so that it is rarely copied and never much too long

CacheArray = NDArray[np.float32]


class OnnxModel:
    """Loads one precision of a model folder. Raises ModelError when the graph breaks the manifest's promises."""

    def __init__(self, folder: Path, manifest: Manifest, precision: str = "float32", threads: int = 0) -> None:
        if precision not in manifest.graphs:
            raise ModelError(f"{folder} has no {precision} graph, only {', '.join(manifest.graphs)}; choose one of these")
        path = checked_file(folder, manifest.graphs[precision])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # A spinning pool starves the editor, and collapses when other programs want the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ModelError(
                f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0][:200]}); "
                "export the model again"
            ) from None
        self.manifest = manifest
        caches = 2 * (manifest.layers + 1)
        self.past_names = [f"past_{index}" for index in range(caches)]
        self._check(path)
        specials = manifest.special_ids
        self.never = [specials.pad, specials.bos, specials.sof, specials.eof]

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
        shape = (1, self.manifest.heads, 0, self.manifest.head_size)
        return OnnxState(self, [np.zeros(shape, dtype=np.float32) for _ in self.past_names], np.zeros(1, dtype=np.int64))


class OnnxState:
    """Contexts as per-layer caches `[B, H, capacity, D]`, of which the first `lengths[b]` rows are valid.

    The visibility input hides the rest, so a cache is passed whole and never copied between passes.
    """

    def __init__(self, model: OnnxModel, caches: list[CacheArray], lengths: IntArray) -> None:
        self.model = model
        self.caches = caches
        self.lengths = lengths
        self._new: list[CacheArray] = []

    def run(self, rows: Rows) -> NDArray[np.float32]:
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
        logits, *self._new = self.model.session.run(
            None,
            {
                "content_ids": rows.ids,
                "content_positions": rows.positions,
                "content_visibility": content_visibility,
                "slot_sources": rows.sources,
                "slot_targets": rows.targets,
                "slot_visibility": slot_visibility,
                **dict(zip(self.model.past_names, self.caches, strict=True)),
            },
        )
        logits[..., self.model.never] = -np.inf
        result: NDArray[np.float32] = logits
        return result

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

    def _grow(self, capacity: int) -> None:
        grown = []
        for cache in self.caches:
            larger = np.zeros((*cache.shape[:2], capacity, cache.shape[3]), dtype=cache.dtype)
            larger[:, :, : cache.shape[2]] = cache
            grown.append(larger)
        self.caches = grown

    def fork(self, copies: int) -> OnnxState:
        return OnnxState(self.model, [np.repeat(cache, copies, axis=0) for cache in self.caches], np.repeat(self.lengths, copies))
