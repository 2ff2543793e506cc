"""The twin of an exported graph has the weights that went into it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from engine.errors import ModelError
from engine.local import DEFAULT_MODEL
from engine.manifest import Manifest, load_manifest
from export.as_arm_graph import to_onnx
from export.draft_head_graph import draft_head_to_onnx
from export.draft_head_model import DraftHead
from export.graph_file import stored_as_half, write_graph
from export.model import AsArm, ModelConfig
from export.quantise import quantise
from export.torch_twin import load_draft_twin, load_twin

CONFIG = ModelConfig(vocabulary=300, width=32, layers=2, heads=2, hidden=48)


def manifest_of(config: ModelConfig) -> Manifest:
    return dataclasses.replace(
        load_manifest(DEFAULT_MODEL),
        vocabulary=config.vocabulary,
        layers=config.layers,
        heads=config.heads,
        head_size=config.head_size,
    )


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_comes_back(tied: bool, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, tied=tied)
    model = AsArm(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    file = tmp_path / "model.onnx"
    write_graph(stored_as_half(to_onnx(model)), file)
    twin = load_twin(file, manifest_of(config))
    assert twin.config == config
    for (name, ours), theirs in zip(twin.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-3, msg=name)


def test_a_draft_head_in_8_bits_comes_back_as_it_was_rounded() -> None:
    head = DraftHead(CONFIG)
    for weight in head.parameters():
        torch.nn.init.normal_(weight)
    drafter = draft_head_to_onnx(AsArm(CONFIG), head)
    graph = stored_as_half(quantise(drafter), only={each.name for each in drafter.graph.initializer}).SerializeToString()
    twin = load_draft_twin(graph, CONFIG)
    for (name, ours), theirs in zip(twin.named_parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.02, rtol=1e-3, msg=name)
    with pytest.raises(ModelError, match=r"no weight feed_forward\.gate\.weight of the shape"):
        load_draft_twin(graph, dataclasses.replace(CONFIG, hidden=50))


def test_a_graph_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    write_graph(stored_as_half(to_onnx(AsArm(CONFIG))), file)
    with pytest.raises(ModelError, match=r"holds no weight blocks\.2"):
        load_twin(file, manifest_of(dataclasses.replace(CONFIG, layers=3)))
