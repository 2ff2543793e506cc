"""The 8-bit graph: what is rounded, what is left alone, and how near it stays."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.local import load_infiller
from engine.manifest import MANIFEST, load_manifest, sha256_of
from engine.model import Rows
from engine.onnx_model import OnnxState
from export import onnx_graph
from export.as_arm_graph import to_onnx
from export.graph_file import stored_as_half
from export.model import AsArm
from export.onnx_graph import GRAPHS, export_model
from export.quantise import BLOCK, blockwise, quantise
from export.train import TOKENIZER
from tests.export.workshop import TINY


@pytest.fixture(scope="module")
def exact() -> onnx.ModelProto:
    torch.manual_seed(0)
    return to_onnx(AsArm(TINY).eval())


@pytest.fixture(scope="module")
def quantised(exact: onnx.ModelProto) -> onnx.ModelProto:
    return quantise(exact)


@pytest.fixture(scope="module")
def folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny"
    export_model(tiny_run, out, "tiny", {}, {}, ("float32", "int8"))
    return out


@pytest.mark.parametrize("inner", [BLOCK, 2 * BLOCK, BLOCK + 6, 5])
def test_a_weight_in_blocks_is_off_by_half_a_step_at_most(inner: int) -> None:
    weight = np.random.default_rng(0).normal(size=(inner, 7)).astype(np.float32)
    weight[:, 2] = 0
    weight[0, 3] = 1000  # spoils the steps of its own block alone
    blocks, scales = blockwise(weight)
    scales = scales.reshape(7, -1)
    assert blocks.shape == (7, -(-inner // BLOCK), BLOCK)
    assert blocks.min() >= 1 and np.isfinite(scales).all()
    back = ((blocks.astype(np.float64) - 128) * scales[..., None]).reshape(7, -1)
    steps = np.repeat(scales, BLOCK, axis=1)
    assert (np.abs(back[:, :inner] - weight.T) <= steps[:, :inner] * 0.501).all()
    assert not back[:, inner:].any()
    if inner > BLOCK:
        assert scales[3, 1] < 0.1 < scales[3, 0]


def test_every_product_with_a_weight_is_quantised_and_attention_stays(exact: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    before, after = (Counter(node.op_type for node in model.graph.node) for model in (exact, quantised))
    layers = TINY.layers + 1
    assert after["MatMul"] == 0
    assert after["Attention"] == before["Attention"] == layers
    # In a layer queries, keys and values, attention's last map, the gate, its twin and the second half of feed-forward, but
    # the slot head asks for its queries apart; and the logits.
    assert after["MatMulNBits"] == before["MatMul"] == 5 * layers + 1 + 1
    large = {tensor.name for tensor in quantised.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2}
    assert large == {"embedding.weight", "head.offset.weight"}


def test_the_tied_output_matrix_is_folded_and_the_given_graph_stays(exact: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    assert any(node.op_type == "Transpose" and node.input[0] == "embedding.weight" for node in exact.graph.node)
    (head,) = [node for node in quantised.graph.node if node.output[0] == "logits"]
    assert head.op_type == "MatMulNBits"


def test_inputs_and_outputs_are_the_same(exact: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    for ours, theirs in ((exact.graph.input, quantised.graph.input), (exact.graph.output, quantised.graph.output)):
        assert [value.name for value in ours] == [value.name for value in theirs]


def test_scales_stay_float32_and_embeddings_are_halved(exact: onnx.ModelProto, quantised: onnx.ModelProto) -> None:
    names = {tensor.name for tensor in exact.graph.initializer}
    stored = stored_as_half(quantised, only=names).graph
    halved = {tensor.name for tensor in stored.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    assert halved == {"embedding.weight.half", "head.offset.weight.half"}


def test_a_folder_with_both_lists_both_and_the_engine_runs_either(folder: Path) -> None:
    manifest = load_manifest(folder)
    files = {precision: GRAPHS[precision] for precision in ("float32", "int8")}
    assert {name: entry.file for name, entry in manifest.graphs.items()} == files
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, TOKENIZER, *files.values()])
    for entry in manifest.graphs.values():
        assert sha256_of(folder / entry.file) == entry.sha256
        assert b"site-packages" not in (folder / entry.file).read_bytes()
    rows = np.arange(40)[None]
    ids = np.random.default_rng(1).integers(5, TINY.vocabulary, (1, 40))
    asked = Rows(ids=ids, positions=rows, counts=np.array([40]), sources=rows, targets=rows + 1, sees=rows + 1)
    exact, rounded = (load_infiller(folder, name).model.open().run(asked) for name in ("float32", "int8"))
    allowed = np.isfinite(exact)
    difference = np.abs(exact[allowed] - rounded[allowed])
    assert 0 < difference.max() < 0.2 * exact[allowed].std()


def test_an_int8_graph_keeps_its_caches_in_half_and_goes_on_from_them(folder: Path) -> None:
    """Most rows come out as from one pass, bit for bit; where a sum's last bit differs, some number rounds to another step."""
    rows = np.arange(40)[None]
    ids = np.random.default_rng(1).integers(5, TINY.vocabulary, (1, 40))

    def asked(start: int, end: int) -> Rows:
        inside = np.arange(end - start)[None]
        return Rows(ids[:, start:end], rows[:, start:end], np.array([end - start]), inside, rows[:, start:end] + 1, inside + 1)

    states = {name: load_infiller(folder, name).model.open() for name in ("float32", "int8")}
    kept = {}
    for name, state in states.items():
        whole = state.run(asked(0, 40))
        state.run(asked(0, 30))
        state.keep(np.array([30]))
        allowed = np.isfinite(whole[:, 30:])
        kept[name] = np.abs(state.run(asked(30, 40))[allowed] - whole[:, 30:][allowed])
    assert isinstance(states["int8"], OnnxState) and states["int8"].caches[0].dtype == np.float16
    assert 2 * states["int8"].nbytes == states["float32"].nbytes
    assert kept["float32"].max() < 1e-4
    assert np.median(kept["int8"]) < 0.05


def test_an_export_without_int8_leaves_none_behind(folder: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = onnx.load(folder / GRAPHS["float32"])
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda model: graph)
    out = folder.parent / "again"
    out.mkdir()
    for file in folder.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    export_model(tiny_run, out, "tiny", {}, {})
    assert list(load_manifest(out).graphs) == ["float32"]
    assert not (out / GRAPHS["int8"]).exists()
