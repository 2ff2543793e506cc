"""A corpus on disk: shards of UTF-8 text end to end, memory-mapped, with an index and a manifest.

manifest.json             projects, what was dropped and why, and size and SHA-256 of every file below
train-00000.bin ...       texts, end to end
train-paths.bin           the files' paths, end to end
train-index.npy           one `_ENTRY` a file, in the order of training
held_out-...              the same for the held-out split
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from engine.errors import LacunaError
from export.corpus.files import Project, SourceFile

MANIFEST = "manifest.json"
FORMAT = 2
_SHARD_BYTES = 64_000_000
# `start` counts in the shard `shard`, `path_start` in the file of paths; `project` is a number in the manifest's list.
_ENTRY = np.dtype([("shard", "<u4"), ("start", "<u4"), ("bytes", "<u4"), ("project", "<u4"), ("path_start", "<u4"), ("path_bytes", "<u4")])


class Split(Sequence[SourceFile]):
    """The files of one split, each decoded from the memory-mapped shards when it is asked for.

    `sizes` `[files]` (int64) are the bytes of each. Pickling keeps the folder's name only, and unpickling opens it again.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Raises LacunaError for a missing, old, truncated or otherwise inconsistent corpus."""
        manifest = read_manifest(folder)
        self.folder = folder
        self.name = name
        try:
            stored = manifest["splits"][name]
            self._projects = [str(project["name"]) for project in manifest["projects"]]
            shard_files, paths_file, index_file = stored["shards"], stored["paths"], stored["index"]
            for entry in (*shard_files, paths_file, index_file):
                _check_size(folder, entry)
            self._shards = [_map(folder / entry["file"]) for entry in shard_files]
            self._paths = _map(folder / paths_file["file"])
            self._index: npt.NDArray[np.void] = np.load(folder / index_file["file"], mmap_mode="r")
        except (KeyError, TypeError, ValueError, EOFError) as error:
            raise LacunaError(f"the corpus {folder} is damaged ({error}); build it again") from None
        except OSError as error:
            raise LacunaError(f"the corpus {folder} can't be read ({error.strerror}); build it again") from None
        self._check_index(folder / index_file["file"])
        self.sizes: npt.NDArray[np.int64] = self._index["bytes"].astype(np.int64)

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, index: int) -> SourceFile: ...
    @overload
    def __getitem__(self, index: slice) -> list[SourceFile]: ...
    def __getitem__(self, index: int | slice) -> SourceFile | list[SourceFile]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        shard, start, size, project, path_start, path_size = self._index[index].item()
        try:
            text = self._shards[shard][start : start + size].tobytes().decode("utf-8")
            path = self._paths[path_start : path_start + path_size].tobytes().decode("utf-8")
        except UnicodeDecodeError:
            raise LacunaError(f"file {index} of the {self.name} split in {self.folder} is damaged; build the corpus again") from None
        return SourceFile(self._projects[project], path, text)

    def __reduce__(self) -> tuple[type[Split], tuple[Path, str]]:
        return Split, (self.folder, self.name)

    def _check_index(self, path: Path) -> None:
        index = self._index
        if index.dtype != _ENTRY or index.ndim != 1:
            raise LacunaError(f"{path} is no index of a corpus; build the corpus again")
        if not len(index):
            raise LacunaError(f"the corpus {self.folder} holds no file in the {self.name} split; build the corpus from more sources")
        ends = np.array([len(shard) for shard in self._shards], dtype=np.int64)
        sound = (index["shard"] < len(ends)).all() and (index["project"] < len(self._projects)).all()
        if sound:
            sound = (index["start"].astype(np.int64) + index["bytes"] <= ends[index["shard"]]).all()
            sound &= (index["path_start"].astype(np.int64) + index["path_bytes"] <= len(self._paths)).all()
        if not sound:
            raise LacunaError(f"{path} points outside the corpus; build the corpus again")


def load(folder: Path, split: str) -> Split:
    """All files of one split, as the build shuffled them. Sizes are checked, contents are not: see `verify`.

    Raises LacunaError for a missing, old, truncated or empty corpus.
    """
    return Split(folder, split)


def verify(folder: Path) -> int:
    """Check every file's size and SHA-256 against the manifest and give their number. Raises LacunaError, naming the file that differs."""
    splits = read_manifest(folder)["splits"]
    try:
        entries = [entry for stored in splits.values() for entry in (*stored["shards"], stored["paths"], stored["index"])]
        for entry in entries:
            _check_size(folder, entry)
            path = folder / entry["file"]
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != entry["sha256"]:
                    raise LacunaError(f"{path} is not what the corpus was built with (its SHA-256 differs); build the corpus again")
    except (AttributeError, KeyError, TypeError) as error:
        raise LacunaError(f"{folder / MANIFEST} is damaged ({error}); build the corpus again") from None
    except OSError as error:
        raise LacunaError(f"the corpus {folder} can't be read ({error.strerror}); build it again") from None
    return len(entries)


def read_manifest(folder: Path) -> dict[str, Any]:
    """A corpus's manifest. Raises LacunaError where there is none, or one of another format, or a damaged one."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if (folder / "train.jsonl").is_file():
            raise _old(folder) from None
        raise LacunaError(f"there is no corpus at {folder} ({error.strerror}); build one with lacuna-export corpus") from None
    except ValueError as error:
        raise LacunaError(f"{path} is damaged ({error}); build the corpus again") from None
    if (folder / "train.jsonl").is_file():
        raise _old(folder)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise LacunaError(f"{path} is damaged (it is no manifest of corpus format {FORMAT}); build the corpus again")
    missing = {"python", "splits", "projects", "dropped"} - manifest.keys()
    if missing:
        raise LacunaError(f"{path} is damaged (it lacks {', '.join(sorted(missing))}); build the corpus again")
    return manifest


def write(folder: Path, projects: Sequence[Project], splits: Mapping[str, Iterable[SourceFile]], about: Mapping[str, Any]) -> None:
    """Write a corpus into an empty folder: each split's files in the order given; `about` joins the manifest. Raises OSError."""
    numbers = {project.name: number for number, project in enumerate(projects)}
    stored = {name: _write_split(folder, name, files, numbers) for name, files in splits.items()}
    manifest = {
        "format": FORMAT,
        **about,
        "splits": stored,
        "projects": [vars(project) for project in projects],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_split(folder: Path, name: str, files: Iterable[SourceFile], numbers: Mapping[str, int]) -> dict[str, Any]:
    entries: list[tuple[int, int, int, int, int, int]] = []
    paths = bytearray()

    def shards() -> Iterator[bytes]:
        room, shard, start = _SHARD_BYTES, 0, 0
        pending: list[bytes] = []
        for file in files:
            text, path = file.text.encode(), file.path.encode()
            if start and start + len(text) > room:
                yield b"".join(pending)
                pending, shard, start = [], shard + 1, 0
            entries.append((shard, start, len(text), numbers[file.project], len(paths), len(path)))
            paths.extend(path)
            pending.append(text)
            start += len(text)
        if pending:
            yield b"".join(pending)

    written = [_put(folder / f"{name}-{number:05}.bin", content) for number, content in enumerate(shards())]
    index = folder / f"{name}-index.npy"
    np.save(index, np.array(entries, dtype=_ENTRY))
    return {
        "files": len(entries),
        "bytes": sum(entry[2] for entry in entries),
        "shards": written,
        "paths": _put(folder / f"{name}-paths.bin", bytes(paths)),
        "index": _describe(index, index.read_bytes()),
    }


def _put(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return _describe(path, content)


def _describe(path: Path, content: bytes) -> dict[str, Any]:
    return {"file": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _check_size(folder: Path, entry: Mapping[str, Any]) -> None:
    path = folder / entry["file"]
    try:
        size = path.stat().st_size
    except OSError as error:
        raise LacunaError(f"{path} can't be read ({error.strerror}); build the corpus again") from None
    if size != entry["bytes"]:
        raise LacunaError(f"{path} has {size:,} bytes where {entry['bytes']:,} belong; build the corpus again")


def _map(path: Path) -> npt.NDArray[np.uint8]:
    # An empty file can't be mapped.
    return np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.empty(0, dtype=np.uint8)


def _old(folder: Path) -> LacunaError:
    return LacunaError(f"the corpus {folder} is of an older format (train.jsonl); build it again with lacuna-export corpus")
