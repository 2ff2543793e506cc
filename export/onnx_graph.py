"""From a training run to a model folder: graphs in one precision or several, compared with torch, beside tokenizer and manifest."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from engine.errors import LacunaError
from engine.manifest import FORMAT_VERSION, MANIFEST, FileEntry, Manifest, sha256_of
from export.as_arm_graph import to_onnx as to_onnx
from export.device_graph import device_graph
from export.draft_head_graph import draft_head_to_onnx
from export.draft_head_model import DraftHead, DraftStep
from export.graph_builder import OPSET
from export.graph_file import stored_as_half, write_graph
from export.model import AsArm, ModelConfig, parameter_count
from export.quantise import quantise
from export.room import refuse_without_room
from export.source import Source, read_source
from export.torch_twin import load_draft_twin
from export.train import TOKENIZER

TOLERANCE = 1e-4  # of logits, absolute
# Of keys and values, relative to the largest of their tensor: values reach 60 to 80, where float32 is that much coarser.
CACHE_TOLERANCE = 1e-5
EXACT = "float32"
PRECISIONS = (EXACT, "float16", "int8", "int4")
DEVICE = "gpu"  # what a folder can have beside its precisions: the graph for a GPU, in float16
_DRAFT_HEAD, _DEVICE_DRAFT_HEAD = "draft head", "gpu draft head"
GRAPHS = {
    EXACT: "model.onnx",
    "float16": "model.float16.onnx",
    "int8": "model.int8.onnx",
    "int4": "model.int4.onnx",
    DEVICE: "model.gpu.onnx",
    _DRAFT_HEAD: "draft_head.onnx",
    _DEVICE_DRAFT_HEAD: "draft_head.gpu.onnx",
}
# (B, C, S, P): no past, one row, one slot, batches, long passes and long pasts.
_CHECKED_SHAPES = (
    (1, 1, 1, 0),
    (1, 7, 1, 0),
    (1, 64, 9, 0),
    (2, 5, 3, 0),
    (1, 1, 1, 1),
    (1, 1, 16, 64),
    (1, 8, 16, 128),
    (3, 1, 1, 17),
    (4, 9, 12, 40),
    (8, 2, 5, 192),
    (1, 300, 40, 0),
    (1, 512, 1, 0),
    (1, 3, 64, 700),
    (2, 130, 20, 333),
)


@dataclass(frozen=True)
class Exported:
    """A model folder's manifest, and how far each precision's outputs in ONNX Runtime are from torch's on random passes."""

    manifest: Manifest
    differences: Mapping[str, Difference]


@dataclass(frozen=True)
class Difference:
    """The largest between two runs of one model: `logits` absolute, `caches` relative to the largest number of a tensor."""

    logits: float
    caches: float

    @property
    def tolerable(self) -> bool:
        """Whether it is the same arithmetic. False for NaN too."""
        return self.logits <= TOLERANCE and self.caches <= CACHE_TOLERANCE


@dataclass(frozen=True)
class Built(Exported):
    """A whole model in a temporary folder, until it is `publish`ed in its own."""

    folder: Path
    source: Source
    out: Path

    def publish(self, precisions: Sequence[str]) -> Exported:
        """Put the model with the graphs of these precisions, the first of which is run where no other is asked for, into its folder, with
        its draft head and its graph for a GPU where it has them, the manifest last. Raises LacunaError where a file that it was made from
        has changed meanwhile."""
        self.source.check_unchanged()
        # Figures that came along with a model folder are those of its float32 graph.
        evaluation = self.manifest.evaluation if precisions[0] == EXACT else {}
        graphs = {precision: self.manifest.graphs[precision] for precision in precisions}
        manifest = replace(self.manifest, graphs=graphs, evaluation=evaluation)
        (self.folder / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
        self.out.mkdir(exist_ok=True)
        kept = [entry.file for entry in manifest.files]
        for file in (*kept, MANIFEST):
            (self.folder / file).replace(self.out / file)
        for file in GRAPHS.values():  # of an earlier export, which the manifest no longer names
            for name in {file, f"{file}.data"}.difference(kept):
                (self.out / name).unlink(missing_ok=True)
        return Exported(manifest, {precision: self.differences[precision] for precision in precisions})


def export_model(
    source: Path,
    out: Path,
    name: str | None,
    corpus_summary: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    precisions: Sequence[str] = (EXACT,),
    device: bool = False,
) -> Exported:
    """Write the model folder `out` with graphs of these precisions; see `built_model` and `Built.publish`."""
    with built_model(source, out, name, corpus_summary, evaluation, precisions, device) as built:
        return built.publish(precisions)


@contextmanager
def built_model(
    path: Path,
    out: Path,
    name: str | None,
    corpus_summary: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    precisions: Sequence[str],
    device: bool = False,
) -> Iterator[Built]:
    """A model with a float32 graph, those of `precisions`, and with `device` one for a GPU, in a folder beside `out` that is removed in
    the end.

    It is made from the last checkpoint of the run at `path`, or from the float32 graph of the model folder there; the draft head
    goes along where there is one. `name` None is that of the source. Weights are rounded to float16, whatever the arithmetic. Raises
    LacunaError where ONNX Runtime's float32 outputs are not within `TOLERANCE` and `CACHE_TOLERANCE` of torch's or others are NaN or
    infinite, for what `read_source` refuses, for an `out` that holds something other than a model, and where disk or memory have no room.
    """
    refuse_foreign(out)
    if out.exists() and out.samefile(path):
        raise LacunaError(f"{out} would be written over itself; name another folder for the export")
    source = read_source(path)
    wanted = [EXACT, *(precision for precision in precisions if precision != EXACT)]
    refuse_without_room(out, parameter_count(source.model), [*wanted, *([DEVICE] if device else [])])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        folder = Path(temporary)
        try:
            (folder / TOKENIZER).write_bytes(source.tokenizer)
            entries: dict[str, FileEntry] = {}
            differences: dict[str, Difference] = {}
            for precision in wanted:
                entries[precision] = write_graph(graph_in(precision, source.model), folder / GRAPHS[precision])
                differences[precision] = largest_difference(folder / GRAPHS[precision], source.model, source.longest_position)
                _refuse_different(precision, differences[precision], out)
            draft_head = _write_draft_head(source, folder / GRAPHS[_DRAFT_HEAD], out)
            on_device = device_head = None
            if device:
                on_device = write_graph(device_graph(source.model, source.longest_position), folder / GRAPHS[DEVICE])
                differences[DEVICE] = largest_difference(folder / GRAPHS[DEVICE], source.model, source.longest_position)
                _refuse_different(DEVICE, differences[DEVICE], out)
                head = load_draft_twin(source.draft_graph, source.model.config) if source.draft_graph else source.head
                if head is not None:
                    drafter = draft_head_to_onnx(source.model, head, half=True)
                    device_head = write_graph(drafter, folder / GRAPHS[_DEVICE_DRAFT_HEAD])
        except OSError as error:
            raise LacunaError(f"the graphs can't be written beside {out} ({error.strerror}); make room or name another folder") from None
        config = source.model.config
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name or source.name,
            architecture="as-arm-trunk-slot-head",
            parameters=parameter_count(source.model),
            vocabulary=config.vocabulary,
            special_ids=source.special_ids,
            longest_position=source.longest_position,
            window=source.window,
            max_holes=source.max_holes,
            layers=config.layers,
            heads=config.heads,
            head_size=config.head_size,
            prompt_visibility="causal",
            prompt_order="suffix-first",
            tokenizer=FileEntry(TOKENIZER, sha256_of(folder / TOKENIZER)),
            graphs=entries,
            draft_head=draft_head,
            corpus=dict(corpus_summary or source.corpus),
            evaluation=dict(evaluation or source.evaluation),
            made_with=made_with(source.weights_sha256),
            device_graph=on_device,
            device_draft_head=device_head,
        )
        (folder / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
        yield Built(manifest, differences, folder, source, out)


def made_with(weights_sha256: str) -> dict[str, Any]:
    """What a manifest tells of how its graphs were made."""
    versions = {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "torch": str(torch.__version__)}
    return {"opset": OPSET, "versions": versions, "weights_sha256": weights_sha256}


def graph_in(precision: str, model: AsArm) -> onnx.ModelProto:
    """The model's graph in one of `PRECISIONS`, as it is stored."""
    if precision == "float16":
        return to_onnx(model, half=True)
    if precision == EXACT:
        return stored_as_half(to_onnx(model))
    exact = to_onnx(model, half_caches=True)
    # The scales of rounded weights stay float32: they are few, and a rounded one would shift all weights of its block.
    return stored_as_half(quantise(exact, 8 if precision == "int8" else 4), only={each.name for each in exact.graph.initializer})


def _write_draft_head(source: Source, file: Path, out: Path) -> FileEntry | None:
    if source.draft_graph is not None:
        return write_graph(onnx.load_model_from_string(source.draft_graph), file)
    if source.head is None:
        return None
    drafter = draft_head_to_onnx(source.model, source.head)
    apart = draft_head_difference(stored_as_half(drafter), source.model, source.head)
    if not apart <= TOLERANCE:
        raise LacunaError(
            f"ONNX Runtime's logits of the draft head differ from torch's by {apart:.2g} (at most {TOLERANCE:g}), so {out} was "
            "not written; try other versions of torch or onnxruntime"
        )
    # In 8 bits whatever the model's own precision: no fill's distribution rests on a draft, and a step is all memory traffic.
    return write_graph(stored_as_half(quantise(drafter), only={each.name for each in drafter.graph.initializer}), file)


def _refuse_different(precision: str, difference: Difference, out: Path) -> None:
    if precision != EXACT:
        if not np.isfinite((difference.logits, difference.caches)).all():
            raise LacunaError(
                f"the {precision} graph answers with numbers that are NaN or infinite, so {out} was not written; leave it out"
            )
    elif not difference.tolerable:
        raise LacunaError(
            f"ONNX Runtime's outputs differ from torch's by {difference.logits:.2g} in logits (at most {TOLERANCE:g}) and by "
            f"{difference.caches:.2g} of the largest in keys and values (at most {CACHE_TOLERANCE:g}), so {out} was not written; "
            "try other versions of torch or onnxruntime"
        )


def refuse_foreign(out: Path) -> None:
    """Raises LacunaError where `out` exists and is neither an empty folder nor a model folder."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        raw = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raw = None
    if not isinstance(raw, dict) or "format_version" not in raw or "graphs" not in raw:
        raise LacunaError(f"{out} exists and is no model folder, so it is left alone; name another folder")


def largest_difference(graph: Path, model: AsArm, longest: int) -> Difference:
    """The largest between outputs of the graph, an ordinary one or one for GPUs, in ONNX Runtime and of the model, on random passes; NaN
    where either has one."""
    session = _session(str(graph))
    entries = session.get_inputs()
    if any(entry.name == "content_places" for entry in entries):
        return _largest_difference_on_device(session, model, longest)
    logits, caches = [0.0], [0.0]
    passes = _random_passes(model.config, longest)
    for args in tqdm(passes, f"{graph.name} beside torch", len(_CHECKED_SHAPES), unit="pass", leave=False, delay=1):
        with torch.no_grad():
            wanted: tuple[Tensor, ...] = model(*args)
        inputs = {
            entry.name: arg.numpy().astype(np.float16) if entry.type == "tensor(float16)" else arg.numpy()
            for entry, arg in zip(entries, args, strict=True)
        }
        given: list[NDArray[np.float32]] = session.run(None, inputs)
        differences = [np.abs(ours - theirs.numpy()).max() for ours, theirs in zip(given, wanted, strict=True)]
        logits.append(differences[0])
        caches += [difference / theirs.abs().max().item() for difference, theirs in zip(differences[1:], wanted[1:], strict=True)]
    return Difference(float(np.max(logits)), float(np.max(caches)))


def _largest_difference_on_device(session: onnxruntime.InferenceSession, model: AsArm, longest: int) -> Difference:
    """The same for a graph for GPUs, which takes one context: past rows come first in its caches, and the pass's rows behind them. Masks
    are such as its keys can tell, and all rows see the first one."""
    config, kind = model.config, np.float16 if session.get_inputs()[-1].type == "tensor(float16)" else np.float32
    logits, caches = [0.0], [0.0]
    generator = torch.Generator().manual_seed(20250423)
    for shape in _CHECKED_SHAPES:
        _, content, slots, past = shape = (1, *shape[1:])
        content_keys, slot_keys = (torch.randint(0, 100, (rows, 1), generator=generator) for rows in (content, slots))
        seen_from, spans = (torch.randint(0, 60, (past + content,), generator=generator) for _ in range(2))
        seen_from[0], spans[0] = 0, 100
        seen_to = seen_from + spans
        ids, positions, _, sources, targets, _, *kept = _random_pass(config, shape, longest, generator)
        masks = [((keys >= seen_from) & (keys <= seen_to))[None] for keys in (content_keys, slot_keys)]
        with torch.no_grad():
            wanted: tuple[Tensor, ...] = model(ids, positions, masks[0], sources, targets, masks[1], *kept)
        places = torch.arange(past, past + content)
        inputs = {
            "content_ids": ids,
            "content_positions": positions,
            "content_places": torch.stack((torch.zeros_like(places), places), dim=1)[None],
            "content_keys": content_keys,
            "slot_sources": sources[0],
            "slot_targets": targets,
            "slot_offsets": targets - positions[:, sources[0]] + longest - 1,
            "slot_keys": slot_keys,
            "seen_from": seen_from,
            "seen_to": seen_to,
        }
        given_arrays: dict[str, NDArray[Any]] = {name: each.numpy() for name, each in inputs.items()}
        for index, rows in enumerate(kept):
            given_arrays[f"past_{index}"] = np.zeros((1, past + content, config.width), dtype=kind)
            given_arrays[f"past_{index}"][:, :past] = _side_by_side(rows.numpy())
        given: list[NDArray[np.float32]] = session.run(None, given_arrays)
        logits.append(np.abs(given[0] - wanted[0].numpy()).max())
        for ours, theirs in zip(given[2:], wanted[2:], strict=True):
            caches.append(np.abs(ours[:, past:] - _side_by_side(theirs.numpy())).max() / theirs.abs().max().item())
    return Difference(float(np.max(logits)), float(np.max(caches)))


def _side_by_side(rows: NDArray[Any]) -> NDArray[Any]:
    """`[1, H, R, D]` to `[1, R, H * D]`."""
    _, heads, count, size = rows.shape
    return rows.transpose(0, 2, 1, 3).reshape(1, count, heads * size)


def draft_head_difference(graph: onnx.ModelProto, model: AsArm, head: DraftHead) -> float:
    """The largest between logits of two steps of the head in ONNX Runtime and in torch, from random states; NaN where either has one."""
    session = _session(graph.SerializeToString())
    generator = torch.Generator().manual_seed(0)
    step = DraftStep(model, head)
    worst = [0.0]
    for rows in (1, 3, 16):
        states = wanted = torch.randn(rows, model.config.width, generator=generator)
        given = states.numpy()
        for _ in range(2):
            ids = torch.randint(0, model.config.vocabulary, (rows,), generator=generator)
            with torch.no_grad():
                wanted, logits = step(wanted, ids)
            given, ours = session.run(None, {"states": given, "ids": ids.numpy()})
            worst.append(float(np.abs(ours - logits.numpy()).max()))
    return float(np.max(worst))


def _session(graph: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _random_passes(config: ModelConfig, longest: int) -> Iterator[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(20250423)
    for shape in _CHECKED_SHAPES:
        yield _random_pass(config, shape, longest, generator)


def _random_pass(config: ModelConfig, shape: tuple[int, int, int, int], longest: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Inputs of one pass of the given (B, C, S, P), with masks at random in which each row sees at least itself or its source."""
    batch, content, slots, past = shape

    def whole(high: int, *size: int) -> Tensor:
        return torch.randint(0, high, size, generator=generator)

    content_visibility = whole(2, batch, content, past + content) > 0
    content_visibility[:, torch.arange(content), past + torch.arange(content)] = True
    sources = whole(content, batch, slots)
    slot_visibility = (whole(2, batch, slots, past + content) > 0).scatter(2, past + sources[..., None], True)
    caches = [torch.randn(batch, config.heads, past, config.head_size, generator=generator) for _ in range(2 * (config.layers + 1))]
    return (
        whole(config.vocabulary, batch, content),
        whole(longest, batch, content),
        content_visibility,
        sources,
        whole(longest, batch, slots),
        slot_visibility,
        *caches,
    )
