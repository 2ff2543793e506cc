"""What happens to a fill that is cancelled, overtaken or outdated while it runs."""

from __future__ import annotations

import asyncio

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import Editor, EditorDocument, editor
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE, THREE_HOLES


async def start_fill(ed: Editor, document: EditorDocument) -> asyncio.Task[types.CodeAction]:
    """Begin a fill that takes long, and wait until the model is at it."""
    action = await ed.action(document, "Fill all 3 holes", 0)
    running = asyncio.create_task(ed.resolve(action))
    await ed.until_running()
    return running


async def answer_of(task: asyncio.Task[types.CodeAction]) -> int:
    """The error code that a request was answered with."""
    with pytest.raises(JsonRpcException) as refusal:
        await task
    return refusal.value.code


async def still_answers(ed: Editor, document: EditorDocument) -> None:
    """The server's model thread is free: a hover needs it."""
    assert await ed.hover(document, document.text.index("total")) is not None


async def test_cancel_request_stops_a_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = await start_fill(ed, document)
        ed.cancel()
        assert await answer_of(running) == types.LSPErrorCodes.RequestCancelled
        await still_answers(ed, document)
        assert HOLE in document.text


async def test_the_progress_report_s_cancel_button_stops_a_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = await start_fill(ed, document)
        token = await ed.until_running()
        ed.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        assert await answer_of(running) == types.LSPErrorCodes.RequestCancelled
        await ed.until(types.PROGRESS, lambda params: params.token == token and params.value["kind"] == "end")
        await still_answers(ed, document)


async def test_a_cancelled_command_stops_its_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(ONE_HOLE)
        action = await ed.action(document, "Fill this hole: choose", document.text.index(HOLE))
        running = asyncio.create_task(ed.execute(action.command))
        await ed.until_running()
        ed.cancel()
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.RequestCancelled
        await still_answers(ed, document)


async def test_an_edit_during_a_fill_drops_it_and_tells_the_user() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = await start_fill(ed, document)
        ed.edit(document, 0, 0, "# a note\n")
        assert await answer_of(running) == types.LSPErrorCodes.ContentModified
        told = await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert told.message == "Lacuna dropped the fill: the document changed meanwhile."
        assert document.text == "# a note\n" + THREE_HOLES
        await still_answers(ed, document)


async def test_closing_the_document_during_a_fill_drops_it() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        other = ed.open("total = 1\n", uri="file:///project/other.py")
        running = await start_fill(ed, document)
        ed.close(document)
        assert await answer_of(running) == types.LSPErrorCodes.ContentModified
        await still_answers(ed, other)


async def test_a_newer_fill_of_the_document_takes_the_older_one_s_place() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = await start_fill(ed, document)
        newer = asyncio.create_task(ed.resolve(await ed.action(document, "Fill this hole", document.text.index(HOLE))))
        assert await answer_of(running) == types.LSPErrorCodes.RequestCancelled
        assert not newer.done()
        ed.cancel()
        assert await answer_of(newer) == types.LSPErrorCodes.RequestCancelled


async def test_leaving_during_a_fill_ends_the_server() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = await start_fill(ed, document)
    # The editor fixture has seen exit code 0 by now.
    with pytest.raises((JsonRpcException, RuntimeError)):
        await running
