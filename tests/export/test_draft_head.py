"""The draft head: trained on a finished run, exported beside its graph, run by the engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from engine.errors import LacunaError
from engine.local import load_infiller
from engine.options import FillOptions
from engine.passage import Passage
from export import cli, draft_head, onnx_graph
from export.draft_head import DRAFT_HEAD, load_draft_head, measure_agreement, train_draft_head
from export.draft_head_graph import draft_head_to_onnx
from export.draft_head_model import DraftHead
from export.examples import IGNORED, Batch
from export.graph_file import stored_as_half
from export.model import AsArm
from export.onnx_graph import TOLERANCE, draft_head_difference, export_model
from export.train import CHECKPOINT, load_checkpoint
from tests.export.workshop import TINY, rows


@pytest.fixture(scope="module")
def run(tiny_run: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a draft head; tests must leave it as it is."""
    copy = shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run")
    train_draft_head(tiny_corpus, copy, rows(40))
    return copy


def test_training_brings_guesses_nearer_to_the_model(run: Path, tiny_run: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(model: AsArm, head: DraftHead, lines: list[Batch]) -> draft_head.Agreement:
        torch.manual_seed(0)
        measured.extend([measure_agreement(model, DraftHead(TINY), lines), measure_agreement(model, head, lines)])
        return measured[1]

    copy = shutil.copytree(run, run.parent / "further")
    before = torch.load(copy / DRAFT_HEAD, weights_only=True)["tokens"]
    monkeypatch.setattr(draft_head, "measure_agreement", measure)
    assert train_draft_head(tiny_corpus, copy, rows(10)) == measured[1]
    untrained, trained = measured
    assert all(ours > theirs + 0.2 for ours, theirs in zip(trained.overlap, untrained.overlap, strict=True))
    assert all(ours > theirs + 0.1 for ours, theirs in zip(trained.top, untrained.top, strict=True))
    assert torch.load(copy / DRAFT_HEAD, weights_only=True)["tokens"] == before + rows(10)
    assert (copy / CHECKPOINT).read_bytes() == (tiny_run / CHECKPOINT).read_bytes(), "the model itself must stay as it is"


def test_only_guesses_at_the_next_places_of_one_example_count(tiny_run: Path) -> None:
    """Two examples in a line, the first with a jump of positions: from each row, as many slots ahead as lie in a row."""
    model = AsArm(TINY).eval()
    # Rows 0-3 stand at 0, 1, 2, 9; rows 4-11 are another example.
    positions = torch.tensor([0, 1, 2, 9, 0, 1, 2, 3, 4, 5, 6, 7])[None]
    first = torch.tensor([0] * 4 + [4] * 8)[None]
    labels = torch.full((1, 12), 7)
    labels[0, [3, 11]] = IGNORED
    targets = torch.roll(positions, -1, 1)
    batch = Batch(torch.full((1, 12), 7), positions, first, torch.arange(12)[None], labels, targets, torch.zeros(1, 12))
    guesses = draft_head._guess(model, DraftHead(TINY), batch, 0, 12 - draft_head.AHEAD)
    # Row 0 asks for place 1, and row 1 for place 2, which a guess is held against; rows 2 and 3 have no next place. Row 11 asks
    # for nothing, so that of the rows 4 to 6 the last has nothing to be held against 5 slots ahead.
    assert [len(each) for each in guesses.head] == [1 + 3, 3, 3, 3, 2]
    assert [len(each) for each in guesses.model] == [len(each) for each in guesses.head]


def test_the_graph_says_what_torch_says(run: Path) -> None:
    model = AsArm(TINY)
    head = load_draft_head(run, TINY)
    assert head is not None
    graph = stored_as_half(draft_head_to_onnx(model, head))
    model.load_state_dict({name: weight.half().float() for name, weight in model.state_dict().items()})
    assert draft_head_difference(graph, model, head) <= TOLERANCE
    with torch.no_grad():
        head.mix.weight[0, 0] += 1
    assert draft_head_difference(graph, model, head) > TOLERANCE


def test_the_engine_drafts_with_an_exported_head(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    manifest = export_model(run, out, "tiny", {}, {}).manifest
    assert manifest.draft_head is not None and (out / manifest.draft_head.file).is_file()
    infiller = load_infiller(out)
    assert infiller.model.draft_head is not None
    states, logits = infiller.model.draft_head.step(np.ones((2, TINY.width), dtype=np.float32), np.array([7, 9]))
    assert states.shape == (2, TINY.width) and logits.shape == (2, TINY.vocabulary)
    passage = Passage(("def area(width, height):\n    ", "\n"), (24,), fixed_lengths=(True,))
    result = infiller.fill(passage, FillOptions(temperature=0, method="fused"))
    assert result.passes < result.tokens == 24


def test_an_export_without_one_leaves_none_behind(run: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model"
    file = export_model(run, out, "tiny", {}, {}).manifest.draft_head
    assert file is not None
    assert export_model(tiny_run, out, "tiny", {}, {}).manifest.draft_head is None
    assert not (out / file.file).exists()
    assert load_infiller(out).model.draft_head is None


def test_a_head_whose_graph_differs_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(model: AsArm, head: DraftHead) -> onnx.ModelProto:
        with torch.no_grad():
            head.mix.weight[0, 0] += 1
        proto = draft_head_to_onnx(model, head)
        with torch.no_grad():
            head.mix.weight[0, 0] -= 1
        return proto

    monkeypatch.setattr(onnx_graph, "draft_head_to_onnx", altered)
    with pytest.raises(LacunaError, match="draft head differ from torch's by"):
        export_model(run, tmp_path / "model", "tiny", {}, {})
    assert not (tmp_path / "model").exists()


def test_a_damaged_head_is_refused_in_one_sentence(run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / DRAFT_HEAD).write_bytes((copy / DRAFT_HEAD).read_bytes()[:1000])
    with pytest.raises(LacunaError, match="is damaged or of another model"):
        export_model(copy, tmp_path / "model", "tiny", {}, {})
    with pytest.raises(LacunaError, match="is damaged or of another model"):
        train_draft_head(tiny_corpus, copy, rows(1))


def test_the_command_trains_one(tiny_run: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(tiny_run, tmp_path / "run")
    assert cli.main(["draft-head", str(tiny_corpus), str(copy), "--tokens", "500"]) == 0
    assert "drafts accepted" in capsys.readouterr().out
    assert cli.main(["draft-head", str(tiny_corpus), str(copy), "--tokens", "500", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["overlap"]) == draft_head.AHEAD
    (copy / CHECKPOINT).unlink()
    assert cli.main(["draft-head", str(tiny_corpus), str(copy), "--tokens", "500"]) == 2
    assert "there is no checkpoint" in capsys.readouterr().err
    assert load_checkpoint(tiny_run)["step"] == 60 and not (tiny_run / DRAFT_HEAD).exists()
