"""A client that sends bytes: for what no editor's library would send, or leave unanswered."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.lsp_server.language_client import PATIENCE, SERVER

Message = dict[str, Any]
URI = "file:///project/sample.py"


def framed(message: object) -> bytes:
    """A message with its header."""
    body = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


@dataclass
class RawClient:
    """A running server. It answers nothing that it is asked. `heard` holds all messages so far, `complaints`, in the end, its stderr."""

    process: asyncio.subprocess.Process
    heard: list[Message] = field(default_factory=list)
    complaints: str = ""
    _number: int = 0

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def notify(self, method: str, params: object) -> None:
        self.send(framed({"jsonrpc": "2.0", "method": method, "params": params}))

    def ask(self, method: str, params: object) -> int:
        """Send a request; gives its id."""
        self._number += 1
        self.send(framed({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        return self._number

    async def read(self) -> Message | None:
        """The next message; None where the server has ended."""
        assert self.process.stdout is not None
        length = None
        while (line := await self.process.stdout.readline()).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length is None:
            return None
        message: Message = json.loads(await self.process.stdout.readexactly(length))
        self.heard.append(message)
        return message

    async def answer(self, number: int | None) -> Message:
        """The answer to a request, past or still to come; None: one to a message that had no id."""

        def is_answer(message: Message) -> bool:
            return "method" not in message and message.get("id") == number

        return await self.until(is_answer)

    async def until(self, test: Any) -> Message:
        """The first message that passes the test, past or still to come."""
        for message in self.heard:
            if test(message):
                return message
        async with asyncio.timeout(PATIENCE):
            while (next_message := await self.read()) is not None:
                if test(next_message):
                    return next_message
        raise AssertionError("the server ended")

    async def result(self, method: str, params: object) -> Any:
        """Ask and wait; the answer must be no error."""
        answer = await self.answer(self.ask(method, params))
        assert "error" not in answer, answer
        return answer.get("result")

    async def initialize(self, **params: object) -> Mapping[str, Any]:
        """The whole opening ceremony."""
        result: Mapping[str, Any] = await self.result("initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params})
        self.notify("initialized", {})
        return result

    def open(self, text: str, uri: str = URI, language: str = "python") -> None:
        self.notify("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": language, "version": 1, "text": text}})

    def change(self, start: tuple[int, int], end: tuple[int, int], text: str, version: int = 2, uri: str = URI) -> None:
        range_ = {"start": dict(zip(("line", "character"), start, strict=True)), "end": dict(zip(("line", "character"), end, strict=True))}
        changes = [{"range": range_, "text": text}]
        self.notify("textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": changes})

    async def titles(self, line: int, character: int, uri: str = URI) -> list[str]:
        """The code actions at a place: they show what text the server has."""
        place = {"line": line, "character": character}
        params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": {"diagnostics": []}}
        return [action["title"] for action in await self.result("textDocument/codeAction", params) or []]

    async def leave(self) -> int:
        """Shut down in order; the exit code."""
        await self.result("shutdown", None)
        self.notify("exit", None)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            # The pipe must not be what holds the server back.
            while await self.read() is not None:
                pass
            return await self.process.wait()


@asynccontextmanager
async def raw_client(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[RawClient]:
    """Start the server. At the end it must be gone or is killed, and must have left no traceback on stderr."""
    process = await asyncio.create_subprocess_exec(
        SERVER,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
        env={**os.environ, **(environment or {})},
    )
    assert process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    client = RawClient(process)
    try:
        yield client
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        client.complaints = (await complaints).decode()
        await process.wait()
    assert "Traceback" not in client.complaints, client.complaints
