"""Torch's models with an exported graph's own weights, to compare runtimes on equal arithmetic and to export them anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from engine.errors import ModelError
from engine.manifest import Manifest
from export.draft_head_model import DraftHead
from export.model import AsArm, ModelConfig
from export.quantise import from_blocks


def load_twin(graph_file: Path, manifest: Manifest) -> AsArm:
    """Rebuild the torch model from the float32 graph's initialisers. Raises ModelError when the graph has another layout.

    Weights keep torch's names in a graph (`export.as_arm_graph`). Linear maps are transposed there, and some stand side by
    side under all their names, joined by "+"; large ones are stored as float16 and named so.
    """
    kept = {entry.name.removesuffix(".half"): numpy_helper.to_array(entry) for entry in onnx.load(str(graph_file)).graph.initializer}
    width = manifest.heads * manifest.head_size
    gate = kept.get("blocks.0.feed_forward.gate.weight")
    hidden = width if gate is None else gate.shape[1]
    tied = "output.weight" not in kept
    model = AsArm(ModelConfig(manifest.vocabulary, width, manifest.layers, manifest.heads, hidden, tied=tied)).eval()
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)} - {"output.weight"}
    found: dict[str, NDArray[np.float32]] = {}
    for joined, weight in kept.items():
        names = joined.split("+")
        if set(names) <= shapes.keys():
            transposed = weight.T if names[0] in linear else weight
            ends = np.cumsum([shapes[name][0] for name in names])[:-1]
            found |= dict(zip(names, np.split(transposed, ends), strict=True))
    wrong = [name for name, shape in shapes.items() if name not in found or found[name].shape != shape]
    if wrong:
        raise ModelError(f"{graph_file} holds no weight {wrong[0]} of the shape that its manifest promises; export the model again")
    model.load_state_dict({name: torch.tensor(np.ascontiguousarray(array, dtype=np.float32)) for name, array in found.items()})
    return model


def load_draft_twin(graph: bytes, config: ModelConfig) -> DraftHead:
    """Rebuild the draft head from its graph in 8 bits. Raises ModelError when the graph has another layout."""
    kept = {
        entry.name.removesuffix(".half"): numpy_helper.to_array(entry) for entry in onnx.load_model_from_string(graph).graph.initializer
    }
    head = DraftHead(config).eval()
    weights: dict[str, torch.Tensor] = {}
    for name, parameter in head.named_parameters():
        weight = kept.get(f"draft_head.{name}")
        if weight is None and f"draft_head.{name}.blocks" in kept:
            weight = from_blocks(kept[f"draft_head.{name}.blocks"], kept[f"draft_head.{name}.scales"])[:, : parameter.shape[1]]
        if weight is None or weight.shape != parameter.shape:
            raise ModelError(f"the draft head's graph holds no weight {name} of the shape that the model has; export the model again")
        weights[name] = torch.tensor(weight, dtype=torch.float32)
    head.load_state_dict(weights)
    return head
