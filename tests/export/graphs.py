"""Graphs of a tiny model with random weights."""

from __future__ import annotations

import onnx
import torch

from export.model import AsArm
from export.onnx_graph import graph_in
from tests.export.workshop import TINY


def graph_of(precision: str) -> onnx.ModelProto:
    """The same graph at every call."""
    torch.manual_seed(0)
    return graph_in(precision, AsArm(TINY).eval())
