"""`lacuna doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.infiller import Infiller
from lsp_server.cli import main


def test_a_sound_installation(capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    for name in ("python", "lacuna-lsp", "onnxruntime", "tokenizers", "tree-sitter", "pygls"):
        assert report["versions"][name]
    assert infiller.provider in report["providers"]
    assert report["model"]["name"] == infiller.model_name
    assert report["model"]["parameters"] > 0 and report["model"]["precision"] == "float32"
    assert Path(report["model"]["folder"]).is_dir()
    assert report["self_check"]["elapsed_ms"] > 0
    assert report["problems"] == []


def test_its_text(capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert infiller.model_name in out and "self-check elapsed_ms" in out and out.endswith("all is well\n")


def test_a_missing_model_is_a_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["doctor", "--json", "--model", str(tmp_path / "none")]) == 1
    report = json.loads(capsys.readouterr().out)
    assert any(str(tmp_path / "none") in problem for problem in report["problems"])
    assert report["versions"]["python"] and report["model"] == {}


def test_a_missing_package_is_a_finding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from lsp_server.cli import doctor

    monkeypatch.setattr(doctor, "_EDITOR_PARTS", ("no-such-package",))
    assert main(["doctor"]) == 1
    assert "broken: no-such-package is not installed" in capsys.readouterr().out
