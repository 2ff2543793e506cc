"""One request's way through the log: its number, what it cost and what came of it.

The number (`r17`) is Lacuna's own, for editors begin theirs anew. It travels in a context variable, so that whatever is logged on a
request's behalf bears it, wherever in the code that happens.
"""

from __future__ import annotations

import contextvars
import itertools
import time
from dataclasses import dataclass, field

from engine.results import Progress

_NOTHING = Progress(0, 0, 0)
_numbers = itertools.count(1)


@dataclass
class RequestRecord:
    """What is known of a request under way. `said` is the last sentence logged for it, such as why nothing comes. `unquoted` is the
    reason as the log may have it, where the one that the user gets quotes code."""

    feature: str
    id: str = field(default_factory=lambda: f"r{next(_numbers)}")
    passes: int = 0
    tokens: int = 0
    said: str = ""
    unquoted: str | None = None
    _began: float = field(default_factory=time.monotonic)
    _last: Progress = _NOTHING

    @property
    def milliseconds(self) -> float:
        return 1000 * (time.monotonic() - self._began)

    def count(self, progress: Progress) -> None:
        """Add what the engine did since its last report. Its totals begin anew with each call of the engine."""
        before = _NOTHING if progress.passes < self._last.passes else self._last
        self.passes += progress.passes - before.passes
        self.tokens += max(0, progress.tokens - before.tokens)
        self._last = progress


_current: contextvars.ContextVar[RequestRecord | None] = contextvars.ContextVar("lacuna_request", default=None)


def current_request() -> RequestRecord | None:
    """The request on whose behalf the running code acts; None for what nobody asked for, such as a timer's work."""
    return _current.get()


def without_quote(reason: str) -> str:
    """A rule's reason less what it quotes, which follows a colon: code, by default, is none of the log's business."""
    return reason.partition(": ")[0]


def enter_request(record: RequestRecord) -> None:
    """Let `record` be the current request for the rest of this context."""
    _current.set(record)
