"""The torch model with an exported graph's own weights, to compare runtimes on equal arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from engine.errors import ModelError
from engine.manifest import Manifest
from export.model import AsArm, ModelConfig


def load_twin(graph_file: Path, manifest: Manifest) -> AsArm:
    """Rebuild the torch model from the float32 graph's initialisers. Raises ModelError when the graph has another layout.

    Embeddings and norms keep their names in a graph. A linear map becomes a MatMul with a transposed, renamed weight;
    MatMuls stand in the order in which torch called them, and so are matched with a recorded call of the model.
    """
    graph = onnx.load(str(graph_file)).graph
    weights = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:  # large weights are stored as float16 and cast when the graph is loaded
        if node.op_type == "Cast" and node.input[0] in weights:
            weights[node.output[0]] = weights[node.input[0]].astype(np.float32)
    width = manifest.heads * manifest.head_size
    head = (width, manifest.vocabulary)  # the tied output matrix, where an exporter folded it
    products = [weights[node.input[1]] for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    products = [product for product in products if product.shape != head]
    hidden = next((product.shape[1] for product in products if product.shape[0] == width != product.shape[1]), width)
    model = AsArm(ModelConfig(manifest.vocabulary, width, manifest.layers, manifest.heads, hidden)).eval()
    linear = _linear_maps_in_call_order(model)
    if len(linear) != len(products):
        raise ModelError(f"{graph_file} has {len(products)} linear maps, the torch model {len(linear)}; export the model again")
    found = {name: weights[name] for name, _ in model.named_parameters() if name in weights}
    found |= {f"{name}.weight": product.T for name, product in zip(linear, products, strict=True)}
    missing = [name for name, _ in model.named_parameters() if name not in found]
    if missing:
        raise ModelError(f"{graph_file} names no weight {missing[0]}; export the model again")
    model.load_state_dict({name: _tensor(array) for name, array in found.items()})
    return model


def _tensor(array: NDArray[np.float32]) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array))


def _linear_maps_in_call_order(model: AsArm) -> list[str]:
    called: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    row = torch.zeros(1, 1, dtype=torch.int64)
    seen = torch.ones(1, 1, 1, dtype=torch.bool)
    empty = torch.zeros(1, model.config.heads, 0, model.config.head_size)
    with torch.inference_mode():
        model(row, row, seen, row, row, seen, *[empty] * (2 * model.config.layers + 2))
    for handle in handles:
        handle.remove()
    return called
