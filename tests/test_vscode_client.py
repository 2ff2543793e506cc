"""The VS Code extension's own checks: TypeScript's, ESLint's, and the unit tests of what needs no editor."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[1] / "vscode-client"
OLDEST_NODE = 20
SECONDS = 300

pytestmark = pytest.mark.slow


def run(*command: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command[0]) or command[0]
    return subprocess.run(
        [program, *command[1:]], cwd=CLIENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", timeout=SECONDS
    )


def leave_out(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """What package-lock.json lists, installed where it isn't. Without Node.js or a registry the tests are left out, but not in CI."""
    if shutil.which("npm") is None or int(run("node", "--version").stdout.removeprefix("v").split(".")[0]) < OLDEST_NODE:
        leave_out(f"the VS Code extension was not checked: that needs Node.js {OLDEST_NODE} and npm")
    installed, listed = CLIENT / "node_modules" / ".package-lock.json", CLIENT / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < listed.stat().st_mtime:
        done = run("npm", "ci", "--ignore-scripts")
        if done.returncode != 0:
            leave_out(f"the VS Code extension was not checked, for its packages could not be installed: {done.stderr.strip()[-500:]}")


@pytest.mark.parametrize("script", ["check", "test"])
def test_script(script: str) -> None:
    done = run("npm", "run", script)
    assert done.returncode == 0, done.stdout + done.stderr
