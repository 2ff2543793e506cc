"""Pass times of the engine's ONNX model against torch eager, in float32 on the same weights.

Prefill runs a whole prompt; the other passes stand on a cache of as many rows: 1 content row with 1 slot row (a step of sequential
decoding), and 8 content rows with 16 slot rows (verifying a long draft). The engine's times include building its masks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.timing import interleave
from benchmarks.torch_twin import load_twin
from engine.errors import ModelError
from engine.local import load_infiller
from engine.manifest import checked_file
from engine.model import Rows
from engine.onnx_model import OnnxModel
from export.model import AsArm

ENGINE, TORCH = "ONNX Runtime", "torch eager"
TOLERANCE = 1e-3  # beyond it the two sides would not be running the same weights


@dataclass(frozen=True)
class Shape:
    """A pass of `content` and `slots` rows over `past` cached rows."""

    name: str
    content: int
    slots: int
    past: int

    def rows(self, vocabulary: int, rng: np.random.Generator) -> Rows:
        """Tokens drawn at random (times do not depend on them); slot rows ask one position further each, from the last rows."""
        slots = np.arange(self.slots)
        sources = np.minimum(slots, self.content - 1) if self.slots > 1 else np.array([self.content - 1])
        return Rows(
            ids=rng.integers(5, vocabulary, (1, self.content)),
            positions=self.past + np.arange(self.content)[None],
            counts=np.array([self.content]),
            sources=sources[None],
            targets=self.past + self.content + slots[None],
            sees=sources[None] + 1,
        )


def shapes(rows: int) -> list[Shape]:
    return [
        Shape(f"prefill {rows}", rows, 1, 0),
        Shape(f"1 content + 1 slot over {rows}", 1, 1, rows),
        Shape(f"8 content + 16 slots over {rows}", 8, 16, rows),
    ]


class TorchState:
    """What `OnnxState` is to the graph, for the torch model: one context and its keys and values, each `[1, H, P, D]`."""

    def __init__(self, model: AsArm) -> None:
        config = model.config
        self.model = model
        self.past = [torch.zeros(1, config.heads, 0, config.head_size) for _ in range(2 * config.layers + 2)]
        self._new: list[torch.Tensor] = []

    @torch.inference_mode()
    def run(self, rows: Rows) -> NDArray[np.float32]:
        past, content = self.past[0].shape[2], rows.ids.shape[1]
        index = torch.arange(past + content)
        sees = past + torch.from_numpy(rows.sees)
        logits, *self._new = self.model(
            torch.from_numpy(rows.ids),
            torch.from_numpy(rows.positions),
            (index <= past + torch.arange(content)[:, None])[None],
            torch.from_numpy(rows.sources),
            torch.from_numpy(rows.targets),
            index < sees[..., None],
            *self.past,
        )
        result: NDArray[np.float32] = logits.numpy()
        return result

    def keep_all(self) -> None:
        self.past = [torch.cat(pair, 2) for pair in zip(self.past, self._new, strict=True)]


def prepare(shape: Shape, graph: OnnxModel, twin: AsArm, rng: np.random.Generator) -> tuple[dict[str, Callable[[], object]], float]:
    """The same pass on either side, ready to be repeated, and the greatest difference between their logits."""
    vocabulary = graph.manifest.vocabulary
    ours, theirs = graph.open(), TorchState(twin)
    if shape.past:
        prompt = Shape("prompt", shape.past, 1, 0).rows(vocabulary, rng)
        ours.run(prompt)
        ours.keep(prompt.counts)
        theirs.run(prompt)
        theirs.keep_all()
    rows = shape.rows(vocabulary, rng)
    logits, expected = ours.run(rows), theirs.run(rows)
    asked = np.isfinite(logits)  # the engine rules out tokens that never stand in a hole
    difference = float(np.abs(logits[asked] - expected[asked]).max())
    return {ENGINE: lambda: ours.run(rows), TORCH: lambda: theirs.run(rows)}, difference


def plot(rows: Sequence[dict[str, Any]]) -> Figure:
    """Median times, one panel a shape."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    for axes, row in zip(figure.subplots(1, len(rows)), rows, strict=True):
        medians = [row[name]["median_ms"] for name in (ENGINE, TORCH)]
        axes.bar((ENGINE, TORCH), medians, color=("C0", "C7"))
        axes.bar_label(axes.containers[0], [f"{value:.1f}" for value in medians])
        axes.set_title(row["shape"], fontsize=10)
        axes.margins(y=0.15)
    figure.axes[0].set_ylabel("median ms")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("passes", __doc__)
    parser.add_argument("--rows", type=int, metavar="P", default=512, help="prompt rows (default: %(default)s)")
    parser.add_argument("--rounds", type=int, metavar="N", default=60, help="times each pass is measured (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", default=os.cpu_count(), help="threads on both sides (default: %(default)s)")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    infiller = load_infiller(arguments.model)
    folder, manifest = infiller.folder, infiller.manifest
    graph = OnnxModel(folder, manifest, threads=arguments.threads)
    twin = load_twin(checked_file(folder, manifest.graphs["float32"]), manifest)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for shape in shapes(arguments.rows):
        cases, difference = prepare(shape, graph, twin, rng)
        if difference > TOLERANCE:
            raise ModelError(f"the graph and its torch twin differ by {difference:.2g} in logits; export the model again")
        times = interleave(cases, rounds=3 if arguments.quick else arguments.rounds)
        spread = {
            name: dict(zip(("low_ms", "median_ms", "high_ms"), np.percentile(times[name], (25, 50, 75)), strict=True)) for name in times
        }
        rows.append({"shape": shape.name, **spread, "largest_logit_difference": difference})
    report.print_table(
        f"{manifest.name}, {manifest.parameters / 1e6:.1f}M parameters, {arguments.threads} threads; median ms [quartiles]",
        ("pass", ENGINE, TORCH, "torch / ONNX Runtime", "largest logit difference"),
        [
            (
                row["shape"],
                *(f"{row[name]['median_ms']:.2f} [{row[name]['low_ms']:.2f}, {row[name]['high_ms']:.2f}]" for name in (ENGINE, TORCH)),
                f"{row[TORCH]['median_ms'] / row[ENGINE]['median_ms']:.2f}",
                f"{row['largest_logit_difference']:.1e}",
            )
            for row in rows
        ],
    )
    settings = {"model": manifest.name, "parameters": manifest.parameters, "threads": arguments.threads, "provider": graph.provider}
    report.write(report.folder(arguments), "passes", settings, rows, plot(rows))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
