"""Files that change on the disk while the server runs, by watchdog.

An event says no more than that something may have happened. What counts is a path's fingerprint, compared once it has stayed the same
for a while: so a file that is still being written doesn't count yet, and a link that points elsewhere now does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
# A folder and which one it is: another may take its name.
Folder = tuple[Path, int, int]


def fingerprint(path: Path) -> Fingerprint:
    """What tells a file, or a folder's files, from any others: where they really lie, their sizes and times. () where there is none."""
    try:
        real = path.resolve()
        inside = [real / name for name in sorted(os.listdir(real))[:_MOST_FILES]] if real.is_dir() else [real]
        return (str(real), *((file.name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for file, stat in ((f, f.stat()) for f in inside)))
    except (OSError, RuntimeError):
        return ()


def folders_of(path: Path) -> set[Path]:
    """The folders in which something may happen that concerns a path: those of the links on the way to it, its own, and itself."""
    found, path = set(), path.absolute()
    for _ in range(_MOST_LINKS):
        found.add(path.parent)
        if not path.is_symlink():
            break
        path = (path.parent / path.readlink()).absolute()
    if path.is_dir():
        found.add(path)
    return {_nearest(folder) for folder in found}


def _nearest(folder: Path) -> Path:
    """The folder, or the one that it will appear in."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder.resolve()


class _Watched:
    """One path under watch: a file or a folder, which need not be there yet."""

    def __init__(self, path: Path, on_change: Callable[[], None]) -> None:
        self.path = path
        self.on_change = on_change
        self.known = self.latest = fingerprint(path)
        self.check: asyncio.TimerHandle | None = None

    def stir(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the path soon. Events that go on for ever, for other files say, don't put that off."""
        if self.check is None:
            self.check = loop.call_later(SECONDS_OF_QUIET, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.check = None
        before, self.latest = self.latest, fingerprint(self.path)
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
        loop = asyncio.get_running_loop()

        def changed() -> None:
            # Another folder may have taken a watched one's name.
            self._arrange(loop)
            on_change()

        self._watched[key] = [_Watched(path, changed) for path in paths]
        self._arrange(loop)

    def close(self) -> None:
        """Stop watching, without waiting for it."""
        for watched in self._all:
            watched.drop()
        self._watched.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._observation.stop()

    @property
    def _all(self) -> list[_Watched]:
        return [watched for group in self._watched.values() for watched in group]

    def _arrange(self, loop: asyncio.AbstractEventLoop) -> None:
        wanted = {folder for watched in self._all for folder in folders_of(watched.path)}
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
    """watchdog's side: which folders it looks at. `arrange` runs in a thread of its own; `on_event` is called in the event loop."""

    def __init__(self, on_event: Callable[[], None]) -> None:
        self._on_event = on_event
        self._observer: BaseObserver | None = None
        self._watches: dict[Folder, ObservedWatch] = {}

    def arrange(self, folders: Iterable[Path], loop: asyncio.AbstractEventLoop) -> None:
        """Look at these folders and at no others."""
        wanted: dict[Folder, Path] = {}
        for folder in folders:
            with suppress(OSError):
                stat = folder.stat()
                wanted[folder, stat.st_dev, stat.st_ino] = folder
        for known in [known for known in self._watches if known not in wanted]:
            watch = self._watches.pop(known)
            if self._observer is not None:
                with suppress(KeyError, OSError):
                    self._observer.unschedule(watch)
        try:
            self._add(wanted, loop)
        except OSError as error:
            log.warning("%s", line("the system gives no notice of changed files, so they are looked at every two seconds", error=error))
            self._poll()
            with suppress(OSError):
                self._add(wanted, loop)

    def _add(self, wanted: Mapping[Folder, Path], loop: asyncio.AbstractEventLoop) -> None:
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
        for known, folder in wanted.items():
            if known not in self._watches:
                self._watches[known] = self._observer.schedule(Handler(), str(folder))

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
