"""From a training run to a model folder: the graph as ONNX, compared with torch, beside its tokenizer and manifest."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from engine.errors import LacunaError
from engine.manifest import FORMAT_VERSION, MANIFEST, FileEntry, Manifest, sha256_of
from export.as_arm_graph import to_onnx as to_onnx
from export.draft_head import DraftHead, DraftStep, load_draft_head
from export.draft_head_graph import draft_head_to_onnx
from export.holes import LARGEST_SURPLUS
from export.model import AsArm, ModelConfig, parameter_count
from export.quantise import quantise
from export.train import TOKENIZER, load_checkpoint
from export.vocabulary import SPECIAL_IDS

TOLERANCE = 1e-4  # of logits, absolute
# Of keys and values, relative to the largest of their tensor: values reach 60 to 80, where float32 is that much coarser.
CACHE_TOLERANCE = 1e-5
_DRAFT_HEAD = "draft head"
GRAPHS = {"float32": "model.onnx", "int8": "model.int8.onnx", _DRAFT_HEAD: "draft_head.onnx"}
_MAX_HOLES = 8
_STORED_AS_HALF = 1024  # tensors of at least so many numbers
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
_INPUTS = ("content_ids", "content_positions", "content_visibility", "slot_sources", "slot_targets", "slot_visibility")


@dataclass(frozen=True)
class Exported:
    """A model folder's manifest, and how far ONNX Runtime's float32 outputs are from torch's on random passes."""

    manifest: Manifest
    difference: Difference


@dataclass(frozen=True)
class Difference:
    """The largest between two runs of one model: `logits` absolute, `caches` relative to the largest number of a tensor."""

    logits: float
    caches: float

    @property
    def tolerable(self) -> bool:
        """False for NaN too."""
        return self.logits <= TOLERANCE and self.caches <= CACHE_TOLERANCE


def export_model(
    run: Path, out: Path, name: str, corpus_summary: Mapping[str, Any], evaluation: Mapping[str, Any], *, int8: bool = False
) -> Exported:
    """Write the model folder `out` from a run's last checkpoint, with an 8-bit graph beside the float32 one if `int8`.

    Where the run has a draft head, its graph goes along. Weights are rounded to float16 and stored so; arithmetic is
    float32. Files appear in `out`, the manifest last, only once ONNX Runtime's float32 outputs are within `TOLERANCE` and
    `CACHE_TOLERANCE` of torch's. Raises LacunaError otherwise, for a run without a whole checkpoint or tokenizer or with
    bidirectional prompts, and for an `out` that holds something other than a model.
    """
    refuse_foreign(out)
    state = load_checkpoint(run)
    try:
        tokenizer = (run / TOKENIZER).read_bytes()
    except OSError as error:
        raise LacunaError(f"the run's tokenizer {run / TOKENIZER} can't be read ({error.strerror}); train the run again") from None
    if state["recipe"]["prompting"]["bidirectional"] > 0:
        raise LacunaError(
            f"the run {run} was trained with bidirectional prompts, which the engine doesn't run; train one with causal prompts"
        )
    config = ModelConfig(**state["recipe"]["model"])
    rows = int(state["recipe"]["rows"])
    longest = rows + _MAX_HOLES * LARGEST_SURPLUS
    model = rounded_model(config, state["model"])
    proto = to_onnx(model)
    graphs = {"float32": stored_as_half(proto)}
    difference = largest_difference(graphs["float32"], model, longest)
    if not difference.tolerable:
        raise LacunaError(
            f"ONNX Runtime's outputs differ from torch's by {difference.logits:.2g} in logits (at most {TOLERANCE:g}) and by "
            f"{difference.caches:.2g} of the largest in keys and values (at most {CACHE_TOLERANCE:g}), so {out} was not written; "
            "try other versions of torch or onnxruntime"
        )
    head = load_draft_head(run, config)
    if head is not None:
        drafter = draft_head_to_onnx(model, head)
        apart = draft_head_difference(stored_as_half(drafter), model, head)
        if not apart <= TOLERANCE:
            raise LacunaError(
                f"ONNX Runtime's logits of the draft head differ from torch's by {apart:.2g} (at most {TOLERANCE:g}), so {out} was "
                "not written; try other versions of torch or onnxruntime"
            )
        # In 8 bits whatever the model's own precision: no fill's distribution rests on a draft, and a step is all memory traffic.
        graphs[_DRAFT_HEAD] = stored_as_half(quantise(drafter), only={each.name for each in drafter.graph.initializer})
    if int8:
        # The scales of 8-bit weights stay float32: they are few, and a rounded one would shift all weights of its block.
        graphs["int8"] = stored_as_half(quantise(to_onnx(model, half_caches=True)), only={each.name for each in proto.graph.initializer})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        beside = Path(folder)
        (beside / TOKENIZER).write_bytes(tokenizer)
        for kind, graph in graphs.items():
            (beside / GRAPHS[kind]).write_bytes(graph)
        entries = {kind: FileEntry(GRAPHS[kind], sha256_of(beside / GRAPHS[kind])) for kind in graphs}
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            name=name,
            architecture="as-arm-trunk-slot-head",
            parameters=parameter_count(model),
            vocabulary=config.vocabulary,
            special_ids=SPECIAL_IDS,
            longest_position=longest,
            window=rows,
            max_holes=_MAX_HOLES,
            layers=config.layers,
            heads=config.heads,
            head_size=config.head_size,
            prompt_visibility="causal",
            prompt_order="suffix-first",
            tokenizer=FileEntry(TOKENIZER, sha256_of(beside / TOKENIZER)),
            graphs={kind: entry for kind, entry in entries.items() if kind != _DRAFT_HEAD},
            draft_head=entries.get(_DRAFT_HEAD),
            corpus=dict(corpus_summary),
            evaluation=dict(evaluation),
        )
        (beside / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
        out.mkdir(exist_ok=True)
        for file in (TOKENIZER, *(entry.file for entry in entries.values()), MANIFEST):
            (beside / file).replace(out / file)
        for kind in GRAPHS.keys() - graphs.keys():  # of an earlier export, which the manifest no longer names
            (out / GRAPHS[kind]).unlink(missing_ok=True)
    return Exported(manifest, difference)


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


def rounded_model(config: ModelConfig, weights: Mapping[str, Tensor]) -> AsArm:
    """The model with every weight rounded to float16 precision, in float32."""
    model = AsArm(config)
    model.load_state_dict({name: weight.half().float() for name, weight in weights.items()})
    return model.eval()


def _strip(proto: onnx.ModelProto) -> None:
    """Remove the notes that the exporter leaves: stack traces with file names, module names, version marks."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    for holder in (proto.graph, *proto.functions):
        del holder.metadata_props[:]
        holder.doc_string = ""
        for node in holder.node:
            del node.metadata_props[:]
            node.doc_string = ""
        for value in holder.value_info:
            del value.metadata_props[:]
            value.doc_string = ""
    for value in (*proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""


def stored_as_half(proto: onnx.ModelProto, only: Collection[str] | None = None) -> bytes:
    """The checked and serialised graph with large float32 tensors (those named in `only`) as float16 with a Cast each.

    ONNX Runtime folds the Casts when it loads the graph. No trace is left of where the graph was made; `proto` stays as it is.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(proto)
    _strip(stored)
    graph = stored.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _STORED_AS_HALF:
            continue
        if only is not None and tensor.name not in only:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(stored)
    serialised: bytes = stored.SerializeToString()
    return serialised


def largest_difference(graph: bytes, model: AsArm, longest: int) -> Difference:
    """The largest between outputs of the graph in ONNX Runtime and of the model, on random passes; NaN where either has one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    logits, caches = [0.0], [0.0]
    for args in _random_passes(model.config, longest):
        with torch.no_grad():
            wanted: tuple[Tensor, ...] = model(*args)
        given: list[NDArray[np.float32]] = session.run(None, dict(zip(names, (arg.numpy() for arg in args), strict=True)))
        differences = [np.abs(ours - theirs.numpy()).max() for ours, theirs in zip(given, wanted, strict=True)]
        logits.append(differences[0])
        caches += [difference / theirs.abs().max().item() for difference, theirs in zip(differences[1:], wanted[1:], strict=True)]
    return Difference(float(np.max(logits)), float(np.max(caches)))


def draft_head_difference(graph: bytes, model: AsArm, head: DraftHead) -> float:
    """The largest between logits of two steps of the head in ONNX Runtime and in torch, from random states; NaN where either has one."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
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
