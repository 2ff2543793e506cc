"""The extension for VS Code in a real VS Code: packaged, installed and used through its page and its API. Each scenario is a file in
tests/e2e/vscode/scenarios, which says what happens; all are played in one VS Code, those that can in one window."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).with_name("vscode")
# Those in_one_window come first, one after another.
SCENARIOS = sorted(f"{file.parent.name}/{file.stem}" for file in (HARNESS / "scenarios").glob("*/*.mjs"))
# A scenario ends itself after 150 s; setting up may download.
SECONDS = 200
SECONDS_TO_SET_UP = 600
# Continuous integration installs what apt has; there, nothing is left out for want of that.
MUST_RUN = os.environ.get("CI") == "true" and shutil.which("apt-get") is not None

pytestmark = pytest.mark.slow


def node_version() -> int:
    """The major version of Node.js; 0 where there is none."""
    if shutil.which("node") is None:
        return 0
    told = subprocess.run(["node", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout
    return int(told.removeprefix("v").split(".")[0])


class VSCode:
    """The process that plays scenarios."""

    def __init__(self, home: Path, kept: Path) -> None:
        self.kept = kept
        self.log = (home.parent / "play.log").open("w+")
        command = ["node", str(HARNESS / "play.mjs"), str(home), str(kept), sys.executable]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1)

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line that the process writes."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(seconds)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.log.seek(0)
            return {"problem": f"no answer within {seconds} s" if not ready else f"VS Code's driver ended\n{self.log.read()[-4000:]}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def play(self, scenario: str) -> dict[str, Any]:
        """Play a scenario to its end."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{scenario}\n")
        return self.answer(SECONDS)

    def close(self) -> None:
        """End it, and the VS Code with it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


@pytest.fixture(scope="module")
def vscode(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VSCode]:
    if (node := node_version()) < 20:
        pytest.skip(
            f"the extension was not tried in a real VS Code: {f'Node.js is {node}' if node else 'there is no Node.js'}; it needs 20"
        )
    folder = tmp_path_factory.mktemp("vscode")
    code = VSCode(folder / "home", folder / "kept")
    try:
        answer = code.answer(SECONDS_TO_SET_UP)
        if "skipped" in answer:
            leave_out(answer["skipped"])
        assert "problem" not in answer, answer["problem"]
        yield code
    finally:
        code.close()


def leave_out(lack: str) -> None:
    """Skip, or fail where all that is needed should be there."""
    reason = f"the extension was not tried in a real VS Code: {lack}"
    if MUST_RUN:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, vscode: VSCode) -> None:
    answer = vscode.play(scenario)
    if "skipped" in answer:
        pytest.skip(answer["skipped"])
    assert "problem" not in answer, f"{answer['problem']}\n(pictures and logs: {vscode.kept})"
