"""Files that change on the disk while the server runs, by watchdog.

An event says no more than that something may have happened. What counts is a path's fingerprint, compared once it has stayed the same
for a while: so a file that is still being written doesn't count yet, and a link that points elsewhere now does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server.log import line

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

SECONDS_OF_QUIET = 0.5
_POLLING_SECONDS = 2.0
_MOST_FILES = 256
_MOST_LINKS = 16

Fingerprint = tuple[object, ...]


@dataclass(frozen=True)
class Folder:
    """A folder, and which one it is: another may take its name."""

    path: Path
    device: int
    inode: int


def fingerprint(path: Path) -> Fingerprint:
    """What tells a file, or a folder's files, from any others: where they really lie, their sizes and times. () where there is none."""
    try:
        real = path.resolve()
        if real.is_dir():
            return (str(real), *((name, *_stamp(real / name)) for name in sorted(os.listdir(real))[:_MOST_FILES]))
    except (OSError, RuntimeError, ValueError):
        return ()
    stamp = _stamp(real)
    return (str(real), *stamp) if stamp else ()


def _stamp(file: Path) -> tuple[int, ...]:
    """() for a link into nowhere, or a file that was there a moment ago."""
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def folders_of(path: Path) -> frozenset[Folder]:
    """The folders in which something may happen that concerns a path: those of the links on the way to it, its own, and itself.

    For one that isn't there it is the folder that it will appear in.
    """
    found, path = set(), path.absolute()
    for _ in range(_MOST_LINKS):
        found.add(path.parent)
        try:
            path = (path.parent / os.readlink(path)).absolute()
        except (OSError, ValueError):  # no link
            break
    if os.path.isdir(path):
        found.add(path)
    return frozenset(folder for folder in map(_nearest, found) if folder is not None)


def _nearest(folder: Path) -> Folder | None:
    """The folder, or the nearest above that is there; None where all of them vanish while we look."""
    while not os.path.isdir(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        real = folder.resolve()
        stat = real.stat()
    except (OSError, RuntimeError):
        return None
    return Folder(real, stat.st_dev, stat.st_ino)


class _Watched:
    """One path under watch: a file or a folder, which need not be there yet. `on_move` is called where other folders concern it now."""

    def __init__(self, path: Path, on_change: Callable[[], None], on_move: Callable[[], None]) -> None:
        self.path = path
        self.on_change = on_change
        self.on_move = on_move
        self.known = self.latest = fingerprint(path)
        self.folders = folders_of(path)
        self.check: asyncio.TimerHandle | None = None

    def stir(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the path soon. Events that go on for ever, for other files say, don't put that off."""
        if self.check is None:
            self.check = loop.call_later(SECONDS_OF_QUIET, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.check = None
        before, self.latest = self.latest, fingerprint(self.path)
        elsewhere, self.folders = self.folders, folders_of(self.path)
        if self.folders != elsewhere:
            self.on_move()
        if self.latest != before:
            self.stir(loop)
        elif self.latest != self.known:
            self.known = self.latest
            self.on_change()

    def drop(self) -> None:
        if self.check is not None:
            self.check.cancel()


class Watcher:
    """Calls back in the event loop once a path that is watched has changed and come to rest. All methods belong to that loop's thread.

    Where the system's own notices fail (too many watches, a strange file system), watchdog looks at the files every two seconds instead.
    """

    def __init__(self) -> None:
        self._watched: dict[str, list[_Watched]] = {}
        self._observation = _Observation(self._stir)
        # Arranging the watches takes watchdog up to a second.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lacuna-watcher")

    def watch(self, key: str, paths: Iterable[Path], on_change: Callable[[], None]) -> None:
        """Watch `paths` instead of those under `key` until now."""
        for old in self._watched.pop(key, []):
            old.drop()
        self._watched[key] = [_Watched(path, on_change, self._arrange) for path in paths]
        self._arrange()

    def close(self) -> None:
        """Stop watching, without waiting for it."""
        for watched in self._all:
            watched.drop()
        self._watched.clear()
        self._observation.is_over = True
        # In the thread that arranges the watches, lest it start new ones meanwhile.
        self._executor.submit(self._observation.stop)
        self._executor.shutdown(wait=False)

    @property
    def _all(self) -> list[_Watched]:
        return [watched for group in self._watched.values() for watched in group]

    def _arrange(self) -> None:
        loop = asyncio.get_running_loop()
        wanted = {folder for watched in self._all for folder in watched.folders}
        arranged = self._executor.submit(self._observation.arrange, wanted, loop)
        # What happened before the watches stood would else go unnoticed.
        arranged.add_done_callback(lambda done: _in_loop(loop, self._stir))

    def _stir(self) -> None:
        for watched in self._all:
            watched.stir(asyncio.get_running_loop())


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(call)


class _Observation:
    """watchdog's side: which folders it looks at. `arrange` and `stop` run in a thread of their own; `on_event` is called in the event
    loop. Once it `is_over` nothing more is looked at."""

    def __init__(self, on_event: Callable[[], None]) -> None:
        self.is_over = False
        self._on_event = on_event
        self._observer: BaseObserver | None = None
        self._watches: dict[Folder, ObservedWatch] = {}

    def arrange(self, folders: Collection[Folder], loop: asyncio.AbstractEventLoop) -> None:
        """Look at these folders and at no others."""
        if self.is_over:
            return
        if self._observer is not None:
            # A folder's end is its watch's, though a new one may bear its name and even its number.
            alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
            for folder in [folder for folder, watch in self._watches.items() if folder not in folders or watch not in alive]:
                with suppress(KeyError, OSError):
                    self._observer.unschedule(self._watches.pop(folder))
        try:
            self._add(folders, loop)
        except OSError as error:
            log.warning("%s", line("the system gives no notice of changed files, so they are looked at every two seconds", error=error))
            self._poll()
            with suppress(OSError):
                self._add(folders, loop)

    def _add(self, wanted: Iterable[Folder], loop: asyncio.AbstractEventLoop) -> None:
        # Imported late, since most sessions begin without a need for it and `initialize` must answer at once.
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer

        on_event = self._on_event

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                # Looking at the files is an event too.
                if event.event_type not in ("opened", "closed_no_write"):
                    _in_loop(loop, on_event)

        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        for folder in wanted:
            if folder not in self._watches:
                with suppress(FileNotFoundError, NotADirectoryError):  # it has gone again
                    self._watches[folder] = self._observer.schedule(Handler(), str(folder.path))

    def _poll(self) -> None:
        from watchdog.observers.polling import PollingObserver

        self.stop()
        self._watches.clear()
        self._observer = PollingObserver(timeout=_POLLING_SECONDS)
        self._observer.start()

    def stop(self) -> None:
        """Tell watchdog's threads, which are daemons, to end."""
        if self._observer is not None:
            self._observer.stop()
            self._observer = None
