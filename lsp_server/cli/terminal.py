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


# Red, green, blue.
Colour = tuple[int, int, int]
# Of the 256 colours those from 16 on: a cube of 6 steps each way, then greys.
_STEPS = (0, 95, 135, 175, 215, 255)


class Style:
    """Colours, for a terminal only, and not where the variable NO_COLOR is set."""

    def __init__(self, stream: TextIO) -> None:
        self.has_colours = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._all_colours = os.environ.get("COLORTERM") in ("truecolor", "24bit")

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_colours and text else text

    def on(self, background: Colour, foreground: Colour, text: str) -> str:
        """`text` in colours of red, green and blue from 0 to 255, or the nearest of the terminal's 256."""
        return self._paint(f"48;{self._colour(background)};38;{self._colour(foreground)}", text)

    def _colour(self, colour: Colour) -> str:
        return "2;{};{};{}".format(*colour) if self._all_colours else f"5;{_nearest(colour)}"

    def old(self, text: str) -> str:
        return self._paint("31", text)

    def new(self, text: str) -> str:
        return self._paint("32;1", text)

    def heading(self, text: str) -> str:
        return self._paint("1", text)

    def aside(self, text: str) -> str:
        return self._paint("2", text)


def _nearest(colour: Colour) -> int:
    """The nearest of the 256 colours."""
    cube = [min(range(6), key=lambda step: abs(_STEPS[step] - part)) for part in colour]
    grey = min(range(24), key=lambda step: abs(8 + 10 * step - sum(colour) // 3))
    in_cube = sum((_STEPS[step] - part) ** 2 for step, part in zip(cube, colour, strict=True))
    in_grey = sum((8 + 10 * grey - part) ** 2 for part in colour)
    return 16 + 36 * cube[0] + 6 * cube[1] + cube[2] if in_cube <= in_grey else 232 + grey


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
