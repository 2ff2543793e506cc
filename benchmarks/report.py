"""How a benchmark tells its figures: a table on the terminal, JSON and a plot in a folder."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from engine.errors import LacunaError

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "tokenizers", "torch")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; `description` is its docstring."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="a few rounds only, to see that it runs; results go to a folder of their own")
    made.add_argument("--model", type=Path, metavar="DIR", help="a model folder (default: the one in the package)")
    made.add_argument("--out", type=Path, metavar="DIR", default=RESULTS, help="where the JSON and the plot go (default: %(default)s)")
    return made


def run(main: Callable[[], int]) -> int:
    """Run a benchmark's main function; what a user can mend ends in one line and exit code 2."""
    try:
        return main()
    except LacunaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def folder(arguments: argparse.Namespace) -> Path:
    """Where this run's results go, made if need be. A quick run never overwrites the figures of a full one."""
    out: Path = arguments.out / "quick" if arguments.quick else arguments.out
    out.mkdir(parents=True, exist_ok=True)
    return out


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A Markdown table, ready to be quoted: first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    print(f"\n{title}\n")
    for line in (columns, ["-" * width for width in widths], *rows):
        cells = [cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(zip(line, widths, strict=True))]
        print("| " + " | ".join(cells) + " |")
    print()


def write(out: Path, name: str, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], figure: Figure, **further: Figure) -> None:
    """Write `<name>.json` and `<name>.png` into `out`, each further figure as `<name>_<its keyword>.png`, and say where they are."""
    record = {"benchmark": name, "settings": dict(settings), "machine": machine(), "rows": [dict(row) for row in rows]}
    (out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    figures = {name: figure, **{f"{name}_{key}": one for key, one in further.items()}}
    for stem, one in figures.items():
        one.savefig(out / f"{stem}.png", dpi=120, bbox_inches="tight")
    print("written: " + ", ".join([f"{out / name}.json", *(f"{out / stem}.png" for stem in figures)]))


def machine() -> dict[str, Any]:
    """Where and with what a benchmark ran."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {package: found for package in _PACKAGES if (found := _version(package))},
        "date": datetime.now(UTC).date().isoformat(),
    }


def progress(text: str) -> None:
    """One line on stderr that the next one replaces; silent when stderr is not a terminal. An empty text clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
