"""The self-describing model folder: `manifest.json` names every fact and file, and nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.sequence import PROMPT_ORDERS, SpecialIds

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
PROMPT_VISIBILITIES = ("causal",)


@dataclass(frozen=True)
class FileEntry:
    """A file in the model folder, by name, with the SHA-256 of its bytes in hexadecimal. `data` is the file with a graph's
    weights where these are too large to lie in the graph itself, else None."""

    file: str
    sha256: str
    data: FileEntry | None = None

    @property
    def files(self) -> list[FileEntry]:
        """This one, and its data where it has some."""
        return [self] if self.data is None else [self, self.data]


@dataclass(frozen=True)
class Manifest:
    """What an exported model promises. `window` is the most rows of a sequence it was trained on.

    `graphs` maps a precision ("float32", "float16", "int8", "int4") to its ONNX file; the first is the one that is run where no
    other is asked for. `draft_head` is the graph of one, or None.
    `prompt_visibility` "causal": each prompt row sees those before it in sigma; `prompt_order` is the order of prompt pieces
    in sigma. `corpus`, `evaluation` and `made_with` (opset, versions, checkpoint; empty in folders of earlier Lacunas) are for people.
    """

    format_version: int
    name: str
    architecture: str
    parameters: int
    vocabulary: int
    special_ids: SpecialIds
    longest_position: int
    window: int
    max_holes: int
    layers: int
    heads: int
    head_size: int
    prompt_visibility: str
    prompt_order: str
    tokenizer: FileEntry
    graphs: dict[str, FileEntry]
    draft_head: FileEntry | None
    corpus: dict[str, Any]
    evaluation: dict[str, Any]
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def default_precision(self) -> str:
        return next(iter(self.graphs))

    @property
    def files(self) -> list[FileEntry]:
        """All files of the folder but the manifest."""
        entries = [self.tokenizer, *self.graphs.values(), *([self.draft_head] if self.draft_head else [])]
        return [file for entry in entries for file in entry.files]

    def as_json(self) -> str:
        raw = asdict(self)
        for entry in (raw["tokenizer"], *raw["graphs"].values(), *([raw["draft_head"]] if self.draft_head else [])):
            if entry["data"] is None:  # as of nearly all
                del entry["data"]
            else:
                del entry["data"]["data"]
        return json.dumps(raw, indent=1) + "\n"


def load_manifest(folder: Path) -> Manifest:
    """Read and check every field. Raises ModelError that names the folder, the field and what is wrong with it."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ModelError(f"there is no model folder at {folder}; name one with --model or export one with lacuna-export onnx")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); a model folder needs its manifest, so export the model again") from None
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON ({error}); export the model again") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} must hold a JSON object; export the model again")
    if raw.get("format_version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {raw.get('format_version')!r}, but this Lacuna reads {FORMAT_VERSION}; export the model again"
        )
    return _Checker(path).manifest(raw)


class _Checker:
    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse(self, field: str, problem: str) -> ModelError:
        return ModelError(f"{self.path}: {field} {problem}; export the model again")

    def manifest(self, raw: dict[str, Any]) -> Manifest:
        names = {each.name: each.default_factory is MISSING for each in fields(Manifest)}
        for name, needed in names.items():
            if needed and name not in raw:
                raise self.refuse(name, "is missing")
        for name in raw:
            if name not in names:
                raise self.refuse(name, "is unknown")
        for name in ("parameters", "vocabulary", "longest_position", "window", "max_holes", "layers", "heads", "head_size"):
            self.whole(name, raw[name], 1)
        if raw["window"] > raw["longest_position"]:
            raise self.refuse("window", f"is {raw['window']}, beyond the longest position {raw['longest_position']}")
        for name in ("name", "architecture", "prompt_visibility", "prompt_order"):
            if not isinstance(raw[name], str) or not raw[name]:
                raise self.refuse(name, f"must be a text, not {raw[name]!r}")
        if raw["prompt_visibility"] not in PROMPT_VISIBILITIES:
            raise self.refuse("prompt_visibility", f"is {raw['prompt_visibility']!r}, which this Lacuna doesn't know")
        if raw["prompt_order"] not in PROMPT_ORDERS:
            raise self.refuse("prompt_order", f"is {raw['prompt_order']!r}, which this Lacuna doesn't know")
        for name in ("special_ids", "graphs", "corpus", "evaluation", "made_with"):
            if not isinstance(raw.get(name, {}), dict):
                raise self.refuse(name, "must be an object")
        if not raw["graphs"]:
            raise self.refuse("graphs", "names no graph file")
        specials = self.specials(raw["special_ids"], raw["vocabulary"])
        graphs = {precision: self.file(f"graphs.{precision}", entry) for precision, entry in raw["graphs"].items()}
        tokenizer = self.file("tokenizer", raw["tokenizer"])
        draft_head = None if raw["draft_head"] is None else self.file("draft_head", raw["draft_head"])
        return Manifest(**{**raw, "special_ids": specials, "graphs": graphs, "draft_head": draft_head, "tokenizer": tokenizer})

    def whole(self, field: str, value: object, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.refuse(field, f"must be a whole number of at least {least}, not {value!r}")
        return value

    def specials(self, raw: dict[str, Any], vocabulary: int) -> SpecialIds:
        names = [field.name for field in fields(SpecialIds)]
        if set(raw) != set(names):
            raise self.refuse("special_ids", f"must name {', '.join(names)}")
        for name in names:
            if self.whole(f"special_ids.{name}", raw[name], 0) >= vocabulary:
                raise self.refuse(f"special_ids.{name}", f"is {raw[name]}, outside the vocabulary of {vocabulary}")
        if len(set(raw.values())) != len(names):
            raise self.refuse("special_ids", "gives two marks the same id")
        return SpecialIds(**raw)

    def file(self, field: str, raw: object) -> FileEntry:
        texts = {name: value for name, value in raw.items() if name != "data"} if isinstance(raw, dict) else {}
        if set(texts) != {"file", "sha256"} or not all(isinstance(value, str) for value in texts.values()):
            raise self.refuse(field, 'must be an object with the texts "file" and "sha256"')
        if texts["file"] in ("", "..") or Path(texts["file"]).name != texts["file"]:
            raise self.refuse(field, f"names the file {texts['file']!r}, which must lie in the model folder itself")
        data = raw.get("data") if isinstance(raw, dict) else None
        return FileEntry(**texts, data=None if data is None else self.file(f"{field}.data", data))


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def checked_file(folder: Path, entry: FileEntry) -> Path:
    """The entry's path, once its bytes, and those of its data, are known to be those the manifest names. Raises ModelError otherwise."""
    if entry.data is not None:
        checked_file(folder, entry.data)
    path = folder / entry.file
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}), though the manifest names it; copy or export the model again") from None
    if digest != entry.sha256:
        raise ModelError(
            f"{path} is not the file its manifest describes (SHA-256 {digest[:12]}..., expected {entry.sha256[:12]}...); "
            "copy or export the model again"
        )
    return path
