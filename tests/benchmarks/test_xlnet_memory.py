"""A model of the size of xlnet-base-cased is exported, loaded and fills within the memory that its export says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.xlnet_memory import BASE, measure


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_export_and_fill_stay_within_what_they_say(tmp_path: Path) -> None:
    for taken in measure(tmp_path, BASE):
        assert 0.6 * taken.said_mb < taken.peak_mb <= taken.said_mb, taken
