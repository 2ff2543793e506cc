"""The README keeps its word: its commands run, its make targets and its links exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def shell_lines() -> list[str]:
    """The lines of all `sh` blocks, without prompts."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines() if line.strip()]


def test_its_lacuna_commands_run(tmp_path: Path) -> None:
    commands = [line for line in shell_lines() if line.startswith("lacuna ")]
    assert commands, "the README shows no lacuna command in a sh block"
    # In a copy, since a command may write into the file that it fills.
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        done = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_its_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {line.split()[1] for line in shell_lines() if line.startswith("make ")}
    assert named <= targets


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_of_the_project_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / document).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (ROOT / target).exists(), f"{document} links to {target}"
