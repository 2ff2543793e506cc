"""Neovim as the client: the configuration of docs/editors.md, its own code for menus, edits, hovers and commands, and the real server."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.editor_page import configuration

pytestmark = pytest.mark.skipif(shutil.which("nvim") is None, reason="Neovim (nvim) is not installed")

TEXT = """import csv


def total(orders):
\t# the sum 😀 of all
\tresult = 0
\tfor order in orders:
\t\tnote = "😀é"; result += ___
\treturn ___


print(total([]))
"""


def play(scenario: str, file: Path, folder: Path) -> dict[str, Any]:
    """Open a file in a Neovim that knows nothing but the page's configuration, and play a scenario of neovim.lua."""
    (folder / "init.lua").write_text(configuration("Neovim", "lua"), encoding="utf-8")
    report = folder / "report.json"
    driver = Path(__file__).with_name("neovim.lua")
    homes = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    # `lacuna-lsp` is where this Python is.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["nvim", "--headless", "-n", "-i", "NONE", "--cmd", f"luafile {driver}", "--cmd", f"lua LACUNA_TEST.prepare('{scenario}')"]
    command += ["-u", str(folder / "init.lua"), "-c", f"lua LACUNA_TEST.run('{scenario}')", str(file)]
    environment = {**os.environ, **homes, "PATH": path, "LACUNA_TEST_REPORT": str(report)}
    done = subprocess.run(command, cwd=file.parent, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    assert report.is_file(), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert "problem" not in answer, f"{answer}\n{done.stderr}"
    assert answer["clients"] == 1
    assert answer["exits"] == [{"code": 0, "signal": 0}], "the server must shut down properly"
    assert "Error" not in done.stderr, done.stderr
    logs = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("lsp.log"))
    assert "Traceback" not in logs, logs
    return answer


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_fills_are_listed_resolved_applied_and_undone(project: Path, tmp_path: Path, newline: str) -> None:
    file = project / "orders.py"
    file.write_bytes(TEXT.replace("\n", newline).encode())
    answer = play("fill", file, tmp_path)
    before = TEXT.removesuffix("\n")
    assert answer["before"] == before
    titles = answer["listed"][0]
    assert titles[0] == "Fill this hole" and "Fill all 2 holes in this file" in titles
    first, second, rest = before.split("___")
    assert answer["one_filled"].startswith(first) and answer["one_filled"].endswith(second + "___" + rest)
    assert answer["one_filled"] != before and answer["notes"] == []
    assert answer["undone"] == before and answer["undone_at_once"] == before
    assert re.fullmatch(re.escape(first) + ".+" + re.escape(second) + ".+" + re.escape(rest), answer["all_filled"], re.DOTALL)
    assert "___" not in answer["all_filled"]
    written = file.read_bytes().decode()
    assert written == answer["all_filled"].replace("\n", newline) + newline
    ast.parse(written)


def test_hover_tells_a_likelihood(project: Path, tmp_path: Path) -> None:
    file = project / "orders.py"
    file.write_text(TEXT)
    hover = play("hover", file, tmp_path)["hover"]
    assert "print" in hover and "log-likelihood -" in hover and "bits per token" in hover


def test_a_fill_for_an_older_text_changes_nothing(project: Path, tmp_path: Path) -> None:
    file = project / "orders.py"
    file.write_text(TEXT)
    answer = play("edit_during_fill", file, tmp_path)
    assert answer["typed"] == "# typed meanwhile\n" + TEXT.removesuffix("\n")
    assert answer["after"] == answer["typed"]
    (note,) = answer["notes"]
    assert "the document changed" in note


def test_a_choice_among_alternatives(project: Path, tmp_path: Path) -> None:
    file = project / "orders.py"
    file.write_text(TEXT)
    answer = play("choose", file, tmp_path)
    assert answer["question"][0] == "Lacuna: which fill?" and len(answer["question"]) >= 3
    assert answer["chosen"].count("___") == 1
    assert answer["notes"] == []


def test_commands_for_a_client_that_resolves_nothing(project: Path, tmp_path: Path) -> None:
    file = project / "orders.py"
    file.write_text(TEXT)
    answer = play("command", file, tmp_path)
    assert answer["filled"].count("___") == 1
    assert answer["notes"] == []
