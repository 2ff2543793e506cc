"""Emacs as the client: the configuration of docs/editors.md, Eglot's own code for lists, edits and hovers, and the real server."""

from __future__ import annotations

import ast
import functools
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

# Debian puts Eglot into a package of its own, which Emacs finds at its usual start but not in batch mode.
BATCH = ["emacs", "--batch", "--eval", "(package-initialize)"]
TEXT = """import csv


def total(orders):
    result = 0
    for order in orders:
        note = "😀é"; result += ___
    return ___


print(total([]))
"""


@functools.cache
def missing() -> str | None:
    """What this machine lacks for these tests."""
    if shutil.which("emacs") is None:
        return "Emacs is not installed"
    found = subprocess.run([*BATCH, "--eval", "(require 'eglot)"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return None if found.returncode == 0 else "this Emacs has no Eglot (Emacs 29 brings it; Debian's elpa-eglot adds it to 28)"


def play(scenario: str, folder: Path) -> dict[str, Any]:
    """Open a file in an Emacs that knows nothing but the page's configuration, and play a scenario of emacs.el."""
    if lack := missing():
        pytest.skip(lack)
    file = folder / "project" / "orders.py"
    file.parent.mkdir()
    file.write_text(TEXT, encoding="utf-8")
    (folder / "init.el").write_text(configuration("Emacs", "elisp"), encoding="utf-8")
    # What is drawn must not hang on luck.
    (file.parent / "lacuna.toml").write_text("seed = 1\n")
    report = folder / "report.json"
    # `lacuna-lsp` is where this Python is.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "HOME": str(folder), "PATH": path, "LANG": "C.UTF-8", "LACUNA_TEST_REPORT": str(report)}
    command = [*BATCH, "--load", str(folder / "init.el"), "--load", str(Path(__file__).with_name("emacs.el"))]
    command += ["--eval", f'(lacuna-test-run "{scenario}" "{file}")']
    done = subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
    assert report.is_file(), done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert "problem" not in answer, f"{answer}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    return answer


def test_fills_are_listed_applied_and_undone(tmp_path: Path) -> None:
    answer = play("fill", tmp_path)
    assert answer["before"] == TEXT
    assert "Fill this hole" in answer["listed"] and "Fill all 2 holes in this file" in answer["listed"]
    parts = [re.escape(part) for part in TEXT.split("___")]
    assert re.fullmatch(".+".join(parts), answer["filled"], re.DOTALL) and "___" not in answer["filled"]
    ast.parse(answer["filled"])
    assert answer["undone"] == TEXT


def test_hover_tells_a_likelihood(tmp_path: Path) -> None:
    hover = play("hover", tmp_path)["hover"]
    assert "print" in hover and "log-likelihood -" in hover and "bits per token" in hover
