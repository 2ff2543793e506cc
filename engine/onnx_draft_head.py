"""A model's draft head as an ONNX graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from engine.errors import ModelError
from engine.finite import refuse_broken
from engine.manifest import Manifest, checked_file
from engine.model import FloatArray
from engine.sequence import IntArray

_INPUTS = ("states", "ids")
_OUTPUTS = ("next_states", "logits")


class OnnxDraftHead:
    """Runs on one thread: a step is too small to be shared out. Raises ModelError when the graph breaks its promises."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise ModelError(
                f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__} ({str(error).splitlines()[0][:200]}); "
                "export the model again"
            ) from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if tuple(each.name for each in inputs) != _INPUTS or tuple(each.name for each in outputs) != _OUTPUTS:
            raise ModelError(f"{path} is no draft head's graph: its inputs and outputs are others; export the model again")
        width = manifest.heads * manifest.head_size
        if inputs[0].shape[1] != width or outputs[1].shape[1] != manifest.vocabulary:
            raise ModelError(f"{path} belongs to a model of another width or vocabulary; export the model again")
        self._path = path
        self._never = manifest.never

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        following, logits = self._session.run(None, {"states": states.astype(np.float32, copy=False), "ids": ids})
        refuse_broken(logits, self._path)
        logits[:, self._never] = -np.inf
        return following, logits


def load_draft_head(folder: Path, manifest: Manifest) -> OnnxDraftHead | None:
    """None where the model has none. Raises ModelError."""
    return None if manifest.draft_head is None else OnnxDraftHead(checked_file(folder, manifest.draft_head), manifest)
