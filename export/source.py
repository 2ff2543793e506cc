"""What is exported: a training run's last checkpoint, or a model folder whose float32 graph has the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.errors import LacunaError, ModelError
from engine.manifest import MANIFEST, checked_file, load_manifest, sha256_of
from engine.sequence import SpecialIds
from engine.text import Text
from export.draft_head import DRAFT_HEAD, load_draft_head
from export.draft_head_model import DraftHead
from export.holes import LARGEST_SURPLUS
from export.model import AsArm, ModelConfig
from export.torch_twin import load_twin
from export.train import CHECKPOINT, TOKENIZER, load_checkpoint
from export.vocabulary import SPECIAL_IDS, SPECIAL_TOKENS

MAX_HOLES = 8
_NAMED = 3  # tensors at most, of each kind of misfit
_TEXT = "def Naïve(x):\n\tif x:\n        return 'é 漢 🙂  ' * 2  \n\n\n"


@dataclass(frozen=True)
class Source:
    """A model ready to be exported.

    `model` has weights of float16 precision, in float32. `head` is a run's draft head, `draft_graph` a model folder's draft head as
    it lies there; None where there is none. `files` are those it was read from, with their SHA-256.
    """

    name: str
    model: AsArm
    tokenizer: bytes
    special_ids: SpecialIds
    window: int
    longest_position: int
    max_holes: int
    files: Mapping[Path, str]
    head: DraftHead | None = None
    draft_graph: bytes | None = None
    corpus: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_sha256(self) -> str:
        """Of the checkpoint, or of the graph."""
        return next(iter(self.files.values()))

    def check_unchanged(self) -> None:
        """Raises LacunaError where another program has written one of the files since they were read."""
        for path, digest in self.files.items():
            if not path.is_file() or sha256_of(path) != digest:
                raise LacunaError(f"{path} changed while it was exported, so nothing was written; export again when nothing writes to it")


def read_source(path: Path) -> Source:
    """The model of a run, or of a model folder. Raises LacunaError, naming what is wrong with which file."""
    return _of_folder(path) if (path / MANIFEST).is_file() else _of_run(path)


def _of_folder(folder: Path) -> Source:
    manifest = load_manifest(folder)
    if "float32" not in manifest.graphs:
        raise ModelError(
            f"{folder} has no float32 graph, whose weights could be exported, only {', '.join(manifest.graphs)}; name the run it comes from"
        )
    entries = [manifest.graphs["float32"], manifest.tokenizer, *([manifest.draft_head] if manifest.draft_head else [])]
    files = {folder / file.file: file.sha256 for entry in entries for file in entry.files}
    graph = checked_file(folder, entries[0])
    Text(folder, manifest)
    return Source(
        name=manifest.name,
        model=load_twin(graph, manifest),
        tokenizer=(folder / manifest.tokenizer.file).read_bytes(),
        special_ids=manifest.special_ids,
        window=manifest.window,
        longest_position=manifest.longest_position,
        max_holes=manifest.max_holes,
        files=files,
        draft_graph=None if manifest.draft_head is None else checked_file(folder, manifest.draft_head).read_bytes(),
        corpus=manifest.corpus,
        evaluation=manifest.evaluation,
    )


def _of_run(run: Path) -> Source:
    checkpoint = run / CHECKPOINT
    # Before anything is read, so that no change goes unnoticed.
    files = {path: sha256_of(path) for path in (checkpoint, run / TOKENIZER, run / DRAFT_HEAD) if path.is_file()}
    state = load_checkpoint(run)
    try:
        config = ModelConfig(**state["recipe"]["model"])
        rows, bidirectional = int(state["recipe"]["rows"]), float(state["recipe"]["prompting"]["bidirectional"])
        weights = dict(state["model"])
        model = AsArm(config)
    except (KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise LacunaError(
            f"{checkpoint} is no checkpoint of lacuna-export train ({type(error).__name__}: {error}); name another run"
        ) from None
    if bidirectional > 0:
        raise LacunaError(
            f"the run {run} was trained with bidirectional prompts, which the engine doesn't run; train one with causal prompts"
        )
    _load_weights(model, weights, checkpoint)
    tokenizer = _tokenizer(run / TOKENIZER, config.vocabulary)
    return Source(
        name=run.resolve().name,
        model=model.eval(),
        tokenizer=tokenizer,
        special_ids=SPECIAL_IDS,
        window=rows,
        longest_position=rows + MAX_HOLES * LARGEST_SURPLUS,
        max_holes=MAX_HOLES,
        files=files,
        head=load_draft_head(run, config),
    )


def _load_weights(model: AsArm, weights: Mapping[str, Any], checkpoint: Path) -> None:
    """Give the model the weights, rounded to float16 precision. Raises LacunaError that names the tensors which don't fit."""
    shapes = {name: list(weight.shape) for name, weight in model.state_dict().items()}
    given = {name: list(weight.shape) if isinstance(weight, Tensor) else None for name, weight in weights.items()}
    misfits = [
        _listed("it lacks", [name for name in shapes if name not in given]),
        _listed("it has unknown", [str(name) for name in given if name not in shapes]),
        _listed(
            "it has the wrong shape of",
            [f"{name} ({given[name]}, not {shape})" for name, shape in shapes.items() if name in given and given[name] != shape],
        ),
        _listed(
            "it has numbers that are NaN or infinite in",
            [name for name in shapes if isinstance(weights.get(name), Tensor) and not torch.isfinite(weights[name].half()).all()],
        ),
    ]
    if any(misfits):
        raise LacunaError(f"the checkpoint {checkpoint} doesn't fit its recipe: {' and '.join(filter(None, misfits))}; name another run")
    model.load_state_dict({name: weight.half().float() for name, weight in weights.items()})


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what} {', '.join(names[:_NAMED])}{more}" if names else ""


def _tokenizer(path: Path, vocabulary: int) -> bytes:
    """The file's bytes, once it is known to fit. Raises LacunaError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LacunaError(f"the run's tokenizer {path} can't be read ({error.strerror}); train the run again") from None
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers raises bare Exception
        raise LacunaError(f"{path} is not a tokenizer ({str(error)[:120].rstrip('.')}); put the run's own in its place") from None
    tokenizer.encode_special_tokens = True
    if tokenizer.get_vocab_size() != vocabulary:
        raise LacunaError(
            f"{path} has {tokenizer.get_vocab_size()} entries, but the model has {vocabulary}; put the run's own in its place"
        )
    for token, index in zip(SPECIAL_TOKENS, vars(SPECIAL_IDS).values(), strict=True):
        if tokenizer.token_to_id(token) != index:
            raise LacunaError(
                f"{path} has no {token} with the id {index}, which the model was trained with; put the run's own in its place"
            )
    if tokenizer.decode(tokenizer.encode(_TEXT).ids, skip_special_tokens=False) != _TEXT:
        raise LacunaError(f"{path} changes texts instead of giving them back unchanged; put the run's own in its place")
    return content
