"""What is exported from: whole runs and float32 folders, and one sentence for anything else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import LacunaError
from engine.local import load_infiller
from export import cli, onnx_graph
from export.draft_head import DRAFT_HEAD
from export.draft_head_model import DraftHead
from export.onnx_graph import export_model
from export.source import read_source
from export.train import CHECKPOINT, TOKENIZER, load_checkpoint
from tests.export.workshop import TINY


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be broken."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def refused(run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that an export of the run ends with; nothing is left of it."""
    out = run.parent / "out" / "model"
    assert cli.main(["onnx", str(run), str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lacuna-export: ") and error.count("\n") == 1 and "Traceback" not in error
    assert not out.exists()
    return error


def lack(weights: dict[str, Any]) -> None:
    del weights["blocks.1.attention.out.weight"]


def have_more(weights: dict[str, Any]) -> None:
    weights["blocks.0.attention.bias"] = torch.zeros(3)


def change_shapes(weights: dict[str, Any]) -> None:
    for layer in range(2):
        for name in ("gate", "up"):
            weights[f"blocks.{layer}.feed_forward.{name}.weight"] = torch.zeros(47, 32)


def break_numbers(weights: dict[str, Any]) -> None:
    weights["embedding.weight"][7, 3] = float("nan")


def be_too_large(weights: dict[str, Any]) -> None:
    weights["embedding.weight"][7, 3] = 1e6  # float16 ends before that


def be_no_tensor(weights: dict[str, Any]) -> None:
    weights["embedding.weight"] = [[1.0]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lack, "it lacks blocks.1.attention.out.weight;"),
        (have_more, "it has unknown blocks.0.attention.bias;"),
        (change_shapes, "blocks.1.feed_forward.gate.weight ([47, 32], not [48, 32]) and 1 more;"),
        (break_numbers, "NaN or infinite in embedding.weight;"),
        (be_too_large, "NaN or infinite in embedding.weight;"),
        (be_no_tensor, "embedding.weight (None, not [300, 32]);"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    change: Callable[[dict[str, Any]], None], told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_checkpoint(run)
    change(state["model"])
    torch.save(state, run / CHECKPOINT)
    assert told in refused(run, capsys)


@pytest.mark.parametrize("state", [{}, [], {"recipe": {"model": {"depth": 3}}}, {"recipe": 3, "model": {}}])
def test_a_checkpoint_of_something_else_is_refused(state: object, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(state, run / CHECKPOINT)
    assert "is no checkpoint of lacuna-export train" in refused(run, capsys)


class Trap:
    """A pickle of it would write a file where it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.file,))


def test_a_pickle_with_code_is_refused_and_not_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"recipe": {}, "model": Trap(tmp_path / "sprung")}, run / CHECKPOINT)
    assert "is refused: it is a pickle that holds more than tensors" in refused(run, capsys)
    assert not (tmp_path / "sprung").exists()


def test_a_damaged_checkpoint_is_told_from_one_with_code(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (run / CHECKPOINT).read_bytes()
    for damaged in (content[: len(content) // 2], b"no checkpoint at all", b""):
        (run / CHECKPOINT).write_bytes(damaged)
        assert "is damaged" in refused(run, capsys)


def another_size(raw: dict[str, Any]) -> None:
    raw["model"]["vocab"]["<another>"] = len(raw["model"]["vocab"])


def other_specials(raw: dict[str, Any]) -> None:
    first, second = raw["added_tokens"][:2]
    first["content"], second["content"] = second["content"], first["content"]
    vocabulary = raw["model"]["vocab"]
    vocabulary["<pad>"], vocabulary["<bos>"] = vocabulary["<bos>"], vocabulary["<pad>"]


def lower_case(raw: dict[str, Any]) -> None:
    raw["normalizer"] = {"type": "Lowercase"}


def nonsense(raw: dict[str, Any]) -> None:
    raw["model"] = {"type": "none"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_size, "has 301 entries, but the model has 300"),
        (other_specials, "has no <pad> with the id 0"),
        (lower_case, "changes texts instead of giving them back"),
        (nonsense, "is not a tokenizer"),
    ],
)
def test_a_tokenizer_that_does_not_match_is_refused(
    change: Callable[[dict[str, Any]], None], told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = json.loads((run / TOKENIZER).read_text(encoding="utf-8"))
    change(raw)
    (run / TOKENIZER).write_text(json.dumps(raw), encoding="utf-8")
    error = refused(run, capsys)
    assert told in error and TOKENIZER in error


@pytest.mark.parametrize("file", [CHECKPOINT, TOKENIZER, DRAFT_HEAD])
@pytest.mark.parametrize("gone", [True, False])
def test_a_model_that_is_swapped_while_it_is_exported_is_refused(
    file: str, gone: bool, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"head": DraftHead(TINY).state_dict(), "tokens": 1}, run / DRAFT_HEAD)
    measure = onnx_graph.largest_difference

    def swap_meanwhile(*arguments: Any) -> onnx_graph.Difference:
        if gone:
            (run / file).unlink()
        else:
            (run / file).write_bytes((run / file).read_bytes() + b" ")
        return measure(*arguments)

    monkeypatch.setattr(onnx_graph, "largest_difference", swap_meanwhile)
    assert f"{file} changed while it was exported" in refused(run, capsys)


def test_a_model_folder_is_exported_as_its_run_is(run: Path, tmp_path: Path) -> None:
    torch.save({"head": DraftHead(TINY).state_dict(), "tokens": 1}, run / DRAFT_HEAD)
    first = export_model(run, tmp_path / "first", "tiny", {"note": 1}, {"bits": 2}).manifest
    again = export_model(tmp_path / "first", tmp_path / "again", None, {}, {}, ("int8", "float32")).manifest
    assert again.graphs["float32"] == first.graphs["float32"] and again.draft_head == first.draft_head
    assert (again.name, again.tokenizer, again.corpus, list(again.graphs)) == ("tiny", first.tokenizer, {"note": 1}, ["int8", "float32"])
    assert first.evaluation == {"bits": 2} and again.evaluation == {}, "figures of float32 don't tell of the graph that is run"
    assert again.made_with["weights_sha256"] == first.graphs["float32"].sha256
    assert load_infiller(tmp_path / "again").model.path.name == "model.int8.onnx"


def test_a_model_folder_without_weights_to_export_is_refused(run: Path, tmp_path: Path) -> None:
    export_model(run, tmp_path / "rounded", "tiny", {}, {}, ("int8",))
    with pytest.raises(LacunaError, match="has no float32 graph, whose weights could be exported, only int8"):
        read_source(tmp_path / "rounded")


def test_a_folder_is_not_written_over_itself(run: Path, tmp_path: Path) -> None:
    export_model(run, tmp_path / "model", "tiny", {}, {})
    with pytest.raises(LacunaError, match="would be written over itself"):
        export_model(tmp_path / "model", tmp_path / "model", None, {}, {}, ("int8",))
    load_infiller(tmp_path / "model")
