"""The draft head for GPUs, run on the CPU: what torch's says, padded to few numbers of rows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.device_draft_head import DeviceDraftHead
from engine.device_model import DeviceModel
from engine.errors import ModelError
from engine.local import load_infiller
from engine.manifest import MANIFEST, load_manifest
from engine.options import FillOptions
from engine.passage import Passage
from export.draft_head import DRAFT_HEAD, train_draft_head
from export.draft_head_graph import draft_head_to_onnx
from export.draft_head_model import DraftHead, DraftStep
from export.graph_file import write_graph
from export.onnx_graph import export_model
from export.verify import OK, verify
from tests.export.device_folder import write_device_folder
from tests.export.graphs import random_model
from tests.export.test_device_graph import ON_CUDA
from tests.export.workshop import TINY, rows


@pytest.mark.parametrize(("half", "bound"), [(False, 1e-4), (True, 0.05)])
def test_its_steps_are_torch_s(half: bool, bound: float, tmp_path: Path) -> None:
    model, head = random_model(TINY), DraftHead(TINY).eval()
    graph = draft_head_to_onnx(model, head, half=half)
    assert {node.op_type for node in graph.graph.node} <= ON_CUDA | {"Concat"}
    manifest = write_device_folder(tmp_path, model)
    ours = DeviceDraftHead(tmp_path, write_graph(graph, tmp_path / "head.onnx"), manifest, "cpu")
    step, rng = DraftStep(model, head), np.random.default_rng(0)
    for count in (1, 3, 8, 70):
        states = given = rng.normal(size=(count, TINY.width)).astype(np.float32)
        for _ in range(3):
            ids = rng.integers(0, TINY.vocabulary, count)
            with torch.no_grad():
                states, wanted = (each.numpy() for each in step(torch.from_numpy(states), torch.from_numpy(ids)))
            given, logits = ours.step(given, ids)
            shown = np.isfinite(logits)
            assert not shown[:, manifest.never].any() and shown.sum() == count * (TINY.vocabulary - len(manifest.never))
            np.testing.assert_allclose(logits[shown], wanted[shown], atol=bound, rtol=0)
            np.testing.assert_allclose(given, states, atol=bound, rtol=0)


def test_another_model_s_is_refused(tmp_path: Path) -> None:
    model = random_model(TINY)
    manifest = write_device_folder(tmp_path, model)
    entry = write_graph(draft_head_to_onnx(model, DraftHead(TINY)), tmp_path / "head.onnx")
    for wrong in (replace(manifest, vocabulary=301), replace(manifest, heads=3)):
        with pytest.raises(ModelError, match=r"head\.onnx is no draft head of this model"):
            DeviceDraftHead(tmp_path, entry, wrong, "cpu")


def test_a_run_s_head_goes_along_and_drafts(tiny_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    run, out = shutil.copytree(tiny_run, tmp_path / "run"), tmp_path / "model"
    train_draft_head(tiny_corpus, run, rows(40))
    assert (run / DRAFT_HEAD).is_file()
    manifest = export_model(run, out, "tiny", {}, {}, device=True).manifest
    assert manifest == load_manifest(out) and manifest.device_draft_head is not None
    assert {check.name: check.outcome for check in verify(out, run)}["gpu draft head"] == OK
    infiller = load_infiller(out)
    infiller.model = DeviceModel(out, manifest, "cpu")
    assert isinstance(infiller.model.draft_head, DeviceDraftHead)
    passage = Passage(("def area(width, height):\n    ", "\n"), (24,), fixed_lengths=(True,))
    copied = export_model(out, tmp_path / "copied", "tiny", {}, {}, device=True).manifest  # from 8 bits
    assert {check.name: check.outcome for check in verify(tmp_path / "copied", run)}["gpu draft head"] == OK
    assert copied.device_graph == manifest.device_graph and copied.device_draft_head != manifest.device_draft_head
    drafted, plain = (infiller.fill(passage, FillOptions(temperature=0, method=method)) for method in ("fused", "sequential"))
    assert drafted.passes < drafted.tokens == 24
    assert [fill.tokens for fill in drafted.suggestions[0].fills] == [fill.tokens for fill in plain.suggestions[0].fills]
    graph = onnx.load(str(out / "model.gpu.onnx"))
    graph.producer_name = "another version"
    altered = replace(manifest, device_graph=write_graph(graph, out / "model.gpu.onnx"))
    (out / MANIFEST).write_text(altered.as_json(), encoding="utf-8")
    (numerics,) = [check for check in verify(out, run) if check.name == "gpu numerics"]
    assert numerics.outcome == OK and "other bytes than the graph that the reference gives" in numerics.why
