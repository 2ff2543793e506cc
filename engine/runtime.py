"""Facts about the runtime underneath, for people who ask why something does not work."""

from __future__ import annotations

import os
from importlib.metadata import version

import onnxruntime


def runtime_versions() -> dict[str, str]:
    """Versions of what the engine runs on. onnxruntime and onnxruntime-gpu both install the module asked here."""
    return {"onnxruntime": str(onnxruntime.__version__), "tokenizers": version("tokenizers"), "numpy": version("numpy")}


def available_providers() -> list[str]:
    """The execution providers this build of ONNX Runtime was made with; a GPU one may still find no device."""
    return [str(provider) for provider in onnxruntime.get_available_providers()]


def available_cores() -> int:
    """How many cores this process may use; all of the machine's where the system doesn't tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
