"""Fair timing of several things at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

# Passes in a row: the first few only fetch what they read, the others are timed.
_FETCHING, PASSES_A_TURN = 2, 8


def interleave(cases: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 2) -> dict[str, list[float]]:
    """Milliseconds of each case in each round.

    The cases take turns within a round, and every other round runs backwards, so that a machine that slows down or is
    disturbed does so for all of them.
    """
    for _ in range(warmup):
        for case in cases.values():
            case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            start = time.perf_counter()
            cases[name]()
            times[name].append((time.perf_counter() - start) * 1000)
    return times


def in_turns(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call. A case has several in a row, of which the first few only fetch what it reads; every other round
    runs backwards."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            for call in range(_FETCHING + PASSES_A_TURN):
                start = time.perf_counter()
                cases[name]()
                if call >= _FETCHING:
                    times[name].append((time.perf_counter() - start) * 1000)
    return times
