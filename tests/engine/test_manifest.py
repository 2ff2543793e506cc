"""A model folder that can't be used is refused in one sentence that names the file."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ModelError
from engine.local import DEFAULT_MODEL, load_infiller
from engine.manifest import MANIFEST, Manifest, checked_file, load_manifest, sha256_of
from engine.onnx_draft_head import OnnxDraftHead
from engine.onnx_model import OnnxModel
from engine.options import FillOptions
from engine.passage import Passage
from engine.sequence import NO_MARK, SpecialIds
from engine.text import Text

FIELDS = [field.name for field in fields(Manifest) if field.default is MISSING and field.default_factory is MISSING]
LEFT_OUT: dict[str, Any] = {
    "barred": [],
    "tokenization": "byte-level",
    "text_changes": "",
    "hole_lengths": "marked",
    "made_with": {},
}
DIGEST = hashlib.sha256(b"").hexdigest()


def valid() -> dict[str, Any]:
    """A manifest as raw JSON, every field right."""
    return {
        "format_version": 2,
        "name": "tiny",
        "architecture": "as-arm",
        "parameters": 100,
        "vocabulary": 8,
        "special_ids": {"pad": 0, "bos": 1, "sof": 2, "eof": 3, "eoh": 4},
        "longest_position": 64,
        "window": 32,
        "max_holes": 4,
        "layers": 1,
        "heads": 2,
        "head_size": 4,
        "prompt_visibility": "causal",
        "prompt_order": "suffix-first",
        "tokenizer": {"file": "tokenizer.json", "sha256": DIGEST},
        "graphs": {"float32": {"file": "model.onnx", "sha256": DIGEST}},
        "draft_head": {"file": "draft_head.onnx", "sha256": DIGEST},
        "corpus": {},
        "evaluation": {},
    }


def written(folder: Path, raw: object) -> Path:
    (folder / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    return folder


def assert_one_sentence(error: pytest.ExceptionInfo[ModelError], *names: str) -> None:
    message = str(error.value)
    assert "\n" not in message and ". " not in message and not message.endswith("."), message
    for name in names:
        assert name in message, message


def test_a_valid_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path, valid()))
    assert manifest.special_ids == SpecialIds(pad=0, bos=1, sof=2, eof=3, eoh=4)
    assert manifest.graphs["float32"].file == "model.onnx"
    (tmp_path / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
    assert load_manifest(tmp_path) == manifest


def test_data_is_told_only_of_graphs_that_have_some(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path, valid()))
    assert manifest.made_with == {} and manifest.default_precision == "float32"
    assert json.loads(manifest.as_json()) == {**valid(), **LEFT_OUT}
    raw = valid() | {"made_with": {"opset": 23}}
    raw["graphs"]["float32"]["data"] = {"file": "model.onnx.data", "sha256": DIGEST}
    large = load_manifest(written(tmp_path, raw))
    assert json.loads(large.as_json()) == LEFT_OUT | raw
    assert [entry.file for entry in large.files] == ["tokenizer.json", "model.onnx", "model.onnx.data", "draft_head.onnx"]


def test_graphs_for_gpus_are_told_where_there_are_some(tmp_path: Path) -> None:
    assert load_manifest(written(tmp_path, valid())).device_graph is None
    graphs = {name: {"file": f"{name}.onnx", "sha256": DIGEST} for name in ("device_graph", "device_draft_head")}
    manifest = load_manifest(written(tmp_path, valid() | graphs))
    assert json.loads(manifest.as_json()) == {**valid(), **LEFT_OUT, **graphs}
    assert [entry.file for entry in manifest.files][-2:] == ["device_graph.onnx", "device_draft_head.onnx"]


def test_what_a_model_lacks_may_be_left_out(tmp_path: Path) -> None:
    raw = {**valid(), "hole_lengths": "compared", "special_ids": dict.fromkeys(valid()["special_ids"]) | {"pad": 5}, "barred": [6, 7]}
    manifest = load_manifest(written(tmp_path, raw))
    assert manifest.special_ids == SpecialIds(pad=5, bos=NO_MARK, sof=NO_MARK, eof=NO_MARK, eoh=NO_MARK)
    assert manifest.never == [5, 6, 7]
    assert (manifest.tokenization, manifest.text_changes) == ("byte-level", "")
    (tmp_path / MANIFEST).write_text(manifest.as_json(), encoding="utf-8")
    assert load_manifest(tmp_path) == manifest


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_refused(field: str, tmp_path: Path) -> None:
    raw = valid()
    del raw[field]
    with pytest.raises(ModelError) as error:
        load_manifest(written(tmp_path, raw))
    assert_one_sentence(error, MANIFEST, "format version" if field == "format_version" else field)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_manifest(written(tmp_path, {**valid(), "colour": "blue"}))
    assert_one_sentence(error, MANIFEST, "colour")


TEXTS = ("name", "architecture", "prompt_visibility", "prompt_order")
NUMBERS = ("parameters", "vocabulary", "longest_position", "window", "max_holes", "layers", "heads", "head_size")
OBJECTS = ("special_ids", "graphs", "corpus", "evaluation", "made_with")
NO_TEXTS: list[object] = ["", 3, None]
NO_NUMBERS: list[object] = [0, -1, 1.5, "8", True, None]
NO_OBJECTS: list[object] = [[], "x", None]

WRONG: list[tuple[str, object]] = [
    ("format_version", 1),
    ("format_version", None),
    *itertools.product(TEXTS, NO_TEXTS),
    *itertools.product(NUMBERS, NO_NUMBERS),
    *itertools.product(OBJECTS, NO_OBJECTS),
    ("prompt_visibility", "sideways"),
    ("prompt_order", "shuffled"),
    ("special_ids", {"pad": 0, "bos": 1, "sof": 2, "eof": 3}),
    ("special_ids", {"pad": 0, "bos": 1, "sof": 2, "eof": 3, "eoh": 4, "mask": 5}),
    ("special_ids", {"pad": 0, "bos": 1, "sof": 2, "eof": 3, "eoh": 3}),
    ("special_ids", {"pad": 0, "bos": 1, "sof": 2, "eof": 3, "eoh": 8}),
    ("special_ids", {"pad": -1, "bos": 1, "sof": 2, "eof": 3, "eoh": 4}),
    ("special_ids", {"pad": "0", "bos": 1, "sof": 2, "eof": 3, "eoh": 4}),
    ("special_ids", {"pad": 0, "bos": 1, "sof": 2, "eof": 3, "eoh": None}),  # though fills end with it
    *itertools.product(("barred",), [None, {}, "5", [8], [-1], [True], ["5"]]),
    *itertools.product(("tokenization", "hole_lengths"), [None, "", "other"]),
    ("text_changes", None),
    ("graphs", {}),
    ("graphs", {"float32": "model.onnx"}),
    ("graphs", {"float32": {"file": "../model.onnx", "sha256": DIGEST}}),
    ("graphs", {"float32": {"file": "model.onnx", "sha256": DIGEST, "data": {"file": "../model.onnx.data", "sha256": DIGEST}}}),
    ("graphs", {"float32": {"file": "model.onnx", "sha256": DIGEST, "data": "model.onnx.data"}}),
    ("draft_head", {}),
    ("draft_head", {"file": "../draft_head.onnx", "sha256": DIGEST}),
    *itertools.product(("device_graph", "device_draft_head"), [{}, "model.gpu.onnx", {"file": "../model.gpu.onnx", "sha256": DIGEST}]),
    ("window", 65),  # beyond the longest position
    ("tokenizer", None),
    ("tokenizer", {"file": "tokenizer.json"}),
    ("tokenizer", {"file": 3, "sha256": DIGEST}),
    ("tokenizer", {"file": "", "sha256": DIGEST}),
    ("tokenizer", {"file": "..", "sha256": DIGEST}),
    ("tokenizer", {"file": "/etc/passwd", "sha256": DIGEST}),
    ("tokenizer", {"file": "tokenizer.json", "sha256": DIGEST, "size": 1}),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_refused(field: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_manifest(written(tmp_path, {**valid(), field: value}))
    assert_one_sentence(error, MANIFEST, "format version" if field == "format_version" else field)


@pytest.mark.parametrize("content", [b"", b'{"format_version": 1', b"[]", b"\xff\xfe\x00", b"null"])
def test_a_manifest_that_is_no_json_object_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(ModelError) as error:
        load_manifest(tmp_path)
    assert_one_sentence(error, MANIFEST)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_manifest(tmp_path)
    assert_one_sentence(error, MANIFEST)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_manifest(tmp_path / "nowhere")
    assert_one_sentence(error, "nowhere")


def test_a_file_is_checked_against_its_hash(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path, valid()))
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ModelError) as missing:
        checked_file(tmp_path, manifest.tokenizer)
    assert_one_sentence(missing, "tokenizer.json")
    path.write_bytes(b"")
    assert checked_file(tmp_path, manifest.tokenizer) == path
    path.write_bytes(b"x")
    with pytest.raises(ModelError) as altered:
        checked_file(tmp_path, manifest.tokenizer)
    assert_one_sentence(altered, "tokenizer.json")


def test_a_graph_s_data_is_checked_with_it(tmp_path: Path) -> None:
    raw = valid()
    raw["graphs"]["float32"]["data"] = {"file": "model.onnx.data", "sha256": DIGEST}
    entry = load_manifest(written(tmp_path, raw)).graphs["float32"]
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ModelError) as missing:
        checked_file(tmp_path, entry)
    assert_one_sentence(missing, "model.onnx.data")
    (tmp_path / "model.onnx.data").write_bytes(b"")
    assert checked_file(tmp_path, entry) == tmp_path / "model.onnx"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The default model's folder, to be broken."""
    folder = tmp_path / "model"
    shutil.copytree(DEFAULT_MODEL, folder)
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the raw manifest, then make all its hashes right again."""
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(raw)
    for entry in (raw["tokenizer"], raw["draft_head"], *raw["graphs"].values()):
        entry["sha256"] = sha256_of(folder / entry["file"])
    written(folder, raw)


def nothing(raw: dict[str, Any]) -> None:
    """Leave the manifest's fields as they are."""


@pytest.mark.parametrize("name", ["tokenizer.json", "model.onnx", "draft_head.onnx"])
@pytest.mark.parametrize("damage", ["truncated", "altered", "removed"])
def test_a_damaged_file_is_refused(name: str, damage: str, copied: Path) -> None:
    path = copied / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(ModelError) as error:
        load_infiller(copied)
    assert_one_sentence(error, name)


def test_a_tokenizer_of_another_size_is_refused(copied: Path) -> None:
    raw = json.loads((copied / "tokenizer.json").read_text(encoding="utf-8"))
    raw["added_tokens"].append({**raw["added_tokens"][-1], "id": len(raw["model"]["vocab"]), "content": "<another>"})
    (copied / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    edit(copied, nothing)
    with pytest.raises(ModelError) as error:
        Text(copied, load_manifest(copied))
    assert_one_sentence(error, "tokenizer.json", "entries")


def test_a_tokenizer_that_is_none_is_refused(copied: Path) -> None:
    (copied / "tokenizer.json").write_text("{}", encoding="utf-8")
    edit(copied, nothing)
    # What follows the file's name quotes the tokenizers library.
    with pytest.raises(ModelError, match=r"tokenizer\.json is not a tokenizer"):
        Text(copied, load_manifest(copied))


def test_a_graph_that_is_none_is_refused(copied: Path) -> None:
    (copied / "model.onnx").write_bytes(b"not a graph")
    edit(copied, nothing)
    with pytest.raises(ModelError, match=r"model\.onnx can't be loaded by ONNX Runtime"):
        OnnxModel(copied, load_manifest(copied))


def test_a_draft_head_that_is_none_or_another_model_s_is_refused(copied: Path) -> None:
    head = copied / "draft_head.onnx"
    whole = head.read_bytes()
    head.write_bytes(b"not a graph")
    edit(copied, nothing)
    with pytest.raises(ModelError, match=r"draft_head\.onnx can't be loaded by ONNX Runtime"):
        load_infiller(copied)
    shutil.copy(copied / "model.onnx", head)
    edit(copied, nothing)
    with pytest.raises(ModelError) as foreign:
        load_infiller(copied)
    assert_one_sentence(foreign, "draft_head.onnx", "inputs and outputs")
    head.write_bytes(whole)
    edit(copied, nothing)
    manifest = load_manifest(copied)
    for other in (replace(manifest, vocabulary=manifest.vocabulary + 1), replace(manifest, heads=manifest.heads + 1)):
        with pytest.raises(ModelError) as wrong:
            OnnxDraftHead(head, other)
        assert_one_sentence(wrong, "draft_head.onnx", "another width or vocabulary")


def test_a_model_needs_no_draft_head(copied: Path) -> None:
    raw = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    raw["draft_head"] = None
    written(copied, raw)
    infiller = load_infiller(copied)
    assert infiller.model.draft_head is None
    passage = Passage(("def mean(values):\n    return sum(values) / ", "\n"), (12,))
    one, other = (infiller.fill(passage, FillOptions(temperature=0, method=method)) for method in ("fused", "sequential"))
    assert [fill.tokens for fill in one.suggestions[0].fills] == [fill.tokens for fill in other.suggestions[0].fills]


@pytest.mark.parametrize("field", ["layers", "heads", "head_size", "vocabulary"])
def test_a_graph_that_breaks_its_manifest_s_promise_is_refused(field: str, copied: Path) -> None:
    def add_one(raw: dict[str, Any]) -> None:
        raw[field] += 1

    edit(copied, add_one)
    with pytest.raises(ModelError) as error:
        OnnxModel(copied, load_manifest(copied))
    assert_one_sentence(error, "model.onnx")


def test_a_precision_that_the_folder_lacks_is_refused(copied: Path) -> None:
    with pytest.raises(ModelError) as error:
        OnnxModel(copied, load_manifest(copied), precision="int4")
    assert_one_sentence(error, "int4", "float32")
