"""Runs programs that nobody has read: each in a child process without network, with little memory and little time.

Needs a POSIX system; the network is taken away by a namespace of its own where the kernel allows that (Linux), and everywhere by
an audit hook (PEP 578) that refuses sockets, other processes and writing outside the child's own empty folder. That keeps out
what a language model writes by accident. It is no fortress: a program made to break out of CPython can.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import LacunaError

Verdict = Literal["passed", "wrong", "exception", "timeout", "syntax", "incomplete", "memory"]
# "incomplete" is for fills that never came to their end, which are not run.
VERDICTS: tuple[Verdict, ...] = ("passed", "wrong", "exception", "timeout", "syntax", "memory", "incomplete")

_CHILD = Path(__file__).with_name("sandbox_child.py")
_LONGEST_ANSWER = 256


@dataclass(frozen=True)
class Limits:
    """Seconds by the clock, and of one core; bytes of address space."""

    seconds: float = 3.0
    cpu_seconds: int = 3
    memory: int = 512 * 1024 * 1024


def parses(program: str) -> bool:
    """Whether Python compiles the program. Nothing of it is run."""
    try:
        compile(program, "program.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def run_program(program: str, check: str, limits: Limits | None = None) -> Verdict:
    """Run `program` and then `check` in a namespace they share; "passed" where both come to their end without an exception.

    "wrong" is a failed assertion, "exception" any other end, SystemExit and a crash of the interpreter among them.
    Raises LacunaError where the system is not POSIX.
    """
    if os.name != "posix":
        raise LacunaError("programs are judged in a sandbox that needs Linux or macOS; run this benchmark there")
    limits = limits or Limits()
    token = secrets.token_hex(16).encode()
    request = json.dumps([program, check, limits.memory, limits.cpu_seconds]).encode()
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder, tempfile.TemporaryFile() as asked:
        asked.write(b"%08x" % len(request) + request + token)
        asked.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-W", "ignore", str(_CHILD)],
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        try:
            answer = _answer(child, time.monotonic() + limits.seconds)
        finally:
            _kill(child)
    if answer is None or child.returncode == -signal.SIGXCPU:
        return "timeout"
    if answer == b"passed " + token:
        return "passed"
    return next((verdict for verdict in VERDICTS if verdict not in ("passed", "incomplete") and answer == verdict.encode()), "exception")


def _answer(child: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What the child says before it ends, cut off where it says too much; None where time runs out."""
    assert child.stdout is not None
    said = b""
    with child.stdout as pipe:
        while len(said) <= _LONGEST_ANSWER:
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            part = os.read(pipe.fileno(), _LONGEST_ANSWER)
            if not part:
                # The pipe closes a moment before the process is gone: its exit status tells why it went.
                child.wait()
                break
            said += part
    return said


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child with all that it started in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all are gone already
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class Court:
    """Judges programs in several children at once, and each only once: a verdict is kept for when the same program comes again."""

    def __init__(self, workers: int, limits: Limits | None = None) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")
        self._lock = threading.Lock()
        self._verdicts: dict[tuple[str, str], Future[Verdict]] = {}

    def submit(self, program: str, check: str) -> Future[Verdict]:
        """The verdict to come; at once where the program doesn't even parse."""
        with self._lock:
            known = self._verdicts.get((program, check))
            if known is None:
                if parses(program):
                    known = self._pool.submit(run_program, program, check, self._limits)
                else:
                    known = Future()
                    known.set_result("syntax")
                self._verdicts[program, check] = known
            return known

    @property
    def programs(self) -> int:
        """Number of different programs so far."""
        return len(self._verdicts)

    def close(self) -> None:
        """Wait for what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)
