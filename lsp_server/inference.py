"""The one thread that runs the model.

pygls reads stdin through its own thread pool: a model run there would keep `$/cancelRequest` from being read. So the
model is loaded, and every pass made, in a single thread of our own, and a job looks between two passes whether it
should stop.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from engine.errors import Cancelled, LacunaError, ModelError
from engine.infiller import Infiller, OnPass, ignore_progress
from engine.results import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")
Load = Callable[[Path | None], Infiller]


class StopReason(enum.Enum):
    """Why a job was stopped before it had an answer."""

    CANCELLED = "cancelled"
    REPLACED = "a newer request took this one's place"
    MODIFIED = "the document changed meanwhile"
    CLOSED = "the document was closed meanwhile"


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


def load_local_model(folder: Path | None) -> Infiller:
    """Load the model in `folder` (None: the default one) into this process. Raises ModelError."""
    # Imported here and not above: onnxruntime takes longer to import than `initialize` may take to answer.
    from engine.local import load_infiller

    return load_infiller(folder)


class Inference:
    """Loads the model and runs jobs on it, one after the other, in one thread. Its methods belong to the event loop's thread.

    `folder` is the model to load, None the default one. A job that comes before anyone called `load` loads it first.
    """

    def __init__(self, load: Load = load_local_model) -> None:
        self.folder: Path | None = None
        self._load = load
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lacuna-inference")
        self._model: Future[Infiller] | None = None
        self._jobs: list[Job] = []

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded just now, so that a job would wait for it."""
        return self._model is not None and not self._model.done()

    def load(self) -> Future[Infiller]:
        """Start loading the model in `folder`; jobs submitted from now on run on it.

        The future raises LacunaError when the model can't be used, and so does every such job.
        """
        self._model = self._executor.submit(self._load_or_explain, self.folder)
        return self._model

    def _load_or_explain(self, folder: Path | None) -> Infiller:
        try:
            return self._load(folder)
        except LacunaError:
            raise
        except Exception as error:
            # A broken installation (a missing library, no memory) has to reach the user as a sentence, like a broken model.
            log.exception("the model could not be loaded")
            raise ModelError(f"the model could not be loaded: {error}") from error

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
        model = self._model if self._model is not None else self.load()
        loop = asyncio.get_running_loop()

        def on_pass(progress: Progress) -> None:
            job.check()
            loop.call_soon_threadsafe(on_progress, progress)

        def call() -> T:
            job.check()
            # Loading runs in this same thread and was submitted earlier, so this never waits.
            return work(model.result(), on_pass)

        self._jobs.append(job)
        try:
            return await asyncio.wrap_future(self._executor.submit(call))
        except asyncio.CancelledError:
            job.stop()
            raise
        except Cancelled:
            raise Stopped(job.reason or StopReason.CANCELLED) from None
        finally:
            self._jobs.remove(job)

    def close(self) -> None:
        """Stop everything. The thread ends after the pass that it is in."""
        for job in self._jobs:
            job.stop()
        self._executor.shutdown(wait=False, cancel_futures=True)
