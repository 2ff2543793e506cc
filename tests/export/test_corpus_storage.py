"""A corpus on disk: what was written comes back, in workers too, and what is damaged is refused."""

from __future__ import annotations

import json
import multiprocessing
import operator
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import LacunaError
from export import corpus
from export.corpus import Project, SourceFile, storage
from export.corpus_summary import summarise
from tests.export.workshop import write_corpus

TEXTS = ["x = 1\n", "s = 'ä€😀'\n" * 5, "", "def f():\n    return 2\n" * 30, "# last\n"]
FILES = [SourceFile(f"p{i % 2}", f"dir/ü{i}.py", text) for i, text in enumerate(TEXTS)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """FILES as the train split, in three shards of at most 100 bytes or one file, and one held-out file."""
    monkeypatch.setattr(storage, "_SHARD_BYTES", 100)
    out = tmp_path / "corpus"
    out.mkdir()
    projects = [Project(name, "1.0", "MIT", "train", 0, 0) for name in ("p0", "p1")]
    corpus.write(out, projects, {"train": FILES, "held_out": FILES[:1]}, {"python": "3.11.0", "dropped": {}})
    return out


def test_what_was_written_comes_back(folder: Path) -> None:
    split = corpus.load(folder, "train")
    assert list(split) == FILES
    assert split[-1] == FILES[-1] and split[1:4] == FILES[1:4]
    assert split.sizes.dtype == np.int64
    assert split.sizes.tolist() == [len(text.encode()) for text in TEXTS]
    assert sorted(path.name for path in folder.glob("train-0*")) == [f"train-{i:05}.bin" for i in range(3)]
    with pytest.raises(IndexError):
        split[len(FILES)]
    assert corpus.verify(folder) == 3 + 2 + 1 + 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_split_goes_to_workers(folder: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system can't {method}")
    split = corpus.load(folder, "train")
    assert len(pickle.dumps(split)) < 1000
    with multiprocessing.get_context(method).Pool(1) as pool:
        received: Any = pool.apply(operator.getitem, (split, 3))
    assert received == FILES[3]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["train-00001.bin", "train-paths.bin", "train-index.npy"])
@pytest.mark.parametrize(("harm", "message"), [(cut, "bytes where"), (Path.unlink, "can't be read")])
def test_a_truncated_or_missing_file_is_named(folder: Path, name: str, harm: Callable[[Path], None], message: str) -> None:
    harm(folder / name)
    for use in (lambda: corpus.load(folder, "train"), lambda: corpus.verify(folder)):
        with pytest.raises(LacunaError, match=rf"{name} .*{message}.*build the corpus again"):
            use()


def test_a_flipped_byte_is_found_by_verifying(folder: Path) -> None:
    path = folder / "train-00001.bin"
    content = bytearray(path.read_bytes())
    content[5] ^= 1
    path.write_bytes(content)
    corpus.load(folder, "train")
    with pytest.raises(LacunaError, match=r"train-00001.bin is not what the corpus was built with"):
        corpus.verify(folder)


def test_text_that_is_no_utf8_is_refused_when_it_is_read(folder: Path) -> None:
    path = folder / "train-00000.bin"
    path.write_bytes(b"\xff" * path.stat().st_size)
    split = corpus.load(folder, "train")
    with pytest.raises(LacunaError, match=r"file 0 of the train split in .* is damaged"):
        split[0]


def replace_index(folder: Path, index: Any) -> None:
    """Put another index in place, and say so in the manifest."""
    np.save(folder / "train-index.npy", index)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["splits"]["train"]["index"]["bytes"] = (folder / "train-index.npy").stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("field", ["shard", "start", "bytes", "project", "path_start", "path_bytes"])
def test_an_index_that_points_outside_is_refused(folder: Path, field: str) -> None:
    index = np.load(folder / "train-index.npy")
    index[field][-1] += 1000
    replace_index(folder, index)
    with pytest.raises(LacunaError, match=r"train-index.npy points outside the corpus"):
        corpus.load(folder, "train")


def test_another_array_is_no_index(folder: Path) -> None:
    replace_index(folder, np.arange(12.0))
    with pytest.raises(LacunaError, match=r"train-index.npy is no index of a corpus"):
        corpus.load(folder, "train")


def test_an_index_that_is_no_array_is_refused(folder: Path) -> None:
    path = folder / "held_out-index.npy"
    path.write_bytes(b"?" * path.stat().st_size)
    with pytest.raises(LacunaError, match="is damaged"):
        corpus.load(folder, "held_out")


def test_a_missing_an_old_and_an_empty_corpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="there is no corpus"):
        corpus.load(tmp_path / "nowhere", "train")
    corpus.write(tmp_path, [], {split: [] for split in corpus.SPLITS}, {"python": "3.11.0", "dropped": {}})
    with pytest.raises(LacunaError, match="holds no file in the train split"):
        corpus.load(tmp_path, "train")
    (tmp_path / "train.jsonl").touch()
    for use in (lambda: corpus.load(tmp_path, "train"), lambda: corpus.verify(tmp_path), lambda: summarise(tmp_path)):
        with pytest.raises(LacunaError, match="older format"):
            use()
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(LacunaError, match="older format"):
        corpus.load(tmp_path, "train")


@pytest.mark.parametrize("text", ["{", "[]", '{"python": "3.11"}', '{"format": 2, "python": "3.11"}', '{"format": 3, "projects": []}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    for use in (lambda: corpus.load(tmp_path, "train"), lambda: corpus.verify(tmp_path), lambda: summarise(tmp_path)):
        with pytest.raises(LacunaError, match=r"manifest.json is damaged"):
            use()
    with pytest.raises(LacunaError, match="there is no corpus"):
        summarise(tmp_path / "nowhere")


@pytest.mark.parametrize("key", ["splits", "projects"])
@pytest.mark.parametrize("value", [None, 5, {"train": 5}, [{}]])
def test_a_manifest_of_the_wrong_shape_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    folder = write_corpus(tmp_path / "corpus")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, key: value}), encoding="utf-8")
    uses: list[Callable[[], object]] = [lambda: corpus.load(folder, "train")]
    uses.append((lambda: summarise(folder)) if key == "projects" else (lambda: corpus.verify(folder)))
    for use in uses:
        with pytest.raises(LacunaError, match="is damaged"):
            use()
