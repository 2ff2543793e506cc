"""A finished run as a few small files and back: what an export, a draft head or a further run needs of it, in float16.

A machine with a GPU that is there for minutes may give back small files only, and a checkpoint is five times the size of its model. The
parts are slices of one tar archive; parts.json names them with their SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.errors import LacunaError
from export.draft_head import DRAFT_HEAD
from export.train import CHECKPOINT, METRICS, TOKENIZER, load_checkpoint

PARTS = "parts.json"
PART_BYTES = 15 * 2**20
_FORMAT = 1
_CONTENTS = (CHECKPOINT, TOKENIZER, DRAFT_HEAD, METRICS)


def split_run(run: Path, out: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write the averaged weights, the tokenizer, the draft head and the metrics of `run` to `out`, in files of at most `part_bytes`.

    Raises LacunaError for a run without a whole checkpoint, a folder that holds other things, and a full disk.
    """
    saved = load_checkpoint(run)
    slim = {"model": _halved(saved["model"]), **{name: saved[name] for name in ("recipe", "step", "seconds")}}
    contents = {CHECKPOINT: _stored(slim)}
    if (run / DRAFT_HEAD).exists():
        head = torch.load(run / DRAFT_HEAD, map_location="cpu", weights_only=True)
        contents[DRAFT_HEAD] = _stored({**head, "head": _halved(head["head"])})
    try:
        contents |= {name: (run / name).read_bytes() for name in (TOKENIZER, METRICS) if (run / name).exists()}
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise LacunaError(f"{out} is not empty; name a new folder for the parts")
        archive = _archive(contents)
        slices = [archive[start : start + part_bytes] for start in range(0, len(archive), part_bytes)]
        paths = [out / f"part-{number}-of-{len(slices)}" for number in range(1, len(slices) + 1)]
        for path, content in zip(paths, slices, strict=True):
            path.write_bytes(content)
        parts = [
            {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for path, content in zip(paths, slices, strict=True)
        ]
        (out / PARTS).write_text(json.dumps({"format": _FORMAT, "parts": parts}, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise LacunaError(f"the run {run} can't be split into {out} ({error.strerror}); make room or name another folder") from None
    return [*paths, out / PARTS]


def join_run(parts: Path, run: Path) -> None:
    """Put a split run together again as `run`. It can be exported and begun from, but not gone on with.

    Raises LacunaError where a part is missing or damaged, and where `run` is a run already.
    """
    if (run / CHECKPOINT).exists():
        raise LacunaError(f"{run} is a run already; name a new folder")
    try:
        listed = json.loads((parts / PARTS).read_text(encoding="utf-8"))
        entries = [(parts / entry["file"], entry["sha256"]) for entry in listed["parts"]]
        if listed["format"] != _FORMAT:
            raise ValueError("of another format")
    except OSError as error:
        raise LacunaError(f"{parts / PARTS} can't be read ({error.strerror}); name a folder made by lacuna-export split") from None
    except (KeyError, TypeError, ValueError) as error:
        raise LacunaError(f"{parts / PARTS} is damaged ({error}); split the run again") from None
    archive = b"".join(_checked(path, digest) for path, digest in entries)
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for name in _CONTENTS:
                if name in files.getnames() and (file := files.extractfile(name)) is not None:
                    (run / name).write_bytes(file.read())
    except OSError as error:
        raise LacunaError(f"the run can't be written to {run} ({error.strerror}); make room or name another folder") from None


def _checked(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LacunaError(f"the part {path} can't be read ({error.strerror}); fetch it again") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise LacunaError(f"the part {path} is not what was written (its SHA-256 differs); fetch it again")
    return content


def _halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    # Exports round to float16 anyway.
    return {name: weight.half() for name, weight in weights.items()}


def _stored(contents: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    torch.save(contents, stream)
    return stream.getvalue()


def _archive(contents: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as files:
        for name in _CONTENTS:
            if name in contents:
                about = tarfile.TarInfo(name)
                about.size = len(contents[name])
                files.addfile(about, io.BytesIO(contents[name]))
    return stream.getvalue()
