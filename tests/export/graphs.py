"""Graphs of a tiny model with random weights."""

from __future__ import annotations

import onnx
import torch

from export.model import AsArm, ModelConfig
from export.onnx_graph import graph_in
from tests.export.workshop import TINY


def random_model(config: ModelConfig) -> AsArm:
    """With norms of their own: those of a new model are all ones."""
    torch.manual_seed(3)
    model = AsArm(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


def graph_of(precision: str) -> onnx.ModelProto:
    """The same graph at every call."""
    torch.manual_seed(0)
    return graph_in(precision, AsArm(TINY).eval())
