"""Files watched on the disk: what counts as a change, and when it is told."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_server import watcher as module
from lsp_server.watcher import Watcher, fingerprint, folders_of
from tests.lsp_server.language_client import PATIENCE

links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")


class Calls:
    """Counts a callback's calls, and waits for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self._new = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._new.set()

    async def next(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._new.wait()
        self._new.clear()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_OF_QUIET", 0.05)
    monkeypatch.setattr(module, "_POLLING_SECONDS", 0.1)


def threads() -> set[threading.Thread]:
    """All but those of asyncio itself."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


def end(new: set[threading.Thread]) -> None:
    """What was started must end soon after it was told to."""
    deadline = time.monotonic() + PATIENCE
    for thread in new:
        # One that is only about to begin is listed, too, and is not alive yet.
        while (thread.is_alive() or thread in threading.enumerate()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not thread.is_alive(), thread


@pytest.fixture
async def watcher() -> AsyncIterator[Watcher]:
    """A watcher; in the end none of its threads may be left."""
    before = threads()
    watcher = Watcher()
    yield watcher
    watcher.close()
    end(threads() - before)


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert fingerprint(path) == ()
    path.write_text("one")
    first = fingerprint(path)
    assert first and fingerprint(path) == first
    path.write_text("three")
    longer = fingerprint(path)
    assert longer != first
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert fingerprint(path) != longer
    # Another file of the same size and time, moved into its place.
    before, other = fingerprint(path), tmp_path / "other"
    shutil.copy2(path, other)
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)
    assert fingerprint(path) != before


def test_a_fingerprint_tells_folders_apart(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    seen = [fingerprint(folder)]
    for name, text in (("a", "1"), ("b", "2"), ("a", "34")):
        (folder / name).write_text(text)
        seen.append(fingerprint(folder))
    (folder / "b").unlink()
    seen.append(fingerprint(folder))
    assert all(seen) and len(set(seen)) == len(seen)


@links
def test_a_fingerprint_follows_links_and_bears_broken_ones(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("same")
    link = tmp_path / "link"
    link.symlink_to("one")
    assert fingerprint(link) == fingerprint(tmp_path / "one") != fingerprint(tmp_path / "two")
    # As some editors leave them beside a file that they have open.
    (tmp_path / "one" / ".#file").symlink_to("me@here")
    before = fingerprint(link)
    (tmp_path / "one" / "file").write_text("another")
    assert before and fingerprint(link) != before
    (tmp_path / "round").symlink_to("round")
    assert fingerprint(tmp_path / "round") == fingerprint(Path("\0")) == ()


@links
def test_folders_that_concern_a_path(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "a").mkdir()
    (root / "b").mkdir()
    (root / "b" / "file").touch()
    (root / "a" / "link").symlink_to(root / "b" / "file")
    (root / "a" / "folder").symlink_to("../b")

    def paths(path: Path) -> set[Path]:
        return {folder.path for folder in folders_of(path)}

    assert paths(root / "b" / "file") == {root / "b"}
    assert paths(root / "a" / "link") == {root / "a", root / "b"}
    assert paths(root / "a" / "folder") == {root, root / "a", root / "b"}
    assert paths(root / "no" / "such" / "file") == {root}
    (root / "round").symlink_to("round")
    assert paths(root / "round") == {root}


async def test_changes_are_told_and_those_of_other_files_are_not(watcher: Watcher, tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    told, others = Calls(), Calls()
    watcher.watch("file", [file], told)
    watcher.watch("other", [other], others)
    for change in (
        lambda: file.write_text("created"),
        lambda: file.write_text("written anew"),
        file.unlink,
        lambda: (tmp_path / "new").write_text("moved here") and (tmp_path / "new").replace(file),
    ):
        change()
        await told.next()
    other.touch()
    await others.next()
    assert (told.count, others.count) == (4, 1)


async def test_a_folder_s_files_are_watched(watcher: Watcher, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "graph").write_text("1")
    told = Calls()
    watcher.watch("model", [folder], told)
    (folder / "graph").write_text("22")
    await told.next()
    shutil.rmtree(folder)
    await told.next()
    # Another folder of the same name.
    folder.mkdir()
    (folder / "graph").write_text("333")
    await told.next()
    (folder / "graph").write_text("4444")
    await told.next()


async def test_a_folder_that_is_replaced_at_once_goes_on_being_watched(watcher: Watcher, tmp_path: Path) -> None:
    folder, new = tmp_path / "model", tmp_path / "new"
    for made in (folder, new):
        made.mkdir()
        (made / "graph").write_text(made.name)
    told = Calls()
    watcher.watch("model", [folder], told)
    folder.rename(tmp_path / "old")
    new.rename(folder)
    await told.next()
    (folder / "graph").write_text("a third one")
    await told.next()


async def test_a_path_whose_folders_appear_one_by_one(watcher: Watcher, tmp_path: Path) -> None:
    file, told = tmp_path / "a" / "b" / "file", Calls()
    watcher.watch("file", [file], told)
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        # Another watcher tells when an attentive one knows of the folder. It must not be the same: each new watch makes it look around.
        witness, seen = Watcher(), Calls()
        witness.watch("folder", [folder], seen)
        folder.mkdir()
        await seen.next()
        witness.close()
    file.write_text("here")
    await told.next()
    assert told.count == 1


@links
async def test_a_link_that_points_elsewhere(watcher: Watcher, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph").write_text("same")
    inner = tmp_path / "inner"
    inner.mkdir()
    link, told = inner / "current", Calls()
    link.symlink_to(tmp_path / "one")
    watcher.watch("model", [link], told)
    (inner / "next").symlink_to(tmp_path / "two")
    (inner / "next").replace(link)
    await told.next()
    (tmp_path / "two" / "graph").write_text("written where it points to now")
    await told.next()


async def test_a_file_that_is_still_being_written_is_waited_for(watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sights: Iterator[tuple[object, ...]] = iter([("old",), ("1",), ("2",), ("3",), ("new",)])
    seen: list[tuple[object, ...]] = []

    def scripted(path: Path) -> tuple[object, ...]:
        seen.append(next(sights, ("new",)))
        return seen[-1]

    monkeypatch.setattr(module, "fingerprint", scripted)
    told = Calls()
    watcher.watch("file", [tmp_path / "file"], told)
    await told.next()
    # It counts once it was seen twice without a change between.
    assert seen == [("old",), ("1",), ("2",), ("3",), ("new",), ("new",)]


async def test_a_change_that_is_taken_back_is_none(watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sights = [("old",), ("new",), ("old",), ("old",), ("newer",), ("newer",)]
    looked = Calls()

    def scripted(path: Path) -> tuple[object, ...]:
        looked()
        return sights[min(looked.count, len(sights)) - 1]

    monkeypatch.setattr(module, "fingerprint", scripted)
    told = Calls()
    watcher.watch("file", [tmp_path / "file"], told)
    while looked.count < 4:
        await looked.next()
    assert told.count == 0
    (tmp_path / "file").touch()
    await told.next()


async def test_what_replaces_a_watch_ends_it(watcher: Watcher, tmp_path: Path) -> None:
    old, new = Calls(), Calls()
    watcher.watch("file", [tmp_path / "old"], old)
    watcher.watch("file", [tmp_path / "new"], new)
    (tmp_path / "old").touch()
    (tmp_path / "new").touch()
    await new.next()
    assert old.count == 0


@pytest.mark.parametrize("step", ["start", "schedule"])
async def test_without_the_system_s_notices_the_files_are_looked_at(
    step: str, watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import watchdog.observers

    class Refused(watchdog.observers.Observer):  # type: ignore[misc, valid-type]  # which class it is differs by system
        pass

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(Refused, step, refuse)
    monkeypatch.setattr(watchdog.observers, "Observer", Refused)
    file, told = tmp_path / "file", Calls()
    file.write_text("one")
    watcher.watch("file", [file], told)
    # Later than the watch stands, or it would be the look after its arrangement that sees the change.
    await asyncio.to_thread(watcher._executor.submit(lambda: None).result, PATIENCE)
    for text in ("three", "seventeen"):
        file.write_text(text)
        await told.next()
    assert "inotify watch limit reached" in caplog.text and len(caplog.records) == 1


async def test_a_watcher_that_watched_nothing_closes(watcher: Watcher) -> None:
    watcher.watch("file", [], Calls())


async def test_closing_while_the_watches_are_arranged_leaves_no_thread(tmp_path: Path) -> None:
    before = threads()
    watcher = Watcher()
    for number in range(5):
        watcher.watch(str(number), [tmp_path / str(number)], Calls())
    watcher.close()
    end(threads() - before)
    # One that had begun meanwhile would be there now.
    assert threads() == before
