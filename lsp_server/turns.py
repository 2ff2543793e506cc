"""Requests of which only the newest counts: a newer one ends an older one's wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Turn:
    """One request's turn, which ends when a newer request takes it."""

    def __init__(self) -> None:
        self._overtaken = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._overtaken.is_set()

    def end(self) -> None:
        self._overtaken.set()

    async def wait(self, seconds: float) -> None:
        """Let `seconds` pass, or less if the turn ends."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._overtaken.wait(), seconds)


class Turns:
    """Whose turn it is, for each key. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    @contextmanager
    def take(self, key: str) -> Iterator[Turn]:
        """A turn, which ends the one that another request with this key has."""
        if key in self._turns:
            self._turns[key].end()
        turn = self._turns[key] = Turn()
        try:
            yield turn
        finally:
            if self._turns.get(key) is turn:
                del self._turns[key]
