"""lacuna.toml on the command line: what it sets, what overrules it, and what is said of a wrong value."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult
from lsp_server.cli import context as context_command
from lsp_server.cli import fill as fill_command
from lsp_server.cli import main
from lsp_server.settings_file import NAME
from tests.lsp_server.narrowed import Narrowed

SETTINGS = """marker = "GAP"
temperature = 0.25
topP = 0.5
method = "sequential"
maxTokens = 5
alternatives = 2
seed = 11
"""


class Listening(Narrowed):
    """The real model, which also remembers the options."""

    options: FillOptions

    def fill(self, passage: Passage, options: FillOptions, on_pass: OnPass = ignore_progress) -> FillResult:
        self.options = options
        return super().fill(passage, options, on_pass)


@pytest.fixture
def model(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> Listening:
    model = Listening(infiller, infiller.window, infiller.max_holes)
    for command in (fill_command, context_command):
        monkeypatch.setattr(command, "load_model", lambda folder, device: model)
    return model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file two folders below the settings."""
    (tmp_path / NAME).write_text(SETTINGS)
    path = tmp_path / "package" / "inner" / "sample.py"
    path.parent.mkdir(parents=True)
    path.write_text("def add(a, b):\n    return GAP\n")
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[dict[str, Any], str]:
    """The JSON of a command, and what it said on stderr."""
    # Whether a suggestion came is the model's matter.
    assert main([*map(str, arguments), "--json"]) in (0, 1)
    captured = capsys.readouterr()
    answer: dict[str, Any] = json.loads(captured.out)
    return answer, captured.err


def test_fill_takes_the_settings_of_the_nearest_file_above(file: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "fill", file)
    # More are drawn than shown, as some may be refused.
    assert model.options.count > 2
    assert (model.options.temperature, model.options.top_p, model.options.method) == (0.25, 0.5, "sequential")
    assert model.passages[-1].budgets == (5,) and model.passages[-1].pieces[0].endswith("return ")
    first, again = said(capsys, "fill", file)[0], said(capsys, "fill", file)[0]
    assert first["suggestions"] == again["suggestions"]
    (file.parent / NAME).write_text('marker = "add"\ntemperature = 0.125\n')
    said(capsys, "fill", file)
    assert (model.options.temperature, model.options.method) == (0.125, "fused")
    assert model.passages[-1].pieces[0] == "def "


def test_the_command_line_overrules_the_file(file: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--marker", "add", "--temperature", 0, "--top-p", 1, "--method", "fused", "--max-tokens", 7, "--seed", 3, "-n", 1]
    said(capsys, "fill", file, *options)
    assert (model.options.temperature, model.options.top_p, model.options.method, model.options.seed) == (0, 1, "fused", 3)
    assert model.passages[-1].budgets == (7,) and model.passages[-1].pieces[0] == "def "
    answer, _ = said(capsys, "fill", file, "-n", 1)
    assert len(answer["suggestions"]) <= 1 and model.options.temperature == 0.25


def test_without_a_file_the_defaults_hold(tmp_path: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sample.py"
    path.write_text("x = ___\n")
    answer, told = said(capsys, "fill", path)
    defaults = FillOptions()
    assert (model.options.temperature, model.options.top_p, model.options.method) == (
        defaults.temperature,
        defaults.top_p,
        defaults.method,
    )
    assert len(answer["suggestions"]) <= 1 and (not told or "no suggestion" in told)


def test_context_takes_marker_and_budget(file: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    (passage,) = said(capsys, "context", file)[0]["passages"]
    assert passage["tokens"]["holes"] == 5
    (passage,) = said(capsys, "context", file, "--marker", "add", "--max-tokens", 9)[0]["passages"]
    assert passage["tokens"]["holes"] == 9


def test_standard_input_belongs_to_the_current_folder(
    file: Path, model: Listening, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x = GAP\n")))
    (passage,) = said(capsys, "context", "-")[0]["passages"]
    assert passage["tokens"]["holes"] == 5


def test_a_file_of_a_relative_path(
    file: Path, model: Listening, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert said(capsys, "context", file.name)[0]["passages"][0]["tokens"]["holes"] == 5


def test_a_wrong_value_is_told_and_the_rest_counts(file: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    settings = file.parents[2] / NAME
    settings.write_text('temperature = "hot"\nmarker = "GAP"\nmodel = "/elsewhere"\nmaxTokens = 4096\n')
    _, told = said(capsys, "fill", file, "--seed", 1, "--max-tokens", 5)
    assert told.splitlines()[:2] == [
        f'lacuna: {settings}:1: temperature must be a number from 0 to 10, not "hot"',
        f"lacuna: {settings}:3: model can't be set by a project; set it in the editor or on the command line",
    ]
    assert model.options.temperature == FillOptions().temperature
    # As many as the model takes: a project can't know which model its readers have.
    (passage,) = said(capsys, "context", file)[0]["passages"]
    assert 5 < passage["tokens"]["holes"] < model.window


def test_what_stands_in_the_file_does_not_steer_the_terminal(file: Path, model: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parents[2] / NAME).write_text('marker = "GAP"\n"\\u009b31m" = 1\n')
    _, told = said(capsys, "context", file)
    assert "31m" in told and "\x9b" not in told


@pytest.mark.parametrize("marker", ["", "  ", "two\nlines"])
def test_a_marker_that_is_none(marker: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fill", str(file), "--marker", marker])
    assert left.value.code == 2 and "must be a word of one line" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fill", "context"])
def test_help_names_the_file(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert NAME in capsys.readouterr().out
