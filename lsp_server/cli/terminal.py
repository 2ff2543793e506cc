"""What a person sees while a command runs: colours, a progress line, and Ctrl-C that works."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from engine.errors import Cancelled
from engine.infiller import OnPass
from engine.results import Progress

_SECONDS_BETWEEN_LINES = 0.05
# Whatever a file holds, it must not steer the terminal: all control characters but tab and line end.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Style:
    """Colours, for a terminal only, and not where the variable NO_COLOR is set."""

    def __init__(self, stream: TextIO) -> None:
        self._on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._on and text else text

    def old(self, text: str) -> str:
        return self._paint("31", text)

    def new(self, text: str) -> str:
        return self._paint("32;1", text)

    def heading(self, text: str) -> str:
        return self._paint("1", text)

    def aside(self, text: str) -> str:
        return self._paint("2", text)


def harmless(text: str) -> str:
    """`text` with every control character replaced, tabs and line ends apart."""
    return _CONTROL.sub("\ufffd", text)


class ProgressLine:
    """One line on stderr that is written over and over; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._shown = 0.0

    def show(self, text: str) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def progress(doing: str) -> Iterator[OnPass]:
    """The hook for a long piece of work: shows a progress line, and stops between two passes on Ctrl-C by raising Cancelled."""
    line = ProgressLine()
    interrupted = threading.Event()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            # Pressed again: no patience left for the pass to end.
            raise KeyboardInterrupt
        interrupted.set()

    def on_pass(progress: Progress) -> None:
        if interrupted.is_set():
            raise Cancelled
        line.show(f"{doing}: pass {progress.passes:,}, {progress.tokens:,} of at most {progress.most:,} tokens")

    # Python allows handlers in the main thread alone.
    handles = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, on_interrupt) if handles else None
    try:
        line.show(f"{doing}…")
        yield on_pass
    finally:
        line.clear()
        if handles:
            signal.signal(signal.SIGINT, before)
