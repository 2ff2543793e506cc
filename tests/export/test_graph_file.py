"""Graphs on disk: whole, small in float16, and with their weights apart where they are large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.errors import ModelError
from engine.local import load_infiller
from engine.manifest import load_manifest, sha256_of
from engine.options import FillOptions
from engine.passage import Passage
from export import graph_file
from export.graph_file import write_graph
from export.onnx_graph import export_model
from export.source import read_source
from tests.export.graphs import graph_of

PASSAGE = Passage(("def area(width, height):\n    return ", "\n"), (6,))


@pytest.mark.parametrize("large", [True, False])
def test_only_weights_of_a_large_graph_go_to_a_file_of_their_own(large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("float32")
    whole = graph.ByteSize()
    monkeypatch.setattr(graph_file, "LARGEST_GRAPH", 1000 if large else whole)
    entry = write_graph(graph, tmp_path / "model.onnx")
    assert entry.sha256 == sha256_of(tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == (["model.onnx", "model.onnx.data"] if large else ["model.onnx"])
    assert (entry.data is not None) is large
    if entry.data is not None:
        assert entry.data.sha256 == sha256_of(tmp_path / entry.data.file)
        assert (tmp_path / "model.onnx").stat().st_size < whole / 2
    back = onnx.load(tmp_path / "model.onnx")
    for ours, theirs in zip(back.graph.initializer, graph_of("float32").graph.initializer, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(ours), onnx.numpy_helper.to_array(theirs), err_msg=theirs.name)


def test_a_model_with_weights_apart_fills_as_another(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_model(tiny_run, tmp_path / "small", "tiny", {}, {}, ("float32", "int4"))
    monkeypatch.setattr(graph_file, "LARGEST_GRAPH", 1000)
    large = tmp_path / "large"
    manifest = export_model(tiny_run, large, "tiny", {}, {}, ("float32", "int4")).manifest
    assert [entry.data and entry.data.file for entry in manifest.graphs.values()] == ["model.onnx.data", "model.int4.onnx.data"]
    assert load_manifest(large) == manifest
    for precision in manifest.graphs:
        fills = [load_infiller(folder, precision).fill(PASSAGE, FillOptions(temperature=0)) for folder in (tmp_path / "small", large)]
        assert fills[0].suggestions == fills[1].suggestions
    # Weights come back from such a folder, too, and a small export in its place leaves none of its files behind.
    read_source(large)
    monkeypatch.undo()
    export_model(tiny_run, large, "tiny", {}, {})
    assert sorted(path.name for path in large.iterdir()) == ["manifest.json", "model.onnx", "tokenizer.json"]


def test_altered_weights_are_refused(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_file, "LARGEST_GRAPH", 1000)
    export_model(tiny_run, tmp_path / "model", "tiny", {}, {})
    data = tmp_path / "model" / "model.onnx.data"
    content = bytearray(data.read_bytes())
    content[5000] ^= 1
    data.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx\.data is not the file its manifest describes"):
        load_infiller(tmp_path / "model")
