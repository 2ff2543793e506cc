"""For tests of what is told where there is no NVIDIA driver, which needs a machine without one."""

from __future__ import annotations

import ctypes

import pytest

from engine.cuda_driver import DRIVER_LIBRARY


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


needs_no_driver = pytest.mark.skipif(loads(DRIVER_LIBRARY), reason="this machine has an NVIDIA driver")
