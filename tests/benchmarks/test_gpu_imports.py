"""The benchmark for GPUs runs where only some packages are: on a borrowed machine nothing can be installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What training, the editor's side and a runtime need, and torch's figures don't.
MISSING = ("onnxruntime", "pygls", "rensa", "safetensors", "transformers", "tree_sitter", "tree_sitter_python", "watchdog")


def test_its_modules_need_no_more_than_torch_and_onnx() -> None:
    modules = sorted(f"benchmarks.{path.stem}" for path in (ROOT / "benchmarks").glob("gpu*.py"))
    assert "benchmarks.gpu" in modules
    code = f"import sys\nsys.modules.update(dict.fromkeys({MISSING}))\nimport {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
