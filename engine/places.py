"""Which rows of a cache on a device are in use: contexts take places from one pool and share them, so that nothing is ever moved."""

from __future__ import annotations

from collections import deque

import numpy as np

from engine.sequence import IntArray

SPARE = 0  # the place that padding writes to, as all inputs of its rows are 0; nobody gets it or sees it


class Places:
    """A pool of `capacity` places, each with so many holders. A place without any is free, whatever its row holds.

    One thread takes and shares; places may be given back from any, as contexts are when the last reference to them goes.
    """

    def __init__(self, capacity: int) -> None:
        self._holders = np.zeros(capacity, dtype=np.int64)
        self._holders[SPARE] = 1
        self._given_back: deque[IntArray] = deque()

    @property
    def capacity(self) -> int:
        return len(self._holders)

    @property
    def free(self) -> int:
        """How many places can be taken."""
        self._collect()
        return int((self._holders == 0).sum())

    def take(self, count: int) -> IntArray:
        """The `count` lowest free places, of which there must be as many: a pass reads the cache up to its highest one."""
        self._collect()
        taken = np.flatnonzero(self._holders == 0)[:count]
        assert len(taken) == count
        self._holders[taken] = 1
        return taken

    def share(self, places: IntArray) -> None:
        """Another holder for each of these; they are distinct."""
        self._holders[places] += 1

    def give_back(self, places: IntArray) -> None:
        """One holder less for each of these; they are distinct."""
        self._given_back.append(places)

    def grow(self, capacity: int) -> None:
        self._holders = np.concatenate((self._holders, np.zeros(capacity - self.capacity, dtype=np.int64)))

    def _collect(self) -> None:
        while self._given_back:
            self._holders[self._given_back.popleft()] -= 1
