"""The model's thread: order, replacement, cancel, a model that can't be loaded. No model is needed for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from engine.errors import LacunaError, ModelError
from engine.infiller import Infiller, OnPass
from engine.results import Progress
from lsp_server.inference import Inference, Stopped, StopReason

URI = "file:///project/sample.py"
MODEL = cast(Infiller, object())


def load(folder: Path | None, device: str) -> Infiller:
    return MODEL


def pass_until(gate: threading.Event, infiller: Infiller, on_pass: OnPass) -> str:
    """Work of endless passes that ends when the gate opens."""
    while not gate.wait(0.005):
        on_pass(Progress(1, 1, 10))
    return "done"


@pytest.fixture
def inference() -> Iterator[Inference]:
    inference = Inference(load)
    yield inference
    inference.close()


async def test_a_job_gets_the_model_and_reports_in_the_event_loop(inference: Inference) -> None:
    reports = []

    def work(infiller: Infiller, on_pass: OnPass) -> int:
        assert infiller is MODEL and threading.current_thread() is not threading.main_thread()
        on_pass(Progress(1, 2, 3))
        return 7

    def on_progress(progress: Progress) -> None:
        assert threading.current_thread() is threading.main_thread()
        reports.append(progress)

    assert await inference.run(inference.new_job("fill", URI), work, on_progress) == 7
    assert reports == [Progress(1, 2, 3)]


async def test_cancelling_the_task_stops_the_work_within_a_pass(inference: Inference) -> None:
    gate, started = threading.Event(), asyncio.Event()
    job = inference.new_job("fill", URI)
    task = asyncio.create_task(inference.run(job, lambda i, p: pass_until(gate, i, p), lambda progress: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The one thread is free again though the gate never opened.
    assert await asyncio.wait_for(inference.run(inference.new_job("fill", URI), lambda i, p: "next"), 10) == "next"


async def test_a_newer_job_of_the_same_kind_and_document_takes_the_place(inference: Inference) -> None:
    gate = threading.Event()
    older = asyncio.create_task(inference.run(inference.new_job("fill", URI), lambda i, p: pass_until(gate, i, p)))
    await asyncio.sleep(0)
    other = asyncio.create_task(inference.run(inference.new_job("fill", URI + "x"), lambda i, p: "other"))
    await asyncio.sleep(0)
    assert await inference.run(inference.new_job("fill", URI), lambda i, p: "newer") == "newer"
    with pytest.raises(Stopped) as stopped:
        await older
    assert stopped.value.reason is StopReason.REPLACED
    assert await other == "other"


async def test_a_job_of_another_kind_waits_its_turn(inference: Inference) -> None:
    gate = threading.Event()
    fill = asyncio.create_task(inference.run(inference.new_job("fill", URI), lambda i, p: pass_until(gate, i, p)))
    hover = asyncio.create_task(inference.run(inference.new_job("hover", URI), lambda i, p: "hover"))
    await asyncio.sleep(0.02)
    assert not fill.done() and not hover.done()
    gate.set()
    assert [await fill, await hover] == ["done", "hover"]


@pytest.mark.parametrize("reason", [StopReason.MODIFIED, StopReason.CLOSED])
async def test_the_jobs_of_a_document_can_be_stopped_running_or_waiting(inference: Inference, reason: StopReason) -> None:
    gate = threading.Event()
    running = asyncio.create_task(inference.run(inference.new_job("fill", URI), lambda i, p: pass_until(gate, i, p)))
    waiting = asyncio.create_task(inference.run(inference.new_job("hover", URI), lambda i, p: "never"))
    await asyncio.sleep(0.02)
    inference.stop_jobs(URI, reason)
    for task in (running, waiting):
        with pytest.raises(Stopped) as stopped:
            await task
        assert stopped.value.reason is reason


async def test_a_broken_model_gives_its_reason_to_every_job_until_another_is_loaded() -> None:
    def refuse(folder: Path | None, device: str) -> Infiller:
        if folder is None:
            return MODEL
        raise ModelError(f"{folder.name} is truncated") if folder.name == "broken" else MemoryError("too large")

    inference = Inference(refuse)
    for name, reason in (("broken", "broken is truncated"), ("huge", "could not be loaded: too large")):
        inference.folder = Path(name)
        inference.load()
        for _ in range(2):
            with pytest.raises(LacunaError, match=reason):
                await inference.run(inference.new_job("fill", URI), lambda i, p: "never")
    inference.folder = None
    inference.load()
    assert await inference.run(inference.new_job("fill", URI), lambda i, p: "filled") == "filled"
    inference.close()


async def until_state(inference: Inference, state: str) -> None:
    reached = asyncio.Event()
    inference.on_change = lambda: reached.set() if inference.state == state else None
    inference.on_change()
    async with asyncio.timeout(10):
        await reached.wait()


async def let_pass(seconds: float) -> None:
    """Let the timers of the next `seconds` go off; those that were set before for the same time do so first."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


async def test_a_model_is_unloaded_when_it_is_idle_and_not_in_the_middle_of_a_job(inference: Inference) -> None:
    gate = threading.Event()
    inference.idle_seconds = 0.02
    job = asyncio.create_task(inference.run(inference.new_job("fill", URI), lambda i, p: pass_until(gate, i, p)))
    await let_pass(0.1)
    assert inference.busy and inference.ready
    gate.set()
    assert await job == "done"
    await until_state(inference, "unloaded")
    assert inference.infiller is None
    # A change of its folder is no reason to load it before anybody needs it.
    inference.renew()
    assert inference.state == "unloaded"
    assert await inference.run(inference.new_job("fill", URI), lambda i, p: "again") == "again"
    # 0 is for ever.
    inference.idle_seconds = 0
    await let_pass(0.05)
    assert inference.ready


async def test_a_model_that_could_not_be_renewed_is_not_unloaded() -> None:
    broken = False

    def load_or_refuse(folder: Path | None, device: str) -> Infiller:
        if broken:
            raise ModelError("it is truncated")
        return MODEL

    inference = Inference(load_or_refuse)
    assert await inference.run(inference.new_job("fill", URI), lambda i, p: "filled") == "filled"
    broken = True
    with pytest.raises(ModelError):
        await inference.load()
    inference.idle_seconds = 0.02
    assert await inference.run(inference.new_job("fill", URI), lambda i, p: "still there") == "still there"
    await let_pass(0.05)
    # There is no other any more.
    assert inference.state == "ready" and str(inference.failure) == "it is truncated"
    broken = False
    inference.renew()
    await until_state(inference, "unloaded")
    inference.close()


async def test_of_two_loads_the_later_one_counts() -> None:
    gate, loaded = threading.Event(), []

    def load_slowly(folder: Path | None, device: str) -> Infiller:
        assert gate.wait(10)
        loaded.append((folder, device))
        return MODEL

    inference = Inference(load_slowly)
    inference.folder = Path("one")
    first = inference.load()
    inference.folder, inference.device = Path("two"), "cuda"
    second = inference.load()
    gate.set()
    assert await second is MODEL
    assert first.cancelled() and loaded[-1] == (Path("two"), "cuda")
    inference.close()


async def test_another_model_takes_over_between_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = cast(Infiller, object()), cast(Infiller, object())
    models, gate, order, threads = [old, new], threading.Event(), [], []
    left, queued = iter(models), asyncio.Event()

    def load_next(folder: Path | None, device: str) -> Infiller:
        threads.append(threading.get_ident())
        return next(left)

    inference = Inference(load_next)

    def work(infiller: Infiller, on_pass: OnPass) -> None:
        order.append(infiller)
        # CUDA has made ready there what the model needs.
        assert threading.get_ident() == threads[models.index(infiller)]
        pass_until(gate, infiller, on_pass)
        order.append(infiller)

    await inference.load()
    running = asyncio.create_task(inference.run(inference.new_job("fill", URI), work))
    await asyncio.sleep(0)
    thread = inference._thread
    assert thread is not None
    submit = thread.submit

    def watched(function: Callable[..., object], *arguments: object) -> Future[object]:
        queued.set()
        return submit(function, *arguments)

    monkeypatch.setattr(thread, "submit", watched)
    renewal = inference.load()
    # Loaded, it waits for the thread of the one in use.
    async with asyncio.timeout(10):
        await queued.wait()
    assert inference.infiller is old and inference.state == "working"
    # Asked for while the old one is in use, and run by the new one in its own thread.
    waiting = [asyncio.create_task(inference.run(inference.new_job("fill", URI + name), work)) for name in "ab"]
    gate.set()
    await asyncio.gather(running, *waiting)
    assert await renewal is new
    await inference.run(inference.new_job("fill", URI), work)
    assert order == [old, old, *[new] * 6]
    inference.close()


async def test_a_thread_ends_with_its_model(inference: Inference) -> None:
    def thread(infiller: Infiller, on_pass: OnPass) -> threading.Thread:
        return threading.current_thread()

    first = await inference.run(inference.new_job("fill", URI), thread)
    await inference.load()
    second = await inference.run(inference.new_job("fill", URI), thread)
    assert first is not second
    await asyncio.to_thread(first.join, 10)
    assert not first.is_alive() and second.is_alive()
    inference.idle_seconds = 0.01
    await until_state(inference, "unloaded")
    await asyncio.to_thread(second.join, 10)
    assert not second.is_alive()
