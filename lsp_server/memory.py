"""The memory of this process."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path


def resident_bytes() -> int | None:
    """How much of the machine's memory this process takes up now; None where the system doesn't tell."""
    try:
        # Linux: sizes in pages, the second of what is resident.
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    import resource

    return pages * resource.getpagesize()


def give_back_memory() -> None:
    """Return freed memory to the system, which the C library of Linux else keeps for the next time."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
