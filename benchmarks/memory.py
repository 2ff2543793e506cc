"""How much memory an action takes, as Linux counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

from engine.errors import LacunaError

_STATUS = Path("/proc/self/status")
_RESET_PEAK = Path("/proc/self/clear_refs")


def peak_growth(action: Callable[[], object]) -> int:
    """Bytes by which the resident memory of this process rises at its highest while `action` runs.

    What an allocator kept from earlier work is used again unseen, so that each action wants a process of its own.
    Raises LacunaError on systems other than Linux.
    """
    _give_back_freed()
    before = _resident("VmRSS")
    try:
        _RESET_PEAK.write_text("5", encoding="ascii")
    except OSError as error:
        raise LacunaError(f"{_RESET_PEAK} can't be written ({error.strerror}), by which peak memory is reset; run this on Linux") from None
    action()
    return _resident("VmHWM") - before


def _give_back_freed() -> None:
    """Let the C library return freed memory to the system, or an action would grow into it unseen. Other libraries than glibc keep it."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident(field: str) -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise LacunaError(f"{_STATUS} can't be read ({error.strerror}), which tells peak memory; run this on Linux") from None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
