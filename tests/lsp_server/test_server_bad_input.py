"""What no editor should send, and editors that vanish or never answer: an answer where one is due, and no harm done."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
from lsprotocol.types import ErrorCodes, LSPErrorCodes

from tests.lsp_server.raw_client import URI, Message, RawClient, framed, raw_client
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE

HOLE_LINE, HOLE_CHARACTER = 6, 18
HOVER = {"textDocument": {"uri": URI}, "position": {"line": HOLE_LINE, "character": HOLE_CHARACTER}}


def holes(budget: int) -> dict[str, Any]:
    """The hole of ONE_HOLE, as the server's own actions name it."""
    start = ONE_HOLE.index(HOLE)
    hole = {"start": start, "end": start + len(HOLE), "kind": "marker", "budget": budget}
    return {"uri": URI, "version": 1, "purpose": "code", "holes": [hole]}


def code(message: Message) -> int:
    number: int = message["error"]["code"]
    return number


async def works(client: RawClient) -> None:
    """The server still answers, and has the right text."""
    client.open(ONE_HOLE)
    assert "Fill this hole" in await client.titles(HOLE_LINE, HOLE_CHARACTER)


async def test_what_is_no_message_is_answered_with_an_error_without_an_id() -> None:
    async with raw_client() as client:
        await client.initialize()
        for data, expected in (
            (b"Content-Length: 9\r\n\r\n{not json", ErrorCodes.ParseError),
            (b"Content-Length: 4\r\n\r\n\xff\xfe{}", ErrorCodes.ParseError),
            (framed([1, 2]), ErrorCodes.InvalidRequest),
            (framed(7), ErrorCodes.InvalidRequest),
            (framed({"id": 5}), ErrorCodes.InvalidRequest),
            (b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000, ErrorCodes.ParseError),
            # Too short a length: the rest is passed over up to the next message.
            (b"Content-Length: 5\r\n\r\n" + json.dumps({"jsonrpc": "2.0", "method": "x"}).encode(), ErrorCodes.ParseError),
        ):
            client.heard.clear()
            client.send(data)
            assert code(await client.answer(None)) == expected
            await works(client)
            assert not [message for message in client.heard if message.get("method") == "window/showMessage"]
        assert await client.leave() == 0


async def test_strange_headers_are_passed_over() -> None:
    async with raw_client() as client:
        for data in (b"no header at all\r\n\r\n", b"Content-Length: -4\r\n\r\n", b"Content-Length: 0\r\n\r\n", b"\x00\xff\r\n"):
            client.send(data)
        await client.initialize()
        await works(client)


async def test_headers_in_another_case_count() -> None:
    async with raw_client() as client:
        body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
        client.send(b"content-length:%d\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n" % len(body) + body)
        assert "result" in await client.answer(1)


async def test_a_length_that_no_message_has_ends_the_session_and_takes_no_memory() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.send(b"Content-Length: 99999999999\r\n\r\n{}")
        assert await client.ended() == 1


async def test_too_long_a_length_and_then_the_end_of_the_input() -> None:
    async with raw_client() as client:
        await client.initialize()
        assert client.process.stdin is not None
        client.send(b"Content-Length: 1000\r\n\r\n{}")
        client.process.stdin.close()
        assert await client.ended() == 1


async def test_requests_out_of_turn() -> None:
    async with raw_client() as client:
        assert code(await client.answer(client.ask("textDocument/hover", HOVER))) == ErrorCodes.ServerNotInitialized
        # Nobody is there yet to be told of a document.
        client.open(ONE_HOLE)
        await client.initialize()
        assert await client.titles(HOLE_LINE, HOLE_CHARACTER) == []
        again = client.ask("initialize", {"capabilities": {}})
        assert code(await client.answer(again)) == ErrorCodes.InvalidRequest
        await works(client)
        await client.result("shutdown", None)
        assert code(await client.answer(client.ask("textDocument/hover", HOVER))) == ErrorCodes.InvalidRequest
        client.notify("exit", None)
        assert await client.ended() == 0


async def test_unknown_methods_and_stray_answers() -> None:
    async with raw_client() as client:
        await client.initialize()
        assert code(await client.answer(client.ask("no/such", {}))) == ErrorCodes.MethodNotFound
        client.notify("no/such", {})
        client.notify("$/cancelRequest", {"id": 77})
        client.send(framed({"jsonrpc": "2.0", "id": "nobody-asked", "result": {}}))
        client.send(framed({"jsonrpc": "2.0", "id": None, "error": {"code": 1, "message": "x"}}))
        await works(client)
        assert not [message for message in client.heard if message.get("method") == "window/showMessage"]


async def test_parameters_that_cannot_be_read_are_answered_with_an_error() -> None:
    bad: list[tuple[str, Any]] = [
        ("textDocument/hover", {}),
        ("textDocument/hover", {**HOVER, "position": {"line": -1, "character": 0}}),
        ("textDocument/hover", {**HOVER, "position": {"line": 2**40, "character": 0}}),
        ("textDocument/hover", {**HOVER, "position": {"line": "three", "character": 0}}),
        ("textDocument/codeAction", [1]),
        ("workspace/executeCommand", {"command": 3}),
        ("codeAction/resolve", None),
    ]
    async with raw_client() as client:
        await client.initialize()
        for method, params in bad:
            assert code(await client.answer(client.ask(method, params))) == ErrorCodes.InvalidParams
        await works(client)


async def test_positions_past_the_end() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.open(ONE_HOLE)
        far = {"line": 2**31 - 1, "character": 2**31 - 1}
        await client.result("textDocument/hover", {**HOVER, "position": far})
        params = {"textDocument": {"uri": URI}, "range": {"start": far, "end": {"line": 0, "character": 0}}}
        await client.result("textDocument/codeAction", {**params, "context": {"diagnostics": []}})
        # A change past the end is one at the end.
        client.change((9999, 9999), (10**6, 3), "\n\nx = ___\n")
        assert "Fill all 2 holes in this file" in await client.titles(0, 0)


async def test_changes_that_contradict_the_text() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.open("x = ___\ny = 2\n")
        # What ends before it starts means what lies between, as in other servers' and editors' text libraries.
        client.change((0, 7), (0, 4), "1")
        assert "Fill this hole" not in await client.titles(0, 4)
        client.change((1, 5), (1, 4), "___", version=3)
        assert "Fill this hole" in await client.titles(1, 4)
        # Past a line's end is that end, past the last line the end of the text; half a character is none.
        client.change((1, 900), (1, 999), " + 1", version=4)
        client.change((77, 3), (99, 0), "é😀 = ___", version=5)
        assert "Fill all 2 holes in this file" in await client.titles(0, 0)
        client.change((2, 2), (2, 2), "", version=6)
        # Messages come in order, so what has an older version is still the newest change.
        client.change((0, 0), (2, 0), "", version=1)
        assert "Fill this hole" in await client.titles(0, 6) and "Fill all 2 holes in this file" not in await client.titles(0, 0)
        # Nothing is computed for a version that the server doesn't have.
        for version in (0, 2):
            stale = client.ask("lacuna/fill", {"textDocument": {"uri": URI}, "version": version})
            assert code(await client.answer(stale)) == LSPErrorCodes.ContentModified
        whole = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": "z = ___"}, {"text": ONE_HOLE}]}
        client.notify("textDocument/didChange", whole)
        assert "Fill this hole" in await client.titles(HOLE_LINE, HOLE_CHARACTER)


async def test_a_change_that_cannot_be_read_costs_the_document_and_no_other() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.open(ONE_HOLE)
        client.open(ONE_HOLE, uri="file:///project/other.py")
        client.change((-5, 0), (0, 0), "x")
        # What the server has is no longer what the editor has: nothing may be offered for it.
        assert await client.titles(HOLE_LINE, HOLE_CHARACTER) == []
        told = await client.until(lambda message: message.get("method") == "window/showMessage")
        assert URI in told["params"]["message"]
        assert await client.titles(HOLE_LINE, HOLE_CHARACTER, uri="file:///project/other.py")
        await works(client)


async def test_documents_opened_changed_and_closed_out_of_order() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.change((0, 0), (0, 0), "x")
        client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        client.open("x = ___\n")
        client.open(ONE_HOLE)
        assert "Fill this hole" in await client.titles(HOLE_LINE, HOLE_CHARACTER)
        for version in (7, 7, 3, -1):
            client.change((0, 0), (0, 0), "#\n", version)
        assert "Fill this hole" in await client.titles(HOLE_LINE + 4, HOLE_CHARACTER)
        client.notify("textDocument/didChange", {"textDocument": {"uri": URI, "version": 9}, "contentChanges": []})
        for _ in range(2):
            client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert await client.titles(HOLE_LINE, HOLE_CHARACTER) == []
        await works(client)


async def test_binary_content() -> None:
    async with raw_client() as client:
        await client.initialize()
        client.open("x = ___\n\0\x01\x1b[31m\ufffe\ud83d\u2028" + "\0" * 1000 + "\n")
        assert "Fill this hole" in await client.titles(0, 4)
        client.change((1, 3), (1, 9), "\0")
        await client.result("textDocument/hover", {**HOVER, "position": {"line": 1, "character": 3}})
        assert "Fill this hole" in await client.titles(0, 4)


def resident_megabytes(process: int) -> float:
    with open(f"/proc/{process}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_two_hundred_open_files() -> None:
    async with raw_client() as client:
        await client.initialize()
        await works(client)
        before = resident_megabytes(client.process.pid)
        text = ONE_HOLE + "".join(f"def f{number}(x):\n    return x + {number}\n\n\n" for number in range(250))
        for number in range(200):
            client.open(text, uri=f"file:///project/{number}.py")
        assert "Fill this hole" in await client.titles(HOLE_LINE, HOLE_CHARACTER, uri="file:///project/199.py")
        # 10 kB of text each, its tree a few times that.
        assert resident_megabytes(client.process.pid) - before < 400


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_file_of_fifty_megabytes_is_served_as_plain_text() -> None:
    block = "".join(f"def function_{number}(first, second):\n    return first * {number} + second\n\n\n" for number in range(1000))
    blocks = 50 * 1024 * 1024 // len(block)
    text = block * (blocks // 2) + ONE_HOLE + block * (blocks // 2)
    line = 4000 * (blocks // 2) + HOLE_LINE
    assert len(text) > 49 * 1024 * 1024
    async with raw_client() as client:
        await client.initialize(initializationOptions={"seed": 1, "inlineDelayMs": 0, "maxTokens": 8, "temperature": 0.6})
        await works(client)
        before, began = resident_megabytes(client.process.pid), time.monotonic()
        large = "file:///project/large.py"
        client.open(text, uri=large)
        assert "Fill this hole" in await client.titles(line, HOLE_CHARACTER, uri=large)
        place = {"textDocument": {"uri": large}, "position": {"line": line, "character": HOLE_CHARACTER}}
        assert "write" in str(await client.result("textDocument/hover", place))
        assert "log-likelihood" in str(await client.result("textDocument/hover", {**place, "position": {"line": line, "character": 8}}))
        assert (await client.result("lacuna/fill", {"textDocument": {"uri": large}}))["alternatives"]
        inline = {**place, "position": {"line": line - 2, "character": 14}, "context": {"triggerKind": 1}}
        await client.result("textDocument/inlineCompletion", inline)
        # Seconds, on a machine that is busy with other things: to read the message is most of it.
        assert time.monotonic() - began < 30
        # The message and its parts, which go again, the text, and the places of its lines. A tree would take 2 GB.
        assert resident_megabytes(client.process.pid) - before < 700
        # Typing at the hole.
        began = time.monotonic()
        for number in range(20):
            client.change((line, 8 + number), (line, 8 + number), "x", version=number + 2, uri=large)
            assert "Fill this hole" in await client.titles(line, HOLE_CHARACTER + 1 + number, uri=large)
        assert time.monotonic() - began < 20
        assert await client.leave() == 0


@pytest.mark.parametrize("how", ["shutdown", "closed input"])
async def test_the_end_comes_in_the_middle_of_a_fill(how: str) -> None:
    async with raw_client() as client:
        await client.initialize(initializationOptions=ENDLESS | {"maxTokens": 250})
        client.open(ONE_HOLE)
        fill = {"command": "lacuna.fill", "arguments": [holes(250)], "workDoneToken": "t"}
        number = client.ask("workspace/executeCommand", fill)
        await client.until(lambda message: message.get("method") == "$/progress" and message["params"]["value"]["kind"] == "report")
        began = time.monotonic()
        if how == "shutdown":
            assert await client.leave() == 0
        else:
            assert client.process.stdin is not None
            client.process.stdin.close()
            assert await client.ended() == 1
        # A second is promised, and the machine may be busy.
        assert time.monotonic() - began < 5
        answers = [message for message in client.heard if message.get("id") == number and "method" not in message]
        assert not any("result" in answer for answer in answers)


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't be asked for there")
async def test_a_server_does_not_outlive_its_editor_though_its_input_stays_open() -> None:
    editor = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        async with raw_client() as client:
            await client.initialize(processId=editor.pid)
            await works(client)
            editor.kill()
            editor.wait()
            assert await client.ended() == 1
    finally:
        editor.kill()


async def test_a_process_that_was_never_there_says_nothing() -> None:
    async with raw_client() as client:
        await client.initialize(processId=2**22 + os.getpid())
        await asyncio.sleep(0.2)
        await works(client)


async def test_a_client_that_never_answers_holds_nothing_up() -> None:
    abilities = {"workspace": {"configuration": True, "applyEdit": True}, "window": {"workDoneProgress": True}}
    async with raw_client() as client:
        await client.initialize(capabilities=abilities, initializationOptions={"seed": 1})
        await works(client)
        for command in ("lacuna.chooseFill", "lacuna.fill"):
            client.ask("workspace/executeCommand", {"command": command, "arguments": [holes(32)]})
            asked = "window/showMessageRequest" if command == "lacuna.chooseFill" else "workspace/applyEdit"
            await client.until(lambda message, asked=asked: message.get("method") == asked)
        await client.result("textDocument/hover", {**HOVER, "position": {"line": 4, "character": 4}})
        assert {"workspace/configuration", "window/workDoneProgress/create"} <= {str(message.get("method")) for message in client.heard}
        assert await client.leave() == 0
