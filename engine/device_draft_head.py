"""A model's draft head on a device: a step is one launch there, where the CPU reads all of the head's weights anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.device_session import BoundPass, bucket, device_session, reported
from engine.errors import ModelError
from engine.finite import refuse_broken
from engine.manifest import FileEntry, Manifest, checked_file
from engine.model import FloatArray
from engine.sequence import IntArray

_MOST_CAPTURED = 64  # rows
_WARM = (1, 2, 4, 8)


class DeviceDraftHead:
    """Raises ModelError when the graph breaks its promises, DeviceError when the device can't run it or fails."""

    def __init__(self, folder: Path, entry: FileEntry, manifest: Manifest, device: str) -> None:
        self._path = checked_file(folder, entry)
        self._device = device
        self._session = device_session(self._path, device)
        self._width, self._vocabulary, self._never = manifest.heads * manifest.head_size, manifest.vocabulary, manifest.never
        names = [each.name for each in (*self._session.get_inputs(), *self._session.get_outputs())]
        sizes = [each.shape[-1] for each in self._session.get_outputs()]
        if names != ["states", "ids", "next_states", "logits"] or sizes != [self._width, self._vocabulary]:
            raise ModelError(f"{self._path} is no draft head of this model for GPUs; export the model again")
        self._buckets: dict[int, BoundPass] = {}
        for rows in _WARM:
            self.step(np.zeros((rows, self._width), dtype=np.float32), np.zeros(rows, dtype=np.int64))

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        rows = len(ids)
        with reported(self._device, self._path):
            bound = self._bucket(bucket(rows))
            bound.clear()
            bound.inputs["states"][:rows], bound.inputs["ids"][:rows] = states, ids
            outputs = bound.run()
        following, logits = outputs["next_states"][:rows].copy(), outputs["logits"][:rows].copy()
        refuse_broken(logits, self._path)
        logits[:, self._never] = -np.inf
        return following, logits

    def _bucket(self, rows: int) -> BoundPass:
        if rows not in self._buckets:
            inputs = {"states": (np.float32, (rows, self._width)), "ids": (np.int64, (rows,))}
            outputs = {"next_states": (rows, self._width), "logits": (rows, self._vocabulary)}
            bound = BoundPass(self._session, self._device, inputs, outputs, rows if rows <= _MOST_CAPTURED else None)
            if rows > _MOST_CAPTURED:
                return bound
            self._buckets[rows] = bound
        return self._buckets[rows]
