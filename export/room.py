"""Whether disk and memory have room for an export, asked before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.errors import LacunaError

# Bytes a parameter on disk, rounded up: rounded graphs keep float16 embeddings beside a tied output matrix of 8 bits, and blocks
# have scales. A draft head with its own embedding is no larger than its model; a graph for GPUs has one of its own.
PARAMETER_BYTES = {"float32": 2.1, "float16": 2.1, "gpu": 4.2, "int8": 3.2, "int4": 3.2}
_DRAFT_HEAD_BYTES = 3.2
_OTHER_FILES = 16 << 20  # tokenizer, manifest, and whatever else wants the disk meanwhile
# In memory at once, measured on 26.7 million parameters (22 and 300 MB): torch's model, the graph twice, and the session that is
# compared, with its packed weights.
_MEMORY_BYTES = 24
_MEMORY_BESIDE = 400 << 20
_MEMINFO = Path("/proc/meminfo")


def refuse_without_room(out: Path, parameters: int, precisions: Sequence[str]) -> None:
    """Raises LacunaError where the disk of `out`, or the memory, has less room than an export of these precisions may take."""
    needed = int((sum(PARAMETER_BYTES[name] for name in precisions) + _DRAFT_HEAD_BYTES) * parameters) + _OTHER_FILES
    existing = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise LacunaError(
            f"writing {out} takes up to {needed / 1e6:,.0f} MB, but its disk has only {free / 1e6:,.0f} MB free; "
            "make room or name a folder on another disk"
        )
    needed, available = _MEMORY_BYTES * parameters + _MEMORY_BESIDE, available_memory()
    if available is not None and available < needed:
        raise LacunaError(
            f"exporting {parameters:,} parameters takes {needed / 1e6:,.0f} MB of memory, but only {available / 1e6:,.0f} MB are left; "
            "end other programs or export on a larger machine"
        )


def available_memory() -> int | None:
    """Bytes that programs can still get without swapping; None where the system doesn't tell."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):
        return None
