"""The graph, op by op: what ONNX Runtime makes of it, next to torch."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.as_arm_graph import to_onnx
from export.graph_file import stored_as_half, write_graph
from export.model import ModelConfig
from export.onnx_graph import largest_difference
from tests.export.graphs import random_model
from tests.export.workshop import TINY

UNTIED = ModelConfig(vocabulary=70, width=24, layers=1, heads=3, hidden=20, tied=False)


@pytest.mark.parametrize("config", [TINY, UNTIED])
def test_the_graph_is_torch_s_model(config: ModelConfig, tmp_path: Path) -> None:
    model, file = random_model(config), tmp_path / "model.onnx"
    write_graph(to_onnx(model), file)
    assert largest_difference(file, model, longest=600).tolerable


@pytest.mark.parametrize("config", [TINY, UNTIED])
def test_the_comparison_notices_each_weight(config: ModelConfig, tmp_path: Path) -> None:
    model, file = random_model(config), tmp_path / "model.onnx"
    for name, weight in model.named_parameters():
        write_graph(to_onnx(model), file)
        with torch.no_grad():
            kept = weight.clone()
            weight.add_(torch.arange(float(weight.numel())).view_as(weight) % 3 - 1, alpha=0.3)
        assert not largest_difference(file, model, longest=600).tolerable, name
        with torch.no_grad():
            weight.copy_(kept)


def test_only_standard_ops_are_used_and_queries_keys_and_values_are_one_product() -> None:
    graph = to_onnx(random_model(TINY))
    onnx.checker.check_model(graph, full_check=True)
    assert [each.domain for each in graph.opset_import] == [""]
    ops = Counter(node.op_type for node in graph.graph.node)
    assert ops["MatMul"] == 5 * TINY.layers + 6 + 1
    assert ops["Attention"] == TINY.layers + 1
    assert ops["RotaryEmbedding"] == 2 * (TINY.layers + 1)
    assert ops["Where"] == 2  # the masks of content and of slot rows, once for all layers


def test_half_caches_take_and_give_float16_and_stay_near() -> None:
    model = random_model(TINY)
    exact, half = (stored_as_half(to_onnx(model, half_caches=value)).SerializeToString() for value in (False, True))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    rng = np.random.default_rng(0)
    rows = np.arange(5)[None]
    seen = np.tril(np.ones((5, 14), dtype=bool), 9)[None]
    shape = (1, TINY.heads, 9, TINY.head_size)
    past = [rng.normal(size=shape).astype(np.float16) for _ in range(2 * (TINY.layers + 1))]
    given = {
        "content_ids": rng.integers(0, TINY.vocabulary, (1, 5)),
        "content_positions": rows + 9,
        "content_visibility": seen,
        "slot_sources": rows,
        "slot_targets": rows + 10,
        "slot_visibility": seen,
    }
    outputs = []
    for graph, kind in ((exact, np.float32), (half, np.float16)):
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, given | {f"past_{index}": each.astype(kind) for index, each in enumerate(past)}))
        assert {each.dtype for each in outputs[-1][2:]} == {np.dtype(kind)}
        assert outputs[-1][0].dtype == np.float32
    for ours, theirs in zip(*outputs, strict=True):
        assert 0 < np.abs(ours - theirs.astype(np.float32)).max() < 0.01 * np.abs(ours).max()


def test_a_padding_row_that_sees_nothing_answers_with_numbers() -> None:
    """No fill reads its answer, but a NaN would count as a broken model."""
    session = onnxruntime.InferenceSession(to_onnx(random_model(TINY)).SerializeToString(), providers=["CPUExecutionProvider"])
    row = np.zeros((1, 1), dtype=np.int64)
    nothing = np.zeros((1, 1, 1), dtype=bool)
    past = np.zeros((1, TINY.heads, 0, TINY.head_size), dtype=np.float32)
    names = [each.name for each in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, [row, row, nothing, row, row, nothing, *[past] * (len(names) - 6)], strict=True)))
    assert all(np.isfinite(each).all() for each in outputs)
