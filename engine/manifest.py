"""The self-describing model folder: `manifest.json` names every fact and file, and nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.sequence import NO_MARK, PROMPT_ORDERS, SpecialIds

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
PROMPT_VISIBILITIES = ("causal", "bidirectional")
TOKENIZATIONS = ("byte-level", "sentencepiece")
HOLE_LENGTHS = ("marked", "compared")
TWO_STREAM = "xlnet"  # the architecture whose slot rows run through all layers, and whose positions are relative


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
    `prompt_visibility` "causal": each prompt row sees those before it in sigma; "bidirectional": each sees all of them.
    `prompt_order` is the order of prompt pieces in sigma. `corpus` and `evaluation` are for people.

    What a manifest may leave out: `barred` are tokens that never stand in a hole, beside the marks. `tokenization` "byte-level":
    every text comes back unchanged; "sentencepiece": words with their space before them, and `text_changes` says what does not come
    back. `hole_lengths` "marked": a fill ends with `<eoh>`; "compared": the model has no such mark, and the length of a hole is
    found by comparing likelihoods (`engine.lengths`). `made_with`: opset, versions and the weights' hash, for people. `device_graph` is
    the same model laid out for a GPU (`engine.device_model`), None where the folder has none; it knows positions below
    `longest_position`, and a context of it holds as many rows as there is memory for. `device_draft_head` is its draft head.
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
    barred: tuple[int, ...] = ()
    tokenization: str = "byte-level"
    text_changes: str = ""
    hole_lengths: str = "marked"
    made_with: dict[str, Any] = field(default_factory=dict)
    device_graph: FileEntry | None = None
    device_draft_head: FileEntry | None = None

    @property
    def default_precision(self) -> str:
        return next(iter(self.graphs))

    @property
    def files(self) -> list[FileEntry]:
        """All files of the folder but the manifest."""
        entries = [self.tokenizer, *self.graphs.values(), self.draft_head, self.device_graph, self.device_draft_head]
        return [file for entry in entries if entry is not None for file in entry.files]

    @property
    def cached_layers(self) -> int:
        """How many layers leave keys and values in the cache: a slot head has some of its own."""
        return self.layers if self.architecture == TWO_STREAM else self.layers + 1

    @property
    def never(self) -> list[int]:
        """The tokens that stand in no hole."""
        specials = self.special_ids
        return [*(each for each in (specials.pad, specials.bos, specials.sof, specials.eof) if each != NO_MARK), *self.barred]

    def as_json(self) -> str:
        raw = asdict(self)
        for name in ("device_graph", "device_draft_head"):
            if raw[name] is None:  # as in most folders
                del raw[name]
        for entry in (raw["tokenizer"], *raw["graphs"].values(), raw["draft_head"], *map(raw.get, ("device_graph", "device_draft_head"))):
            if entry is None:
                continue
            if entry["data"] is None:  # as of nearly all
                del entry["data"]
            else:
                del entry["data"]["data"]
        raw["special_ids"] = {name: None if each == NO_MARK else each for name, each in raw["special_ids"].items()}
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
        defaults = {
            each.name: each.default if each.default_factory is MISSING else each.default_factory()
            for each in fields(Manifest)
            if each.default is not MISSING or each.default_factory is not MISSING
        }
        names = [each.name for each in fields(Manifest)]
        for name in names:
            if name not in raw and name not in defaults:
                raise self.refuse(name, "is missing")
        raw = defaults | raw
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
        for name, known in (
            ("prompt_visibility", PROMPT_VISIBILITIES),
            ("prompt_order", PROMPT_ORDERS),
            ("tokenization", TOKENIZATIONS),
            ("hole_lengths", HOLE_LENGTHS),
        ):
            if raw[name] not in known:
                raise self.refuse(name, f"is {raw[name]!r}, which this Lacuna doesn't know")
        if not isinstance(raw["text_changes"], str):
            raise self.refuse("text_changes", f"must be a text, not {raw['text_changes']!r}")
        for name in ("special_ids", "graphs", "corpus", "evaluation", "made_with"):
            if not isinstance(raw[name], dict):
                raise self.refuse(name, "must be an object")
        if not raw["graphs"]:
            raise self.refuse("graphs", "names no graph file")
        specials = self.specials(raw["special_ids"], raw["vocabulary"], ended=raw["hole_lengths"] == "marked")
        barred = self.barred(raw["barred"], raw["vocabulary"])
        graphs = {precision: self.file(f"graphs.{precision}", entry) for precision, entry in raw["graphs"].items()}
        tokenizer = self.file("tokenizer", raw["tokenizer"])
        others = {
            name: None if raw[name] is None else self.file(name, raw[name]) for name in ("draft_head", "device_graph", "device_draft_head")
        }
        checked = {"special_ids": specials, "barred": barred, "graphs": graphs, "tokenizer": tokenizer}
        return Manifest(**{**raw, **checked, **others})

    def whole(self, field: str, value: object, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.refuse(field, f"must be a whole number of at least {least}, not {value!r}")
        return value

    def specials(self, raw: dict[str, Any], vocabulary: int, *, ended: bool) -> SpecialIds:
        names = [field.name for field in fields(SpecialIds)]
        if set(raw) != set(names):
            raise self.refuse("special_ids", f"must name {', '.join(names)}")
        given = {name: value for name, value in raw.items() if value is not None}
        for name in given:
            if self.whole(f"special_ids.{name}", raw[name], 0) >= vocabulary:
                raise self.refuse(f"special_ids.{name}", f"is {raw[name]}, outside the vocabulary of {vocabulary}")
        if len(set(given.values())) != len(given):
            raise self.refuse("special_ids", "gives two marks the same id")
        if ended and "eoh" not in given:
            raise self.refuse("special_ids.eoh", "is null, though hole_lengths says that fills end with it")
        return SpecialIds(**dict.fromkeys(names, NO_MARK) | given)

    def barred(self, raw: object, vocabulary: int) -> tuple[int, ...]:
        if not isinstance(raw, list | tuple):
            raise self.refuse("barred", f"must be a list of token ids, not {raw!r}")
        for each in raw:
            if self.whole("barred", each, 0) >= vocabulary:
                raise self.refuse("barred", f"names {each}, outside the vocabulary of {vocabulary}")
        return tuple(raw)

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


def bytes_of(folder: Path, entry: FileEntry) -> int:
    """The size of a graph with its data. Files that aren't there count for nothing: `checked_file` tells of them."""
    return sum((folder / each.file).stat().st_size for each in entry.files if (folder / each.file).is_file())


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
