"""What a GPU gives: floors, passes, whole fills, batches, and whether it writes what the CPU writes, beside torch with the same weights.

Every part runs in a process of its own and leaves its figures in gpu.json when it ends, so that a run that is cut off keeps what it
had, and `--parts` measures some anew. What a machine lacks (onnxruntime-gpu, a compiler) is told at the start, and what hangs on it is
"not measured".
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import torch

from benchmarks import gpu_report, report
from benchmarks.gpu_setup import FULL, QUICK, Part, Setup
from engine.default_model import DEFAULT_MODEL
from engine.errors import LacunaError

_ROOT = Path(__file__).parents[1]
# In the order of what is most wanted where time is short; torch's compiler takes the longest. Each with what measures it.
PARTS = {
    "floor": ("gpu_floor.floors",),
    "torch": ("gpu_passes.eager_passes", "gpu_fills.eager_fills"),
    "passes": ("gpu_passes.engine_passes",),
    "fills": ("gpu_fills.engine_fills",),
    "same": ("gpu_same.same",),
    "batches": ("gpu_batches.batches",),
    "compiled": ("gpu_passes.compiled_passes", "gpu_fills.compiled_fills"),
}


class OutOfTime(BaseException):
    """Not an Exception, so that no side that breaks is taken for it."""


def measure(setup: Setup, name: str, limit: int) -> dict[str, Any]:
    """One part, in this process, for so many seconds: its figures, and where and with what they were measured."""
    part, began = Part(name), time.perf_counter()

    def stop(number: int, frame: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    try:
        for step in PARTS[name]:
            module, function = step.split(".")
            try:
                run: Callable[[Setup, Part], None] = getattr(import_module(f"benchmarks.{module}"), function)
                run(setup, part)
            except Exception as error:  # see Part.attempt
                part.miss(function.replace("_", " "), error)
    except OutOfTime:
        part.miss("the rest", LacunaError(f"{limit} s were not enough; give it more with --limit"))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return {
        "part": name,
        "device": setup.device,
        **gpu_report.card(setup.device),
        "quick": setup.sizes is QUICK,
        "seconds": time.perf_counter() - began,
        "machine": report.machine(),
        "missing": part.missing,
        "figures": part.rows,
    }


def tell(setup: Setup, out: Path, measured: dict[str, Any]) -> None:
    """Into the file, to the terminal and, where a GPU was measured in full, into the pages that quote it."""
    parts = gpu_report.merged(gpu_report.load(out), measured)
    settings = {"device": setup.device, "precision": setup.precision, "sizes": asdict(setup.sizes)}
    gpu_report.write(out, parts, settings, setup.sizes)
    for table in gpu_report.tables(gpu_report.figures(parts), setup.sizes):
        if measured["part"] in table.parts:
            report.print_table(table.title, table.columns, table.rows)
    print(f"{measured['part']} took {measured['seconds']:.0f} s", flush=True)
    if setup.on_gpu and out == report.RESULTS:
        fill_pages(out)


def fill_pages(out: Path) -> None:
    for page in gpu_report.fill_pages(out, FULL):
        print(f"written: {page}")


def lacks(device: str) -> list[str]:
    """What is missing on this machine, and what can't be measured without it."""
    found = []
    if find_spec("onnxruntime") is None:
        found.append("no onnxruntime: nothing of the engine can be measured")
    elif device.startswith("cuda"):
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            found.append(f"onnxruntime {onnxruntime.__version__} has no CUDA provider (install onnxruntime-gpu): nothing of the engine")
    if which("cc") is None and which("gcc") is None:
        found.append("no C compiler: torch can't compile")
    if device.startswith("cuda") and find_spec("triton") is None:
        found.append("no triton: torch can't compile")
    return found


def in_a_process_each(arguments: argparse.Namespace, parts: Sequence[str], work: Path) -> int:
    """Every part by itself, so that a broken one leaves the device to the others. Returns how many failed."""
    failed = 0
    for part in parts:
        given = ["--parts", part, "--device", arguments.device, "--out", str(arguments.out.absolute()), "--limit", str(arguments.limit)]
        given += ["--work", str(work), *(["--quick"] if arguments.quick else [])]
        given += ["--model", str(arguments.model.absolute())] if arguments.model else []
        print(f"\n== {part}", flush=True)
        try:
            # Its own limit comes first, unless it hangs in a library.
            done = subprocess.run([sys.executable, "-m", "benchmarks.gpu", *given], cwd=_ROOT, timeout=arguments.limit + 60)
            failed += done.returncode != 0
            if done.returncode not in (0, 1, 2):
                print(f"not measured: {part}: its process ended with {done.returncode}")
        except subprocess.TimeoutExpired:
            failed += 1
            print(f"not measured: {part}: it hung and was ended")
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("gpu", __doc__)
    parser.add_argument("--device", default="cuda", metavar="D", help="torch's name of it; cpu tries the script (default: %(default)s)")
    parts = ", ".join(PARTS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, metavar="PART", default=list(PARTS), help=f"some of {parts} (default: all)")
    parser.add_argument("--limit", type=int, default=120, metavar="S", help="seconds that a part may take (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where models of random weights are made and kept (default: nowhere)")
    parser.add_argument("--table", action="store_true", help="only write the tables of docs/gpu.md anew, from the results in --out")
    arguments = parser.parse_args(argv)
    if arguments.table:
        fill_pages(arguments.out)
        return 0
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        raise LacunaError(f"torch {torch.__version__} finds no CUDA GPU here; --device cpu --quick tries the script without one")
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        if len(arguments.parts) > 1:
            print(" ".join(gpu_report.card(arguments.device).values()), *lacks(arguments.device), sep="\n", flush=True)
            return 1 if in_a_process_each(arguments, arguments.parts, work) else 0
        setup = Setup(arguments.device, QUICK if arguments.quick else FULL, arguments.model or DEFAULT_MODEL, work)
        measured = measure(setup, arguments.parts[0], arguments.limit)
        tell(setup, report.folder(arguments), measured)
        return 0 if measured["figures"] else 1


if __name__ == "__main__":
    sys.exit(report.run(main))
