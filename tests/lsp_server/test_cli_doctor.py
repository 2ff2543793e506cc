"""`lacuna doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from engine.infiller import Infiller
from lsp_server.cli import main
from lsp_server.languages import grammar_of
from lsp_server.settings_file import NAME
from tests.engine.fake_driver import fake_driver
from tests.engine.no_driver import needs_no_driver


def test_a_sound_installation(capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    for name in ("python", "lacuna-lsp", "onnxruntime", "tokenizers", "tree-sitter", "pygls"):
        assert report["versions"][name]
    assert infiller.provider in report["providers"]
    assert report["model"]["name"] == infiller.model_name
    assert report["model"]["parameters"] > 0 and report["model"]["precision"] == "float32"
    assert Path(report["model"]["folder"]).is_dir()
    assert report["self_check"]["elapsed_ms"] > 0 and report["self_check"]["text"]
    assert 1 <= report["model"]["threads"] <= report["cores"]
    assert set(report["grammars"]) >= {"python", "javascript", "typescript", "go", "rust", "java", "c", "cpp"}
    assert report["grammars"]["python"] == report["versions"]["tree-sitter-python"]
    assert report["settings"] == {}
    assert report["problems"] == []
    assert report["device"]["wanted"] == "auto" and report["device"]["name"] == infiller.device.name


@needs_no_driver
def test_why_it_is_not_the_gpu(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "no NVIDIA driver was found (libcuda.so.1 can't be loaded); install one if there is an NVIDIA card"
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"\ndevice wanted         auto\ndevice name           CPU\ndevice reason         {reason}\n" in out and "broken" not in out
    # To who wants it, and nobody else, that is something to mend.
    assert main(["doctor", "--device", "cuda"]) == 1
    assert f"\nbroken: the CPU runs the model: {reason}\n" in capsys.readouterr().out
    assert main(["doctor", "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == {"wanted": "cpu", "name": "CPU"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text('device = "cuda"\n')
    assert main(["doctor"]) == 1


@pytest.mark.skipif("CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="ONNX Runtime is built without CUDA")
@pytest.mark.skipif(sys.platform != "linux", reason="the loader of other systems is told otherwise where a driver lies")
def test_a_card_that_is_not_used(tmp_path: Path) -> None:
    """The whole way, in a process that finds a driver's library as it would find NVIDIA's."""
    driver = fake_driver(tmp_path, name="NVIDIA Test Card", mebibytes=1)
    command = [sys.executable, "-c", "from lsp_server.cli import main; raise SystemExit(main())", "doctor", "--json"]
    environment = os.environ | {"LD_LIBRARY_PATH": str(driver.parent)}
    asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    device = json.loads(asked.stdout)["device"]
    assert device["name"] == "CPU" and "for GPUs" in device["reason"] and asked.stderr == ""


def test_its_text(capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert infiller.model_name in out and out.endswith("all is well\n")
    for name in ("self-check elapsed_ms", "grammar python", "settings file", "cores", "model threads"):
        assert f"\n{name} " in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell")
def test_the_memory_that_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["memory"]
    # Part of what the model takes may have been left over from another one.
    assert 20 < memory["resident_mb"] < 5_000 and memory["model_mb"] < memory["resident_mb"]
    assert main(["doctor"]) == 0
    assert "\nmemory resident_mb    " in capsys.readouterr().out


def test_the_settings_of_the_current_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "package"
    inner.mkdir()
    monkeypatch.chdir(inner)
    path = tmp_path / NAME
    path.write_text("topP = 0.5\nseed = 7000\n")
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"file": str(path), "topP": 0.5, "seed": 7000}
    path.write_text("topP = 0.5\nseed = -7\n")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"broken: {path}:2: seed must be a whole number from 0 to " in out and "settings topP         0.5\n" in out


def test_a_language_without_its_grammar_is_no_finding(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from lsp_server.cli import doctor

    monkeypatch.setattr(doctor, "grammar_of", lambda language: None if language == "go" else grammar_of(language))
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["grammars"]["go"] is None and report["grammars"]["python"]
    assert main(["doctor"]) == 0
    assert "grammar go            none, so it is plain text; pip install lacuna-lsp[languages] brings them all\n" in capsys.readouterr().out


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
