"""Copies of the default model, sound and broken, for what an editor's side does about models that change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from engine.default_model import DEFAULT_MODEL
from engine.manifest import MANIFEST, sha256_of

GRAPH = "model.onnx"


def copy_model(folder: Path, name: str, sharpness: float = 1.0) -> Path:
    """A copy with another name, whose logits are `sharpness` times as large: other likelihoods. With nan it gives none at all."""
    shutil.copytree(DEFAULT_MODEL, folder)
    if sharpness != 1.0:
        graph = onnx.load(folder / GRAPH)
        weight = next(one for one in graph.graph.initializer if one.name == "head.out_norm.weight")
        weight.CopyFrom(numpy_helper.from_array(sharpness * numpy_helper.to_array(weight), weight.name))
        onnx.save(graph, folder / GRAPH)
    write_manifest(folder, name=name)
    return folder


def write_manifest(folder: Path, **changes: Any) -> None:
    """The manifest of the graph that lies in the folder, put there in one stroke."""
    manifest = json.loads((DEFAULT_MODEL / MANIFEST).read_text(encoding="utf-8"))
    manifest["graphs"]["float32"]["sha256"] = sha256_of(folder / GRAPH)
    (folder / "new").write_text(json.dumps(manifest | changes), encoding="utf-8")
    (folder / "new").replace(folder / MANIFEST)
