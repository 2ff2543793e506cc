"""The one thread that runs the model, and the thread beside it that loads another one.

pygls reads stdin through its own thread pool: a model run there would keep `$/cancelRequest` from being read. So every pass is
made in a single thread of our own, and a job looks between two passes whether it should stop. A model is loaded and tried
in a second thread, so that the one in use goes on serving; the two threads change places, with their models, between two jobs. For a
model is run by the thread that loaded it: what CUDA makes ready for a model, it makes ready for a thread.
"""

from __future__ import annotations

import asyncio
import enum
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar

from engine.errors import Cancelled, LacunaError, ModelError
from engine.infiller import Infiller, OnPass, ignore_progress
from engine.results import Progress
from lsp_server.memory import give_back_memory
from lsp_server.request_log import current_request
from lsp_server.self_check import self_check

log = logging.getLogger(__name__)

T = TypeVar("T")
Load = Callable[[Path | None, str], Infiller]
State = Literal["idle", "loading", "ready", "working", "unloaded", "failed"]


class StopReason(enum.Enum):
    """Why a job was stopped before it had an answer."""

    CANCELLED = "cancelled"
    REPLACED = "a newer request took this one's place"
    MODIFIED = "the document changed meanwhile"
    CLOSED = "the document was closed meanwhile"
    EXCHANGED = "another model took over meanwhile"


class Stopped(Exception):
    """Raised by `Inference.run` for a job that was stopped; `reason` says why."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Job:
    """One request's claim on the model. `stop` may be called from any thread, and takes effect within one pass."""

    def __init__(self, kind: str, uri: str) -> None:
        self.kind = kind
        self.uri = uri
        self.reason: StopReason | None = None
        self._stopped = threading.Event()

    def stop(self, reason: StopReason = StopReason.CANCELLED) -> None:
        """Ask the job to stop. The first reason given is the one that is reported."""
        if self.reason is None:
            self.reason = reason
        self._stopped.set()

    def check(self) -> None:
        """Raise `Cancelled` once the job was asked to stop."""
        if self._stopped.is_set():
            raise Cancelled


def load_local_model(folder: Path | None, device: str) -> Infiller:
    """Load the model in `folder` (None: the default one) into this process, onto one of DEVICES, and try it. Raises ModelError."""
    # Imported here and not above: onnxruntime takes longer to import than `initialize` may take to answer.
    from engine.local import load_infiller

    infiller = load_infiller(folder, device=device)
    self_check(infiller)
    return infiller


class _Moved(Exception):
    """Raised in a thread whose model is in use no more."""


def _retrieve(loading: asyncio.Future[Infiller]) -> None:
    """Look at what became of a load, lest asyncio complain that nobody did."""
    if not loading.cancelled():
        loading.exception()


class Inference:
    """Loads the model and runs jobs on it, one after the other, in one thread. Its methods belong to the event loop's thread.

    `folder` is the model to load, None the default one, and `device` the one of DEVICES that it is to run on. Nothing is loaded before
    `load`, `wake` or the first job. `on_load` is called with the task of each load that begins, `on_change` where `state`, or what the
    model runs on, may have changed.
    """

    def __init__(self, load: Load = load_local_model) -> None:
        self.folder: Path | None = None
        self.device = "auto"
        self._idle_seconds = 0.0
        self.on_load: Callable[[asyncio.Task[Infiller]], None] = lambda loading: None
        self.on_change: Callable[[], None] = lambda: None
        self._load = load
        self._infiller: Infiller | None = None
        self._thread: ThreadPoolExecutor | None = None  # that of the model in use
        # That one, and those that load. A thread ends by itself once its work is done and nothing refers to its executor.
        self._threads: weakref.WeakSet[ThreadPoolExecutor] = weakref.WeakSet()
        self._last_load: asyncio.Future[Infiller] | None = None
        self._loading: asyncio.Task[Infiller] | None = None
        self._failure: LacunaError | None = None
        self._was_unloaded = False
        self._idle: asyncio.TimerHandle | None = None
        self._jobs: list[Job] = []

    @property
    def infiller(self) -> Infiller | None:
        """The model in use; None while there is none."""
        return self._infiller

    @property
    def failure(self) -> LacunaError | None:
        """Why the last load gave no model; None where it did."""
        return self._failure

    @property
    def ready(self) -> bool:
        """Whether a job would run without waiting for a model first."""
        return self._infiller is not None

    @property
    def state(self) -> State:
        """A model that is loaded beside the one in use doesn't count as loading: nobody waits for it."""
        if self._infiller is not None:
            return "working" if self._jobs else "ready"
        if self._loading is not None:
            return "loading"
        if self._failure is not None:
            return "failed"
        return "unloaded" if self._was_unloaded else "idle"

    @property
    def idle_seconds(self) -> float:
        """How long a model without jobs stays in memory; 0: for ever."""
        return self._idle_seconds

    @idle_seconds.setter
    def idle_seconds(self, seconds: float) -> None:
        self._idle_seconds = seconds
        self._rest()

    @property
    def busy(self) -> bool:
        """Whether a thread is at work."""
        return bool(self._jobs) or self._loading is not None

    def wake(self) -> None:
        """Start loading, unless there is a model, one is on its way, or the last one could not be loaded."""
        if self._infiller is None and self._loading is None and self._failure is None:
            self.load()

    def renew(self) -> None:
        """Load anew what `folder` and `device` name, where anything was loaded or tried so far."""
        if self.state not in ("idle", "unloaded"):
            self.load()

    def load(self) -> asyncio.Task[Infiller]:
        """Start loading the model in `folder`, onto `device`. Jobs run on it once it is loaded: until then on the one in use, or they wait.

        The task raises LacunaError when the model can't be used. The one in use then stays; without one every job raises the same. It
        is cancelled where another load begins before it is done.
        """
        if self._loading is not None:
            self._loading.cancel()
        loading = self._loading = asyncio.create_task(self._replace(self.folder, self.device))
        loading.add_done_callback(_retrieve)
        self.on_load(loading)
        self.on_change()
        return loading

    async def _replace(self, folder: Path | None, device: str) -> Infiller:
        me = asyncio.current_task()
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lacuna-inference")
        self._threads.add(thread)
        try:
            if self._last_load is not None:
                # A load that nobody waits for any more can't be stopped, but two at once would take the memory of both.
                await asyncio.wait([self._last_load])
            self._last_load = asyncio.wrap_future(thread.submit(self._load_or_explain, folder, device))
            self._last_load.add_done_callback(_retrieve)
            infiller = await asyncio.shield(self._last_load)
            if self._thread is None:
                self._exchange(infiller, thread)
            else:
                # In the thread of the model in use, and so between two jobs.
                await asyncio.wrap_future(self._thread.submit(self._exchange, infiller, thread))
            self._failure = None
            return infiller
        except LacunaError as error:
            self._failure = error
            raise
        finally:
            if self._loading is me:
                self._loading = None
                self._last_load = None
            self._rest()
            self.on_change()

    def _load_or_explain(self, folder: Path | None, device: str) -> Infiller:
        try:
            return self._load(folder, device)
        except LacunaError:
            raise
        except Exception as error:
            # A broken installation (a missing library, no memory) has to reach the user as a sentence, like a broken model.
            log.exception("the model could not be loaded")
            raise ModelError(f"the model could not be loaded: {error}") from error

    def _exchange(self, infiller: Infiller | None, thread: ThreadPoolExecutor | None) -> None:
        """Put another model and its thread, or none, in the place of the one in use, whose memory is given back."""
        had = self._infiller is not None
        self._infiller, self._thread = infiller, thread
        if had:
            gc.collect()
            give_back_memory()

    def new_job(self, kind: str, uri: str) -> Job:
        """A job for `run`. An older job of the same kind for the same document is stopped: its answer is no longer wanted."""
        for job in self._jobs:
            if (job.kind, job.uri) == (kind, uri):
                job.stop(StopReason.REPLACED)
        return Job(kind, uri)

    def stop_jobs(self, uri: str, reason: StopReason) -> None:
        """Stop all jobs of a document."""
        for job in self._jobs:
            if job.uri == uri:
                job.stop(reason)

    async def run(self, job: Job, work: Callable[[Infiller, OnPass], T], on_progress: OnPass = ignore_progress) -> T:
        """Run `work(infiller, on_pass)` in the model's thread and return its result.

        `work` hands `on_pass` to the engine; `on_progress` is then called in the event loop after each pass. Cancelling
        the awaiting task stops the job. Raises Stopped, LacunaError (the model is broken, among others) and whatever
        `work` raises.
        """
        loop = asyncio.get_running_loop()
        request = current_request()

        def on_pass(progress: Progress) -> None:
            job.check()
            if request is not None:
                request.count(progress)
            loop.call_soon_threadsafe(on_progress, progress)

        def call(thread: ThreadPoolExecutor) -> T:
            job.check()
            if thread is not self._thread:
                raise _Moved
            assert self._infiller is not None  # unloaded only where there is no job
            return work(self._infiller, on_pass)

        self._jobs.append(job)
        self.on_change()
        try:
            while True:
                thread = await self._thread_of_model()
                with suppress(_Moved):
                    return await asyncio.wrap_future(thread.submit(call, thread))
        except asyncio.CancelledError:
            job.stop()
            raise
        except Cancelled:
            raise Stopped(job.reason or StopReason.CANCELLED) from None
        finally:
            self._jobs.remove(job)
            self._rest()
            self.on_change()

    async def _thread_of_model(self) -> ThreadPoolExecutor:
        """That of the model in use, which is waited for. Raises LacunaError where there is none to wait for."""
        while self._thread is None:
            if self._loading is None:
                if self._failure is not None:
                    raise self._failure
                self.load()
            assert self._loading is not None
            # Unlike awaiting the task this cancels nothing but the wait.
            await asyncio.wait([self._loading])
        return self._thread

    def _rest(self) -> None:
        """Count the idle time from now. A model that could not be loaded again stays."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._idle_seconds and self._infiller is not None and self._failure is None and not self.busy:
            self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._unload)

    def _unload(self) -> None:
        if not self.busy:
            self._was_unloaded = True
            # Without a job the model's thread is at rest.
            self._exchange(None, None)
            self.on_change()

    def close(self) -> None:
        """Stop everything. The thread ends after the pass that it is in."""
        for job in self._jobs:
            job.stop()
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
