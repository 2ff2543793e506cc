"""`lacuna-export`: each command, and one clear sentence for each bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from engine.manifest import load_manifest
from export import cli
from tests.export.workshop import source

COMMANDS = ("corpus", "overlap", "prepare", "train", "draft-head", "split", "join", "onnx", "verify", "evaluate", "holes", "recipes")


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_is_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*arguments, "--help"])
    assert stop.value.code == 0
    assert "usage: lacuna-export" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["corpus", "OUT", "--from", "NOWHERE"],
        ["overlap", "NOWHERE", "BINARY"],
        ["train", "NOWHERE", "OUT", "--recipe", "tiny", "--tokens", "1k"],
        ["train", "NOWHERE", "OUT", "--recipe", "no-such-recipe", "--tokens", "1k"],
        ["prepare", "NOWHERE", "OUT", "--recipe", "tiny"],
        ["draft-head", "NOWHERE", "OUT", "--minutes", "1"],
        ["split", "NOWHERE", "OUT"],
        ["join", "NOWHERE", "OUT"],
        ["onnx", "NOWHERE", "OUT"],
        ["onnx", "NOWHERE", "OUT", "--corpus", "NOWHERE"],
        ["onnx", "NOWHERE", "OUT", "--precision", "auto", "int8"],
        ["verify", "NOWHERE"],
        ["evaluate", "NOWHERE", "NOWHERE"],
        ["holes", "NOWHERE"],
        ["holes", "BINARY"],
    ],
)
def test_bad_input_gets_one_sentence(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe\x00")
    paths = {name: str(tmp_path / name) for name in ("NOWHERE", "OUT", "BINARY")}
    assert cli.main([paths.get(argument, argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lacuna-export: ") and error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["train", "c", "r", "--recipe", "tiny", "--tokens", "0"],
        ["train", "c", "r", "--recipe", "tiny", "--tokens", "nan"],
        ["train", "c", "r", "--recipe", "tiny", "--tokens", "1k", "--minutes", "1"],
        ["train", "c", "r", "--recipe", "tiny"],
    ]
    + [["evaluate", "m", "c", "--windows", bad] for bad in ("0", "-1", "x")],
)
def test_bad_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "lacuna-export" in capsys.readouterr().err


def test_holes_are_shown_where_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "box.py"
    file.write_text(source("box"), encoding="utf-8")
    assert cli.main(["holes", str(file), "--seed", "4", "-n", "3"]) == 0
    shown = capsys.readouterr().out
    assert 1 <= shown.count("⟦") == shown.count("⟧") <= 3
    for kind in ("node", "line", "block", "characters", "empty", "long"):
        shown = shown.replace(f"⟦{kind}: ", "")
    assert shown.replace("⟧", "") == source("box") + "\n"
    assert cli.main(["holes", str(file), "--seed", "4", "-n", "3"]) == 0


def test_a_cut_context_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "box.py"
    file.write_text("import os\n" + source("box"), encoding="utf-8")
    assert cli.main(["holes", str(file), "--cut", "17", "--kind", "empty", "--seed", "1"]) == 0
    shown = capsys.readouterr().out
    assert shown.replace("⟦empty: ⟧", "") == ("class box:\n    def area(self):\n        return area_of_box(self.width, self.height)\n\n")
    assert cli.main(["holes", str(file), "--cut", "99"]) == 2
    assert "has 18 lines; name one of them with --cut" in capsys.readouterr().err


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(path.stem in listed for path in cli.RECIPES.glob("*.toml"))


def test_a_run_is_exported(tiny_run: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models" / "mine"
    assert cli.main(["onnx", str(tiny_run), str(out), "--name", "mine", "--corpus", str(tiny_corpus), "--precision", "fp32", "int8"]) == 0
    told = capsys.readouterr().out
    assert "differ by at most" in told and "prefill 512, ms" in told
    assert load_manifest(out).name == "mine"
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["corpus"]["train"]["files"] == 12


@pytest.mark.parametrize("module", ["torch", "onnx"])
def test_a_missing_extra_is_named(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(sys.modules, "export.onnx_graph", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["onnx", str(tmp_path), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"needs {module}; install it with: pip install 'lacuna-lsp[export]'" in error


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("export.recipes.load_recipe", interrupted)
    assert cli.main(["recipes"]) == 130
    assert capsys.readouterr().err == "lacuna-export: cancelled\n"
