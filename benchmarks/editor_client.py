"""A client that starts the real `lacuna-lsp` as an editor does and notes when each message left and came.

Messages are the protocol's plain JSON: a library in between would count as the server's time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import LacunaError

SERVER = Path(sys.executable).with_name("lacuna-lsp")
# Seconds: far longer than anything takes, so that only a hang gets there.
PATIENCE = 120.0
CANCELLED = -32800

# What VS Code's client says of itself, as far as it changes what the server sends.
_CAPABILITIES = {
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["", "quickfix", "refactor", "source"]}},
            "dataSupport": True,
            "disabledSupport": True,
            "resolveSupport": {"properties": ["edit"]},
        },
        "hover": {"contentFormat": ["markdown"]},
        "inlineCompletion": {},
    },
    "workspace": {"applyEdit": True, "workspaceEdit": {"documentChanges": True}},
    "window": {"workDoneProgress": True},
    "experimental": {"lacunaStatus": True},
}


@dataclass(frozen=True)
class Place:
    """A position: `line` and `character` from 0, in UTF-16 code units."""

    line: int
    character: int

    @classmethod
    def at(cls, text: str, index: int) -> Place:
        """Where the character `index` of `text` stands, whose lines end in \\n alone."""
        line = text.count("\n", 0, index)
        start = text.rfind("\n", 0, index) + 1
        return cls(line, len(text[start:index].encode("utf-16-le")) // 2)

    def as_json(self) -> dict[str, int]:
        return {"line": self.line, "character": self.character}


@dataclass(frozen=True)
class Answer:
    """What a request was answered with, and when (`time.perf_counter`). `error` is the error's code, None where there was none."""

    result: Any
    error: int | None
    at: float


@dataclass(frozen=True)
class Asked:
    """A request under way: its id, and when it was sent."""

    number: int
    at: float
    answer: asyncio.Future[Answer]

    async def milliseconds(self) -> float:
        """From sending to the answer. Raises LacunaError where that is an error."""
        answer = await self.answered()
        if answer.error is not None:
            raise LacunaError(f"lacuna-lsp answered a request with the error {answer.error}")
        return (answer.at - self.at) * 1000

    async def answered(self) -> Answer:
        """Raises LacunaError where the server ends first, or never answers."""
        try:
            return await asyncio.wait_for(asyncio.shield(self.answer), PATIENCE)
        except TimeoutError:
            raise LacunaError(f"lacuna-lsp left a request unanswered for {PATIENCE:.0f} s") from None


@dataclass
class EditorClient:
    """A running server. `began` is when its process was asked for; `heard` holds (when, method, params) of all that it said by itself."""

    process: asyncio.subprocess.Process
    began: float
    heard: list[tuple[float, str, Any]] = field(default_factory=list)
    _open: dict[int, Asked] = field(default_factory=dict)
    _number: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: bool = False

    def notify(self, method: str, params: object) -> float:
        """Send a notification; gives when."""
        return self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: object) -> Asked:
        """Send a request."""
        self._number += 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        asked = Asked(self._number, time.perf_counter(), answer)
        self._open[asked.number] = asked
        self._send({"jsonrpc": "2.0", "id": asked.number, "method": method, "params": params})
        return asked

    def cancel(self, asked: Asked) -> float:
        """Cancel a request; gives when."""
        return self.notify("$/cancelRequest", {"id": asked.number})

    async def result(self, method: str, params: object) -> Any:
        """Ask and wait. Raises LacunaError where the answer is an error."""
        answer = await self.ask(method, params).answered()
        if answer.error is not None:
            raise LacunaError(f"lacuna-lsp answered {method} with the error {answer.error}")
        return answer.result

    async def until(self, method: str, words: str = "") -> None:
        """Wait for a message by a method, with these words in it, past or still to come."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not any(heard == method and words in json.dumps(params) for _, heard, params in self.heard):
                    if self._ended:
                        raise LacunaError(f"lacuna-lsp ended before it sent {method}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise LacunaError(f"lacuna-lsp sent no {method} for {PATIENCE:.0f} s") from None

    async def initialize(self, settings: Mapping[str, Any] | None = None) -> float:
        """The opening ceremony. Gives the milliseconds from asking for the process to the answer of `initialize`."""
        params = {"processId": os.getpid(), "rootUri": None, "capabilities": _CAPABILITIES, "initializationOptions": dict(settings or {})}
        answer = await self.ask("initialize", params).answered()
        self.notify("initialized", {})
        return (answer.at - self.began) * 1000

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Let other settings hold from now on."""
        self.notify("workspace/didChangeConfiguration", {"settings": {"lacuna": dict(settings)}})

    async def ready(self) -> None:
        """Wait for the model, which a first open document wakes."""
        await self.until("window/logMessage", "is ready")

    def open(self, uri: str, text: str) -> None:
        """Open a Python document, at version 1."""
        self.notify("textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "python", "version": 1, "text": text}})

    def change(self, uri: str, version: int, start: Place, end: Place, text: str) -> float:
        """One incremental change; gives when it was sent."""
        change = {"range": {"start": start.as_json(), "end": end.as_json()}, "text": text}
        return self.notify("textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]})

    def close(self, uri: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def list_actions(self, uri: str, place: Place) -> Asked:
        """Ask for the code actions at a bare cursor, as where a person opens the menu."""
        range_ = {"start": place.as_json(), "end": place.as_json()}
        context = {"diagnostics": [], "triggerKind": 1}
        return self.ask("textDocument/codeAction", {"textDocument": {"uri": uri}, "range": range_, "context": context})

    async def action(self, uri: str, place: Place, title: str) -> Any:
        """The listed action whose title begins so."""
        answer = await self.list_actions(uri, place).answered()
        for action in answer.result or []:
            if action["title"].startswith(title):
                return action
        raise LacunaError(f"lacuna-lsp offers no {title!r} at line {place.line + 1} of {uri}")

    def hover(self, uri: str, place: Place) -> Asked:
        return self.ask("textDocument/hover", {"textDocument": {"uri": uri}, "position": place.as_json()})

    def resident(self) -> int:
        """Bytes of memory that the server takes up now. Raises LacunaError on systems other than Linux."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        except OSError as error:
            raise LacunaError(f"a process's memory can't be read ({error.strerror}); run this on Linux") from None
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def leave(self) -> float:
        """Shut down in order. Gives the milliseconds from `shutdown` to the end of the process."""
        asked = self.ask("shutdown", None)
        await asked.answered()
        self.notify("exit", None)
        try:
            await asyncio.wait_for(self.process.wait(), PATIENCE)
        except TimeoutError:
            raise LacunaError(f"lacuna-lsp is still there {PATIENCE:.0f} s after exit") from None
        return (time.perf_counter() - asked.at) * 1000

    def _send(self, message: object) -> float:
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        now = time.perf_counter()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return now

    async def listen(self) -> None:
        """Take in messages until the server ends."""
        while (body := await self._read()) is not None:
            at, message = time.perf_counter(), json.loads(body)
            if "method" in message:
                self.heard.append((at, message["method"], message.get("params")))
                self._news.set()
                if "id" in message:
                    self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})
            elif (asked := self._open.pop(message["id"], None)) is not None:
                asked.answer.set_result(Answer(message.get("result"), message.get("error", {}).get("code"), at))
        self._ended = True
        self._news.set()
        for asked in self._open.values():
            asked.answer.set_exception(LacunaError("lacuna-lsp ended with a request unanswered"))
            asked.answer.exception()  # counts as looked at: nobody may be waiting for it any more

    async def _read(self) -> bytes | None:
        assert self.process.stdout is not None
        length = None
        while (header := await self.process.stdout.readline()).strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return None if length is None else await self.process.stdout.readexactly(length)


@asynccontextmanager
async def lacuna_lsp(model: Path | None) -> AsyncIterator[EditorClient]:
    """A fresh server with that model (None: the default one); it is killed at the end where it is still there.

    Raises LacunaError where it can't be started, or left a traceback, which goes to stderr.
    """
    arguments = [] if model is None else ["--model", str(model.resolve())]
    # An installed server is compiled to bytecode at its first start, whatever is set here.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    try:
        process = await asyncio.create_subprocess_exec(
            SERVER,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
            env=environment,
        )
    except OSError as error:
        raise LacunaError(f"{SERVER} can't be started ({error.strerror}); install this project into the environment first") from None
    assert process.stderr is not None
    client = EditorClient(process, began)
    listening, complaints = asyncio.create_task(client.listen()), asyncio.create_task(process.stderr.read())
    try:
        yield client
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await asyncio.gather(listening, return_exceptions=True)
        log = (await complaints).decode()
    if "Traceback" in log:
        print(log, file=sys.stderr)
        raise LacunaError(f"lacuna-lsp broke: {log.rstrip().splitlines()[-1]}")
