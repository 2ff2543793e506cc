"""A driver's library in the place of NVIDIA's, compiled with the answers that a test wants: what ctypes makes of it is the real thing."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

_SOURCE = """
#include <stddef.h>
#include <string.h>

int cuInit(unsigned flags) { return flags == 0 ? CODE : 1; }
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuDeviceGetCount(int *count) { *count = COUNT; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return ordinal < COUNT ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) {
    if (device != 40) return 101;
    strncpy(name, NAME, (size_t) length);
    return 0;
}
#ifndef OLD
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = MEMORY; return device == 40 ? 0 : 101; }
#endif
int cuGetErrorString(int code, const char **text) {
    *text = code == 803 ? "system has unsupported display driver / cuda driver combination" : NULL;
    return *text ? 0 : 1;
}
"""


def fake_driver(
    folder: Path,
    *,
    name: str = "NVIDIA Test Card",
    mebibytes: int = 8192,
    version: int = 13000,
    count: int = 1,
    code: int = 0,
    old: bool = False,
) -> Path:
    """Compile it into `folder`. Skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to make a driver's library with")
    place = Path(tempfile.mkdtemp(dir=folder))  # a library is loaded once from a path, whatever lies there later
    source, library = place / "driver.c", place / "libcuda.so.1"
    source.write_text(_SOURCE, encoding="utf-8")
    answers = {"NAME": f'"{name}"', "MEMORY": f"((size_t) {mebibytes} << 20)", "VERSION": version, "COUNT": count, "CODE": code}
    defined = [f"-D{what}={answer}" for what, answer in answers.items()] + (["-DOLD"] if old else [])
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, *defined], check=True, timeout=60)
    return library
