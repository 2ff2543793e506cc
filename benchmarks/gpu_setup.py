"""What benchmarks/gpu.py measures, how much of it, and on which models: those of random weights are made when they are first asked for."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from engine.errors import LacunaError
from engine.manifest import MANIFEST, FileEntry, Manifest, checked_file, load_manifest, sha256_of
from engine.model import Model
from export.as_arm_graph import to_onnx
from export.device_graph import device_graph
from export.draft_head_graph import draft_head_to_onnx
from export.draft_head_model import DraftHead
from export.graph_file import stored_as_half, write_graph
from export.model import AsArm, ModelConfig, parameter_count
from export.quantise import quantise
from export.torch_twin import load_draft_twin, load_twin

BASE, PAPER = "base", "paper"
_BASE_RECIPE = Path(__file__).parents[1] / "export" / "recipe_files" / "base.toml"
_KINDS = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `rows`: content and slot rows of a decoding pass. `around`: tokens around a hole of `tokens` tokens. `turns`
    of eight passes each; so many `passages` are filled, and so many `compared` with the CPU."""

    shapes: Mapping[str, ModelConfig]
    contexts: tuple[int, ...]
    rows: tuple[int, ...]
    turns: int
    around: int
    tokens: int
    passages: int
    batches: tuple[int, ...]
    compared: int
    matrix: int
    bytes_read: int


def bucket(count: int) -> int:
    """The power of two that is not below it."""
    return 1 << (count - 1).bit_length()


def base_config() -> ModelConfig:
    """The shape that has 29.3 million parameters."""
    return ModelConfig(**tomllib.loads(_BASE_RECIPE.read_text(encoding="utf-8"))["model"])


# XLNet-base has 12 layers of width 768, and so had the paper's models (arXiv 2504.20456): as many here, before the slot
# head, with a feed-forward of as many weights as its, which is not gated.
_PAPER_SHAPE = ModelConfig(vocabulary=32000, width=768, layers=12, heads=12, hidden=2048)
_TINY_SHAPE = ModelConfig(vocabulary=8192, width=32, layers=2, heads=2, hidden=48)

FULL = Sizes(
    shapes={BASE: base_config(), PAPER: _PAPER_SHAPE},
    contexts=(512, 1024, 2048, 4096),
    rows=(1, 6, 9),
    turns=8,
    around=512,
    tokens=12,
    passages=24,
    batches=(1, 2, 4, 8, 16, 32, 64),
    compared=24,
    matrix=8192,
    bytes_read=4_000_000_000,
)
QUICK = Sizes(
    shapes={"tiny": _TINY_SHAPE},
    contexts=(16,),
    rows=(1, 3),
    turns=1,
    around=32,
    tokens=4,
    passages=2,
    batches=(1, 2),
    compared=2,
    matrix=64,
    bytes_read=1_000_000,
)


@dataclass(frozen=True)
class Setup:
    """One run: on which torch device, how much, with the trained model folder `model`, and models of random weights in `work`."""

    device: str
    sizes: Sizes
    model: Path
    work: Path

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def precision(self) -> str:
        """What the engine and torch compute in, unless said otherwise."""
        return "float16" if self.on_gpu else "float32"

    @property
    def kind(self) -> torch.dtype:
        return _KINDS[self.precision]

    @property
    def longest(self) -> int:
        """Positions that models of random weights know: the longest context, a hole, and more, as the engine's passes are padded to a power
        of two, and to 256 rows at the least, for which a graph must have positions."""
        return 2 * bucket(max(256, *self.sizes.contexts, self.sizes.around))

    @property
    def trained(self) -> Manifest:
        return load_manifest(self.model)

    def trained_weights(self) -> AsArm:
        return load_twin(checked_file(self.model, self.trained.graphs["float32"]), self.trained)

    def random_weights(self, shape: str) -> AsArm:
        """The same ones each time."""
        torch.manual_seed(0)
        return AsArm(self.sizes.shapes[shape]).eval()

    def random_folder(self, shape: str) -> Path:
        """A model folder of that shape with random weights, the trained model's tokenizer and a draft head where that one has one."""
        out = self.work / shape
        if not out.exists():
            weights = self.random_weights(shape)
            head = None if self.trained.draft_head is None else DraftHead(weights.config)
            self._write(out, f"{shape} of random weights", weights, head, self.precision)
        return out

    def trained_folder(self, precision: str) -> Path:
        """The trained model with a graph for the device in that precision."""
        out = self.work / f"trained {precision}"
        if not out.exists():
            weights, drafter = self.trained_weights(), self.trained.draft_head
            head = None if drafter is None else load_draft_twin(checked_file(self.model, drafter).read_bytes(), weights.config)
            self._write(out, self.trained.name, weights, head, precision)
        return out

    def _write(self, out: Path, name: str, weights: AsArm, head: DraftHead | None, precision: str) -> None:
        """A model folder with graphs for the device, put in its place when it is whole."""
        like = self.trained
        self.work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.work) as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            tokenizer = json.loads((self.model / like.tokenizer.file).read_text(encoding="utf-8"))
            for index in range(like.vocabulary, weights.config.vocabulary):  # entries that no text leads to
                tokenizer["model"]["vocab"][f"<unused {index}>"] = index
            (folder / like.tokenizer.file).write_text(json.dumps(tokenizer), encoding="utf-8")
            half, draft_head, device_draft_head = precision == "float16", None, None
            if head is not None:
                drafter, on_device = draft_head_to_onnx(weights, head), draft_head_to_onnx(weights, head, half=half)
                stored = stored_as_half(quantise(drafter), only={each.name for each in drafter.graph.initializer})
                draft_head = write_graph(stored, folder / "draft_head.onnx")
                device_draft_head = write_graph(on_device, folder / "draft_head.gpu.onnx")
            manifest = dataclasses.replace(
                like,
                name=name,
                parameters=parameter_count(weights),
                vocabulary=weights.config.vocabulary,
                longest_position=self.longest,
                window=self.sizes.around + 64,
                layers=weights.config.layers,
                heads=weights.config.heads,
                head_size=weights.config.head_size,
                tokenizer=FileEntry(like.tokenizer.file, sha256_of(folder / like.tokenizer.file)),
                # A folder needs one that runs anywhere.
                graphs={"float32": write_graph(stored_as_half(to_onnx(weights)), folder / "model.onnx")},
                device_graph=write_graph(device_graph(weights, self.longest, half=half), folder / "model.gpu.onnx"),
                device_draft_head=device_draft_head,
                draft_head=draft_head,
                corpus={},
                evaluation={},
            )
            (folder / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
            folder.rename(out)

    def engine_model(self, folder: Path, *, captured: bool = True) -> Model:
        """A model folder on the device, its passes as CUDA graphs or not. Raises LacunaError where it can't run there."""
        from engine.device_model import DeviceModel  # it needs ONNX Runtime, without which torch can be measured

        return DeviceModel(folder, load_manifest(folder), "cuda" if self.on_gpu else "cpu", captured=captured)


@dataclass
class Part:
    """The figures of one part, as plain values, and why what is missing is missing."""

    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def attempt(self, what: str, measure: Callable[..., Iterable[dict[str, Any]]], *given: Any) -> None:
        """Add the rows that `measure` yields; where it fails, say so and go on: what breaks must not take other figures along."""
        try:
            for row in measure(*given):
                self.rows.append(row)
        except Exception as error:
            self.miss(what, error)

    def miss(self, what: str, error: Exception) -> None:
        told = str(error).strip().splitlines()
        reason = f"{told[0] if told else 'no message'}"[:300]
        self.missing[what] = reason if isinstance(error, LacunaError) else f"{type(error).__name__}: {reason}"
        print(f"not measured: {what}: {self.missing[what]}", flush=True)
