"""Model folders with a graph for GPUs beside the ordinary one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.default_model import DEFAULT_MODEL
from engine.manifest import Manifest, load_manifest
from export.as_arm_graph import to_onnx
from export.device_graph import device_graph
from export.graph_file import write_graph
from export.model import AsArm, parameter_count


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
