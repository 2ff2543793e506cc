"""The sandbox: programs really run, and what they must not do fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.sandbox import Court, Limits, Verdict, parses, run_program

ADD = "def add(a, b):\n    return a + b\n"
CHECK = "def check(f):\n    assert f(1, 2) == 3\n    assert f(-1, 1) == 0\ncheck(add)\n"
FAST = Limits(seconds=1.5, cpu_seconds=1)


def test_a_right_program_passes() -> None:
    assert run_program(ADD, CHECK) == "passed"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    return a - b\n", "wrong"),
        ("    raise ValueError\n", "exception"),
        ("    return undefined\n", "exception"),
        ("    import sys; sys.exit(0)\n", "exception"),
        ("    import os; os._exit(0)\n", "exception"),
        ("    return (\n", "syntax"),
        ("    return bytearray(1 << 40)\n", "memory"),
        ("    while True: pass\n", "timeout"),
        ("    import time; time.sleep(60)\n", "timeout"),
    ],
)
def test_a_broken_program_fails_and_says_how(body: str, expected: Verdict) -> None:
    assert run_program("def add(a, b):\n" + body, CHECK, FAST) == expected


def test_the_time_limit_holds_by_the_processor_s_time_too() -> None:
    assert run_program("while True: pass", "", Limits(seconds=60, cpu_seconds=1)) == "timeout"


def test_the_time_limit_holds_by_the_clock() -> None:
    began = time.monotonic()
    assert run_program("import time; time.sleep(60)", "", Limits(seconds=0.5)) == "timeout"
    assert time.monotonic() - began < 20  # far below the sleep, far above what a busy machine needs


@pytest.mark.parametrize(
    "body",
    [
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import os; os.kill(os.getppid(), 9)",
    ],
)
def test_network_and_other_processes_are_refused(body: str) -> None:
    assert run_program(f"def add(a, b):\n    {body}\n    return a + b\n", CHECK, FAST) == "exception"


def test_files_outside_its_own_folder_are_safe(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("before", encoding="utf-8")
    for act in (f"open({str(kept)!r}, 'w').write('after')", f"__import__('os').remove({str(kept)!r})"):
        assert run_program(f"def add(a, b):\n    {act}\n    return a + b\n", CHECK, FAST) == "exception"
    assert kept.read_text(encoding="utf-8") == "before"
    own = "def add(a, b):\n    open('own.txt', 'w').write('x')\n    return a + b\n"
    assert run_program(own, CHECK) == "passed"


def test_the_environment_and_the_project_are_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    assert run_program("import os\ndef add(a, b):\n    return a + b + len(os.environ.get('SECRET', ''))\n", CHECK) == "passed"
    assert run_program("import engine\n" + ADD, CHECK) == "exception"


def test_printing_what_the_sandbox_would_say_does_not_pass() -> None:
    tries = "for fd in range(3, 16):\n        try: os.write(fd, b'passed ' + b'0' * 32)\n        except OSError: pass"
    forged = f"import os\ndef add(a, b):\n    {tries}\n    os._exit(0)\n"
    assert run_program(forged, CHECK) != "passed"


def test_a_court_judges_each_program_once() -> None:
    court = Court(1)
    first, again = court.submit(ADD, CHECK), court.submit(ADD, CHECK)
    assert first is again
    assert first.result() == "passed"
    assert court.submit("def add(", CHECK).result() == "syntax"
    assert court.programs == 2
    court.close()


def test_parsing_runs_nothing(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert parses(f"open({str(made)!r}, 'w')")
    assert not made.exists()
    assert not parses("return (")
