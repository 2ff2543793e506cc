"""Model folders with a graph for GPUs beside the ordinary one, of random weights or of the default model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from engine.default_model import DEFAULT_MODEL
from engine.manifest import Manifest, load_manifest
from export.as_arm_graph import to_onnx
from export.device_graph import device_graph
from export.graph_file import write_graph
from export.model import AsArm, ModelConfig, parameter_count


def random_model(config: ModelConfig) -> AsArm:
    """With norms of their own: those of a new model are all ones."""
    torch.manual_seed(3)
    model = AsArm(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


def write_device_folder(folder: Path, model: AsArm, longest: int = 600, window: int = 100, *, half: bool = False) -> Manifest:
    """Write the graphs, without tokenizer and draft head, in float32 or, with `half`, in float16; what describes them comes back."""
    config, like = model.config, load_manifest(DEFAULT_MODEL)
    return replace(
        like,
        parameters=parameter_count(model),
        vocabulary=config.vocabulary,
        longest_position=longest,
        window=window,
        layers=config.layers,
        heads=config.heads,
        head_size=config.head_size,
        graphs={"float32": write_graph(to_onnx(model, half=half), folder / "model.onnx")},
        draft_head=None,
        device_graph=write_graph(device_graph(model, longest, half=half), folder / "model.gpu.onnx"),
    )
