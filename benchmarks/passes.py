"""Pass times of the engine, beside the least that this machine allows and beside torch eager on the same weights.

Prefill runs a whole prompt; the other passes stand on a cache of as many rows: 1 content row with 1 slot row (a step of sequential
decoding), and 6 or 9 of either (verifying drafts). The engine's times include building its masks. All on one thread, in turns of
several passes each, so that each finds its own weights where its last pass left them. Ratios are of lower quartiles: what else runs
on the machine only ever adds time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.floor import PRECISIONS, multiplying, reading
from benchmarks.pass_shape import Shape, Work, work_of
from benchmarks.random_model import write_random_model
from benchmarks.timing import PASSES_A_TURN, in_turns
from benchmarks.torch_model import TorchModel
from engine.errors import ModelError
from engine.local import DEFAULT_MODEL
from engine.manifest import checked_file, load_manifest
from engine.model import Rows
from engine.onnx_model import OnnxModel, OnnxState
from export.model import AsArm
from export.recipes import load_recipe
from export.torch_twin import load_twin

RECIPES = Path(__file__).parent.parent / "export" / "recipe_files"
TORCH = "torch eager"
READING, COMPUTING = "reading for", "products in"
TOLERANCE = 1e-3  # beyond it the float32 graph and torch would not be running the same weights


def shapes(rows: int) -> list[Shape]:
    return [Shape(f"prefill {rows}", rows, 1, 0), *(Shape(f"{n} content + {n} slot over {rows}", n, n, rows) for n in (1, 6, 9))]


@dataclass(frozen=True)
class Subject:
    """One model on one thread: a graph in each precision, and torch with the float32 one's weights."""

    name: str
    parameters: int
    graphs: dict[str, OnnxModel]
    twin: AsArm


def load_subject(folder: Path) -> Subject:
    manifest = load_manifest(folder)
    twin = load_twin(checked_file(folder, manifest.graphs["float32"]), manifest)
    graphs = {precision: OnnxModel(folder, manifest, precision, threads=1) for precision in manifest.graphs if precision in PRECISIONS}
    return Subject(manifest.name, manifest.parameters, graphs, twin)


def subjects(folder: Path, recipe: str | None) -> Iterator[Subject]:
    """The model of the folder, and one of random weights in the recipe's shape."""
    yield load_subject(folder)
    if recipe is not None:
        loaded = load_recipe(RECIPES / f"{recipe}.toml")
        with tempfile.TemporaryDirectory() as made:
            yield load_subject(write_random_model(loaded, folder, Path(made) / recipe, loaded.rows))


def prepare(subject: Subject, shape: Shape) -> dict[str, Callable[[], object]]:
    """The same pass on each graph and in torch, ready to be repeated. Raises ModelError where float32 is not torch's."""
    vocabulary = subject.twin.config.vocabulary
    rng = np.random.default_rng(0)
    prompt, rows = Shape("prompt", shape.past, 1, 0).rows(vocabulary, rng), shape.rows(vocabulary, rng)
    theirs = TorchModel(subject.twin).open()
    if shape.past:
        theirs.run(prompt)
        theirs.keep(prompt.counts)
    cases: dict[str, Callable[[], object]] = {}
    for precision, graph in subject.graphs.items():
        state = graph.open()
        if shape.past:
            state.run(prompt)
            state.keep(prompt.counts)
        cases[precision] = _passing(state, rows)
    logits, expected = np.asarray(cases["float32"]()), theirs.run(rows)
    asked = np.isfinite(logits)  # the engine rules out tokens that never stand in a hole
    difference = float(np.abs(logits[asked] - expected[asked]).max())
    if difference > TOLERANCE:
        raise ModelError(f"the graph and its torch twin differ by {difference:.2g} in logits; export the model again")
    return {**cases, TORCH: lambda: theirs.run(rows)}


def _passing(state: OnnxState, rows: Rows) -> Callable[[], object]:
    return lambda: state.run(rows)


def measure(subject: Subject, shape: Shape, rounds: int) -> dict[str, Any]:
    """Quartiles (ms) of each side's pass, the floor of each precision, and how far above it the engine stays."""
    cases = prepare(subject, shape)
    work: dict[str, Work] = {}
    operations: dict[str, float] = {}
    for precision in subject.graphs:
        work[precision] = work_of(subject.twin.config, precision, shape.content, shape.slots, shape.past)
        cases[f"{READING} {precision}"] = reading(work[precision])
        cases[f"{COMPUTING} {precision}"], operations[precision] = multiplying(shape.content, precision)
    quartiles = {name: np.percentile(times, (25, 50, 75)) for name, times in in_turns(cases, rounds).items()}
    per_second = {name: operations[name] / quartiles[f"{COMPUTING} {name}"][0] * 1000 for name in operations}
    row: dict[str, Any] = {"model": subject.name, "parameters": subject.parameters, "shape": shape.name}
    for name in (*subject.graphs, TORCH):
        row[name] = dict(zip(("low_ms", "median_ms", "high_ms"), quartiles[name].tolist(), strict=True))
    for name, least in work.items():
        bytes_per_s = least.bytes / quartiles[f"{READING} {name}"][0] * 1000
        floor = least.milliseconds(bytes_per_s, per_second[name], per_second["float32"])
        row[name] |= {
            "floor_ms": floor,
            "times_floor": row[name]["low_ms"] / floor,
            "gigabytes_per_s": bytes_per_s / 1e9,
            "gigaflops_per_s": per_second[name] / 1e9,
        }
    return row


def plot(rows: Sequence[dict[str, Any]]) -> Figure:
    """Lower quartiles, one panel a pass and model; the floor as a line across each bar."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    per_model = [[row for row in rows if row["model"] == model] for model in models]
    figure = Figure(figsize=(3 * max(map(len, per_model)), 3 * len(models)), layout="constrained")
    panels = figure.subplots(len(models), len(per_model[0]), squeeze=False)
    for line, own in zip(panels, per_model, strict=True):
        for axes, row in zip(line, own, strict=True):
            sides = [name for name in ("float32", "int8", TORCH) if name in row]
            axes.bar(sides, [row[name]["low_ms"] for name in sides], color=["C7" if name == TORCH else "C0" for name in sides])
            axes.bar_label(axes.containers[0], [f"{row[name]['low_ms']:.2f}" for name in sides])
            for place, name in enumerate(sides):
                if "floor_ms" in row[name]:
                    axes.hlines(row[name]["floor_ms"], place - 0.4, place + 0.4, color="C3")
            axes.set_title(f"{row['model']}\n{row['shape']}", fontsize=9)
            axes.margins(y=0.15)
        line[0].set_ylabel("ms (lower quartile); red: floor")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("passes", __doc__)
    parser.add_argument("--rows", type=int, metavar="P", default=512, help="prompt rows (default: %(default)s)")
    parser.add_argument("--rounds", type=int, metavar="N", default=8, help=f"turns of {PASSES_A_TURN} passes (default: %(default)s)")
    parser.add_argument("--recipe", default="base", help="random weights in the shape of this recipe beside it (default: %(default)s)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for subject in subjects(arguments.model or DEFAULT_MODEL, None if arguments.quick else arguments.recipe):
        rows += [measure(subject, shape, 2 if arguments.quick else arguments.rounds) for shape in shapes(arguments.rows)]
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        report.print_table(
            f"{model}, {own[0]['parameters'] / 1e6:.1f}M parameters, one thread; median ms [quartiles]",
            ("pass", "side", "ms", "floor, ms", "times the floor", "GB/s", "GFLOP/s"),
            [
                (
                    row["shape"],
                    name,
                    f"{row[name]['median_ms']:.2f} [{row[name]['low_ms']:.2f}, {row[name]['high_ms']:.2f}]",
                    *_floor(row[name]),
                )
                for row in own
                for name in ("float32", "int8", TORCH)
                if name in row
            ],
        )
    settings = {"rows": arguments.rows, "rounds": arguments.rounds, "passes a turn": PASSES_A_TURN, "threads": 1}
    report.write(report.folder(arguments), "passes", settings, rows, plot(rows))
    return 0


def _floor(side: dict[str, float]) -> tuple[str, ...]:
    if "floor_ms" not in side:
        return ("",) * 4
    return (
        f"{side['floor_ms']:.2f}",
        f"{side['times_floor']:.2f}",
        f"{side['gigabytes_per_s']:.0f}",
        f"{side['gigaflops_per_s']:.0f}",
    )


if __name__ == "__main__":
    sys.exit(report.run(main))
