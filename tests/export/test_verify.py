"""A model folder is checked through and through, and each kind of damage fails the check that is meant for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper

from engine.default_model import DEFAULT_MODEL
from engine.manifest import MANIFEST, load_manifest, sha256_of
from export import cli
from export.draft_head import DRAFT_HEAD
from export.draft_head_model import DraftHead
from export.onnx_graph import export_model
from export.train import CHECKPOINT, load_checkpoint
from export.verify import FAILED, OK, SKIPPED, Check, verify
from tests.export.workshop import TINY

PRECISIONS = ("float32", "float16", "int8", "int4")
GRAPH_CHECKS = ("contract", "passes", "cache", "fill", "density", "numerics")


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a draft head."""
    copy = shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run")
    torch.save({"head": DraftHead(TINY).state_dict(), "tokens": 1}, copy / DRAFT_HEAD)
    return copy


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in all precisions; tests must leave it as it is."""
    out = tmp_path_factory.mktemp("models") / "tiny"
    export_model(run, out, "tiny", {}, {}, PRECISIONS)
    return out


@pytest.fixture(scope="module")
def plain(run: Path, folder: Path) -> Path:
    out = folder.parent / "plain"
    export_model(run, out, "tiny", {}, {})
    return out


@pytest.fixture
def copied(plain: Path, tmp_path: Path) -> Path:
    """A float32 model, to be broken."""
    return shutil.copytree(plain, tmp_path / "model")


def outcomes(checks: list[Check], outcome: str) -> list[str]:
    return [check.name for check in checks if check.outcome == outcome]


def mend_hashes(folder: Path) -> None:
    """Make a broken folder's manifest name what now lies there, so that hashes alone don't tell."""
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for entry in (raw["tokenizer"], *raw["graphs"].values(), *([raw["draft_head"]] if raw["draft_head"] else [])):
        entry["sha256"] = sha256_of(folder / entry["file"])
    (folder / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")


def edit_graph(folder: Path, change: Callable[[onnx.GraphProto], None], file: str = "model.onnx") -> None:
    model = onnx.load(folder / file)
    change(model.graph)
    onnx.save(model, folder / file)
    mend_hashes(folder)


def edit_manifest(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(raw | changes), encoding="utf-8")


def test_a_sound_model_passes_every_check_beside_its_run(folder: Path, run: Path) -> None:
    checks = verify(folder, run)
    assert outcomes(checks, OK) == [
        "manifest",
        "files",
        "tokenizer",
        *(f"{precision} {check}" for precision in PRECISIONS for check in GRAPH_CHECKS),
        "draft head",
    ], "\n".join(map(str, checks))
    assert len(checks) == len(outcomes(checks, OK))


def test_a_graph_of_other_bytes_is_one_that_the_reference_could_give_all_the_same(copied: Path, run: Path) -> None:
    def rename(graph: onnx.GraphProto) -> None:
        graph.name = "renamed"

    (before,) = [check for check in verify(copied, run) if check.name == "float32 numerics"]
    edit_graph(copied, rename)
    (after,) = [check for check in verify(copied, run) if check.name == "float32 numerics"]
    assert before.outcome == after.outcome == OK
    assert "byte for byte" in before.why and "other bytes" in after.why


def test_without_a_reference_the_float32_graph_is_one_for_the_others(folder: Path, copied: Path) -> None:
    checks = verify(folder)
    assert outcomes(checks, SKIPPED) == ["float32 numerics"] and not outcomes(checks, FAILED)
    edit_manifest(copied, draft_head=None)
    assert outcomes(verify(copied), SKIPPED) == ["float32 numerics", "draft head"]


def test_the_default_model_is_sound_and_tells_what_it_was_made_with(tmp_path: Path) -> None:
    checks = verify(DEFAULT_MODEL)
    assert not outcomes(checks, FAILED), "\n".join(map(str, checks))
    assert "made with onnx" in checks[0].why
    older = shutil.copytree(DEFAULT_MODEL, tmp_path / "older")
    manifest = json.loads((older / "manifest.json").read_text(encoding="utf-8"))
    del manifest["made_with"]
    (older / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "does not tell what it was made with" in verify(older)[0].why


def test_a_float32_folder_is_a_reference(folder: Path, copied: Path) -> None:
    assert not outcomes(verify(copied, folder), FAILED) and not outcomes(verify(copied, folder), SKIPPED)


def damage(model: Path) -> None:
    (model / "draft_head.onnx").write_bytes(b"x")


def break_manifest(model: Path) -> None:
    edit_manifest(model, window=0)


def garble_tokenizer(model: Path) -> None:
    raw = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    raw["normalizer"] = {"type": "Lowercase"}
    (model / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    mend_hashes(model)


def claim_another_opset(model: Path) -> None:
    edit_manifest(model, made_with={"opset": 21})


def ask_for_another_type(model: Path) -> None:
    def change(graph: onnx.GraphProto) -> None:
        (ids,) = [each for each in graph.input if each.name == "content_ids"]
        ids.type.tensor_type.elem_type = onnx.TensorProto.INT32
        graph.node.insert(0, helper.make_node("Cast", ["content_ids"], ["wide_ids"], to=onnx.TensorProto.INT64))
        for node in graph.node[1:]:
            node.input[:] = ["wide_ids" if name == "content_ids" else name for name in node.input]

    edit_graph(model, change)


def fix_a_size(model: Path) -> None:
    def change(graph: onnx.GraphProto) -> None:
        (ids,) = [each for each in graph.input if each.name == "content_ids"]
        ids.type.tensor_type.shape.dim[0].dim_value = 1

    edit_graph(model, change)


def use_an_unknown_op(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    graph.opset_import.append(helper.make_opsetid("org.example", 1))
    onnx.save(graph, model / "model.onnx")
    mend_hashes(model)


def give_no_numbers(model: Path) -> None:
    def change(graph: onnx.GraphProto) -> None:
        (weight,) = [each for each in graph.initializer if each.name == "head.out_norm.weight"]
        weight.CopyFrom(numpy_helper.from_array(np.full(TINY.width, np.nan, np.float32), weight.name))

    edit_graph(model, change)


def forget_what_was_kept(model: Path) -> None:
    """The last layer's new keys come out as zeros, which a pass doesn't see but the next one does."""

    def change(graph: onnx.GraphProto) -> None:
        name = f"new_{2 * TINY.layers}"
        (made,) = [node for node in graph.node if node.output[0] == name]
        graph.initializer.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
        graph.node.append(helper.make_node("Mul", ["kept_keys", "nothing"], [name]))
        made.output[0] = "kept_keys"

    edit_graph(model, change)


def have_other_weights(model: Path) -> None:
    def change(graph: onnx.GraphProto) -> None:
        (weight,) = [each for each in graph.initializer if each.name == "head.out_norm.weight"]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))

    edit_graph(model, change)


def swap_the_draft_head(model: Path) -> None:
    shutil.copy(model / "model.onnx", model / "draft_head.onnx")
    mend_hashes(model)


FLOAT32 = [f"float32 {check}" for check in GRAPH_CHECKS]


@pytest.mark.parametrize(
    ("harm", "failed"),
    [
        (damage, ["files"]),
        (break_manifest, ["manifest"]),
        (garble_tokenizer, ["tokenizer"]),
        (claim_another_opset, FLOAT32[:1]),
        (ask_for_another_type, FLOAT32[:1]),
        (fix_a_size, FLOAT32[:1]),
        (use_an_unknown_op, FLOAT32[:1]),
        (give_no_numbers, FLOAT32[1:]),
        (forget_what_was_kept, ["float32 cache", "float32 density", "float32 numerics"]),
        (have_other_weights, FLOAT32[5:]),
        (swap_the_draft_head, [*FLOAT32[:1], "draft head"]),
    ],
)
def test_each_harm_fails_its_check(
    harm: Callable[[Path], None], failed: list[str], copied: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm(copied)
    assert cli.main(["verify", str(copied), "--reference", str(run), "--json"]) == 1
    checks = [Check(**check) for check in json.loads(capsys.readouterr().out)["checks"]]
    assert outcomes(checks, FAILED) == failed, "\n".join(map(str, checks))
    assert all("\n" not in check.why for check in checks)


def test_another_model_s_weights_are_told_apart(folder: Path, run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "run")
    state = load_checkpoint(other)
    state["model"]["blocks.0.attention.out.weight"] *= 1.2
    torch.save(state, other / CHECKPOINT)
    assert outcomes(verify(folder, other), FAILED) == [f"{precision} numerics" for precision in PRECISIONS]


def test_the_command_gives_a_line_a_check_or_json(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:19].strip() for line in lines] == ["manifest", "files", "tokenizer", *FLOAT32, "draft head"]
    assert cli.main(["verify", str(copied), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in printed["checks"]] == [line[:19].strip() for line in lines]
    assert {check["outcome"] for check in printed["checks"]} == {OK, SKIPPED}


def test_what_is_no_model_folder_or_no_reference_is_bad_input(copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([str(tmp_path / "nowhere")], [str(tmp_path)], [str(copied), "--reference", str(tmp_path)]):
        assert cli.main(["verify", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1 and not printed.out


OFFLINE = """
import json
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise OSError("there is no network here")

sys.addaudithook(refuse)
from export.cli import main
sys.exit(max(main(arguments) for arguments in json.loads(sys.argv[1])))
"""


def alone() -> list[str]:
    """What goes before a command that shall have no network at all; nothing where the system doesn't allow it."""
    command = ["unshare", "-rn"]
    try:
        return command if subprocess.run([*command, "true"], capture_output=True, timeout=60).returncode == 0 else []
    except OSError:
        return []


@pytest.fixture(scope="module")
def exported_apart(run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Exports by two processes that order their sets differently and have no sockets; the first checks what it wrote, too."""
    folders = [tmp_path_factory.mktemp("apart") / "model" for _ in range(2)]
    for seed, out in enumerate(folders):
        commands = [["onnx", str(run), str(out), "--precision", *cli.PRECISIONS]]
        commands += [["verify", str(out), "--reference", str(run)]] if seed == 0 else []
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(Path(cli.__file__).parents[1])}
        command = [*alone(), sys.executable, "-c", OFFLINE, json.dumps(commands)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
    return folders


def test_export_and_checks_need_no_network(exported_apart: list[Path]) -> None:
    tried = OFFLINE.partition("from export")[0] + "import socket; socket.create_connection(('127.0.0.1', 9))"
    refused = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, timeout=60)
    assert "there is no network here" in refused.stderr, "the processes would have had sockets"
    assert list(load_manifest(exported_apart[0]).graphs) == list(PRECISIONS)


def test_the_same_checkpoint_gives_the_same_bytes(exported_apart: list[Path], folder: Path) -> None:
    first, second = ({file.name: sha256_of(file) for file in out.iterdir()} for out in exported_apart)
    assert first == second and len(first) == 3 + len(PRECISIONS)
    manifest = load_manifest(exported_apart[0])
    assert manifest.graphs == load_manifest(folder).graphs
    assert manifest.made_with["opset"] == onnx.load(folder / "model.onnx").opset_import[0].version
    assert manifest.made_with["versions"] == {
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
    }
