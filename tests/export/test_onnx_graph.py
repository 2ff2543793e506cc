"""The export: the graph says what torch says, or nothing is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from engine.errors import LacunaError
from engine.manifest import MANIFEST, load_manifest
from engine.onnx_model import OnnxModel
from export import onnx_graph
from export.corpus_summary import summarise
from export.holes import LARGEST_SURPLUS
from export.onnx_graph import CACHE_TOLERANCE, GRAPHS, TOLERANCE, Difference, Exported, export_model
from export.train import CHECKPOINT, TOKENIZER, load_checkpoint
from tests.export.workshop import TINY

GRAPH = GRAPHS["float32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models") / "tiny"


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tiny_corpus: Path, folder: Path) -> Exported:
    return export_model(tiny_run, folder, "tiny", summarise(tiny_corpus), {})


def test_the_folder_is_one_the_engine_loads(exported: Exported, folder: Path, tiny_run: Path) -> None:
    assert exported.differences["float32"].logits <= TOLERANCE
    assert exported.differences["float32"].caches <= CACHE_TOLERANCE
    manifest = load_manifest(folder)
    assert manifest == exported.manifest
    assert manifest.parameters == sum(weight.numel() for weight in load_checkpoint(tiny_run)["model"].values())
    assert manifest.corpus["licences"] == {"MIT": 2}
    OnnxModel(folder, manifest)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, GRAPH, TOKENIZER])
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_run_with_bidirectional_prompts_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    state = load_checkpoint(run)
    state["recipe"]["prompting"]["bidirectional"] = 0.5
    torch.save(state, run / CHECKPOINT)
    with pytest.raises(LacunaError, match="trained with bidirectional prompts"):
        export_model(run, tmp_path / "model", "m", {}, {})
    assert not (tmp_path / "model").exists()


def test_nothing_tells_where_the_graph_was_made(exported: Exported, folder: Path) -> None:
    graph = (folder / GRAPH).read_bytes()
    for trace in (b"site-packages", b".py", b"stack_trace", str(Path.cwd()).encode(), str(Path.home()).encode() + b"/"):
        assert trace not in graph


def test_large_weights_are_stored_as_half_and_folded_at_load(exported: Exported, folder: Path, tmp_path: Path) -> None:
    graph = onnx.load(folder / GRAPH).graph
    assert all(np.prod(t.dims) < 1024 for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    stored = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT16}
    assert len(stored) == 5 * (TINY.layers + 1) + 1 + 2  # products, the slot head asking for its queries apart; embeddings
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(tmp_path / "optimised.onnx").graph
    assert not any(node.op_type == "Cast" and node.input[0] in stored for node in folded.node)
    assert not any(t.data_type == onnx.TensorProto.FLOAT16 for t in folded.initializer)


def test_an_export_replaces_an_earlier_one(
    exported: Exported, folder: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(folder, tmp_path / "model")
    (out / "README.md").write_text("Mine.\n", encoding="utf-8")
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda model: onnx.load(folder / GRAPH))
    export_model(tiny_run, out, "newer", {}, {"note": 1})
    assert load_manifest(out).name == "newer"
    assert (out / "README.md").exists()


def altered(folder: Path, value: float) -> onnx.ModelProto:
    """The exported graph with one number of the embedding changed."""
    proto = onnx.load(folder / GRAPH)
    embedding = next(t for t in proto.graph.initializer if list(t.dims) == [TINY.vocabulary, TINY.width])
    weights = numpy_helper.to_array(embedding).copy()
    weights[7, 3] = value
    embedding.CopyFrom(numpy_helper.from_array(weights, embedding.name))
    return proto


@pytest.mark.parametrize(
    ("logits", "caches", "tolerable"),
    [
        (0.0, 0.0, True),
        (TOLERANCE, CACHE_TOLERANCE, True),
        (2 * TOLERANCE, 0.0, False),
        (0.0, 2 * CACHE_TOLERANCE, False),
        (float("nan"), 0.0, False),
        (0.0, float("nan"), False),
    ],
)
def test_logits_and_caches_each_have_a_limit(logits: float, caches: float, tolerable: bool) -> None:
    assert Difference(logits, caches).tolerable is tolerable


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_a_graph_that_differs_is_refused_and_nothing_is_left(
    exported: Exported, folder: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setattr(onnx_graph, "to_onnx", lambda model: altered(folder, value))
    with pytest.raises(LacunaError, match="differ from torch's by"):
        export_model(tiny_run, tmp_path / "model", "tiny", {}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"manifest_version": 3}'])
def test_a_folder_of_something_else_is_left_alone(tiny_run: Path, tmp_path: Path, content: str | None) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "notes.txt").write_text("keep", encoding="utf-8")
    if content is not None:
        (out / MANIFEST).write_text(content, encoding="utf-8")
    before = sorted(path.read_text(encoding="utf-8") for path in out.iterdir())
    with pytest.raises(LacunaError, match="is no model folder"):
        export_model(tiny_run, out, "tiny", {}, {})
    assert sorted(path.read_text(encoding="utf-8") for path in out.iterdir()) == before


def test_a_run_without_checkpoint_or_tokenizer_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(LacunaError, match="there is no checkpoint"):
        export_model(run, tmp_path / "model", "tiny", {}, {})
    shutil.copy(tiny_run / CHECKPOINT, run)
    with pytest.raises(LacunaError, match=r"tokenizer .* can't be read"):
        export_model(run, tmp_path / "model", "tiny", {}, {})
    assert not (tmp_path / "model").exists()


def test_the_manifest_says_what_training_saw(exported: Exported, folder: Path) -> None:
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert (raw["window"], raw["longest_position"], raw["max_holes"]) == (64, 64 + 8 * LARGEST_SURPLUS, 8)
    assert (raw["prompt_visibility"], raw["prompt_order"]) == ("causal", "suffix-first")
