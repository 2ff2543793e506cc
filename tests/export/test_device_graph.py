"""The graph for GPUs, op by op: torch's model in another layout, of ops that CUDA has."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import onnx
import pytest
import torch

from engine.manifest import MANIFEST, load_manifest
from export import cli
from export.device_graph import device_graph
from export.graph_file import write_graph
from export.model import ModelConfig
from export.onnx_graph import export_model, largest_difference
from export.verify import OK, Check, verify
from tests.export.device_folder import write_device_folder
from tests.export.graphs import random_model
from tests.export.workshop import TINY

UNTIED = ModelConfig(vocabulary=70, width=24, layers=1, heads=3, hidden=20, tied=False)
LONGEST = 3000  # past the last of the steps that offsets are told apart by

# What onnxruntime-gpu 1.31.1 has a kernel for, in float16 and float32, that copies nothing from the host when a graph is replayed.
ON_CUDA = {
    "Add",
    "And",
    "Attention",
    "Cast",
    "Gather",
    "GreaterOrEqual",
    "LessOrEqual",
    "MatMul",
    "Mul",
    "RMSNormalization",
    "Reshape",
    "RotaryEmbedding",
    "ScatterND",
    "Sigmoid",
    "SkipSimplifiedLayerNormalization",
    "Split",
    "Transpose",  # of a weight, when the graph is loaded
    "Where",
}


@pytest.mark.parametrize("config", [TINY, UNTIED])
def test_the_graph_is_torch_s_model(config: ModelConfig, tmp_path: Path) -> None:
    model, file = random_model(config), tmp_path / "model.onnx"
    write_graph(device_graph(model, LONGEST, half=False), file)
    assert largest_difference(file, model, LONGEST).tolerable
    write_graph(device_graph(model, LONGEST), file)
    half = largest_difference(file, model, LONGEST)
    assert 0 < half.logits < 0.05 and 0 < half.caches < 0.01


@pytest.mark.parametrize("config", [TINY, UNTIED])
def test_the_comparison_notices_each_weight(config: ModelConfig, tmp_path: Path) -> None:
    model, file = random_model(config), tmp_path / "model.onnx"
    write_graph(device_graph(model, LONGEST, half=False), file)
    for name, weight in model.named_parameters():
        with torch.no_grad():
            kept = weight.clone()
            weight.add_(torch.arange(float(weight.numel())).view_as(weight) % 3 - 1, alpha=0.3)
        assert not largest_difference(file, model, LONGEST).tolerable, name
        with torch.no_grad():
            weight.copy_(kept)


@pytest.mark.parametrize("half", [True, False])
def test_all_ops_are_ones_that_cuda_has(half: bool) -> None:
    graph = device_graph(random_model(TINY), LONGEST, half=half)
    onnx.checker.check_model(graph, full_check=True)
    ops = Counter(node.op_type for node in graph.graph.node)
    assert ops.keys() <= ON_CUDA
    assert ops["ScatterND"] == 2 * ops["Attention"] == 2 * (TINY.layers + 1)
    assert ops["Where"] == 2  # the masks of content and of slot rows, once for all layers
    floating = {each.data_type for each in graph.graph.initializer} - {onnx.TensorProto.INT64}
    assert floating == {onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT}


def test_caches_are_read_and_written_in_one_place() -> None:
    """Each `past` goes to one ScatterND, whose output is the graph's `new` and what attention reads."""
    graph = device_graph(random_model(TINY), LONGEST).graph
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for index in range(2 * (TINY.layers + 1)):
        (writer,) = readers[f"past_{index}"]
        assert (writer.op_type, list(writer.output)) == ("ScatterND", [f"new_{index}"])
        (reader,) = readers[f"new_{index}"]
        assert reader.op_type == "Attention" and reader.input[1 + index % 2] == f"new_{index}"


@pytest.fixture(scope="module")
def folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "tiny"
    assert cli.main(["onnx", str(tiny_run), str(out), "--precision", "gpu"]) == 0
    return out


def device_checks(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.outcome for check in checks if check.name.startswith("gpu ")}


def test_the_command_writes_it_beside_a_graph_for_the_cpu(
    folder: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = load_manifest(folder)
    assert list(manifest.graphs) == ["float32"] and manifest.device_graph is not None
    assert manifest.device_graph.file in {entry.file for entry in manifest.files}
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "both"), "--precision", "gpu", "int8"]) == 0
    told = capsys.readouterr().out
    assert "in int8, one for GPUs" in told and "The graph for GPUs and torch differ by at most" in told
    both = load_manifest(tmp_path / "both")
    assert list(both.graphs) == ["int8"] and both.device_graph == manifest.device_graph  # the same bytes


def test_an_export_without_it_takes_an_earlier_one_away(folder: Path, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_model(tiny_run, out, None, {}, {}, device=True)
    assert (out / "model.gpu.onnx").is_file()
    export_model(tiny_run, out, None, {}, {})
    assert not (out / "model.gpu.onnx").exists() and load_manifest(out).device_graph is None


@pytest.mark.parametrize("referred", [True, False])
def test_verify_holds_it_against_the_weights(folder: Path, tiny_run: Path, referred: bool) -> None:
    checks = verify(folder, tiny_run if referred else None)
    assert device_checks(checks) == dict.fromkeys(["gpu contract", "gpu cache", "gpu fill", "gpu density", "gpu numerics"], OK)
    (numerics,) = [check for check in checks if check.name == "gpu numerics"]
    assert ("byte for byte the graph that the reference gives" if referred else "beside the float32 graph") in numerics.why


def test_verify_notices_other_weights(folder: Path, tiny_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    export_model(tiny_run, other, None, {}, {}, device=True)
    made = write_device_folder(other, random_model(TINY), load_manifest(other).longest_position, half=True).device_graph
    raw = json.loads((other / MANIFEST).read_text(encoding="utf-8"))
    assert made is not None
    raw["device_graph"]["sha256"] = made.sha256
    # Its float32 graph was written over, too; that of the sound folder serves in its place.
    (other / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    (other / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    outcomes = device_checks(verify(other))
    assert outcomes.pop("gpu numerics") == "failed" and set(outcomes.values()) == {OK}
