"""Ten minutes on a GPU, rehearsed: the commands of docs/model.md, in their order, with a tiny recipe and for seconds."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.local import load_infiller
from engine.options import FillOptions
from engine.passage import Passage
from export import cli
from tests.export.workshop import RECIPE

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    """The section's indented lines."""
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    section = text.partition("### Training on a GPU in ten minutes\n")[2].partition("\n**The draft head**")[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def recipe_file(folder: Path) -> Path:
    path = folder / "base.toml"
    model = RECIPE.model.as_dict()
    model["tied"] = str(model["tied"]).lower()
    fields = ("rows", "batch", "muon_rate", "adam_rate", "warmup", "decay", "average", "ahead", "furthest", "seed")
    lines = [f"{name} = {getattr(RECIPE, name)}" for name in fields]
    path.write_text("\n".join([*lines, "[model]", *(f"{name} = {value}" for name, value in model.items())]), encoding="utf-8")
    return path


def test_the_workshop_runs_uninstalled() -> None:
    done = subprocess.run([sys.executable, "-m", "export", "recipes", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "usage: lacuna-export recipes" in done.stdout, done.stderr


def test_training_needs_no_more_packages_than_the_page_names() -> None:
    absent = ("rensa", "onnx", "onnxruntime", "onnxscript", "safetensors", "pygls", "lsprotocol", "watchdog")
    script = f"import sys; sys.modules.update(dict.fromkeys({absent})); import export.cli, export.train, export.draft_head, export.parcels"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_documented_commands_make_a_model(tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_file(tmp_path)
    home, away, parts = tmp_path / "home", tmp_path / "away", tmp_path / "parts"
    home.mkdir()
    away.mkdir()
    shutil.copytree(tiny_corpus, home / "corpus")
    instead = {"base": str(recipe), "8": "0.05", "0.5": "0.02", "PARTS": str(parts), "$OUT": str(parts)}
    ran = []
    monkeypatch.chdir(home)
    for line in commands():
        words = [instead.get(word, word) for word in shlex.split(line)]
        words = words[3:] if words[:3] == ["python", "-m", "export"] else words[1:] if words[0] == "lacuna-export" else words
        if words[0] == "corpus":
            continue  # the tiny one is there already
        if words[:2] == ["tar", "xJf"]:
            shutil.move(home / words[2], away)
            monkeypatch.chdir(away)
        if words[0] == "join":
            shutil.rmtree(home / "run")
            monkeypatch.chdir(home)
        code = subprocess.run(words, timeout=60).returncode if words[0] == "tar" else cli.main(words)
        assert code == 0, line
        ran.append(words[0])
    assert ran == ["prepare", "tar", "tar", "train", "draft-head", "split", "join", "onnx"]
    assert load_infiller(home / "MODEL").fill(Passage(("x = ", "\n"), (8,)), FillOptions())
