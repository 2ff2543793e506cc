"""The bytes between client and server: stdio, or one TCP connection.

pygls's loop reads the messages. What it is given here is forgiving about headers, and careful about lengths.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from threading import Event
from typing import TYPE_CHECKING, BinaryIO

from pygls.io_ import run_async

from engine.errors import LacunaError
from lsp_server.log import line

if TYPE_CHECKING:
    from lsp_server.language_server import LacunaServer

log = logging.getLogger(__name__)

LARGEST_MESSAGE = 512 * 1024 * 1024
_BLOCK = 1024 * 1024
# Not only at a line's start: after a message whose length was given too small, its rest stands before the next header.
_LENGTH = re.compile(rb"content-length:\s*(\d{1,12})\s*$", re.IGNORECASE)


def header(read: bytes) -> bytes:
    """A header line as pygls knows it."""
    found = _LENGTH.search(read)
    return b"Content-Length: %d\r\n" % int(found[1]) if found else read


def is_too_long(length: int) -> bool:
    """Whether a message can't be one. The session then ends, for what follows can't be made sense of."""
    if length > LARGEST_MESSAGE:
        log.error("%s", line("a message is too long, so the session ends", bytes=length, most=LARGEST_MESSAGE))
    return length > LARGEST_MESSAGE


class CarefulInput:
    """stdin for pygls: reads a message in blocks, so that a length that was never sent takes no memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readline(self) -> bytes:
        return header(self._stream.readline(_BLOCK))

    def read(self, length: int) -> bytes:
        """As many bytes, or fewer where the input ends; b"" ends the session."""
        blocks: list[bytes] = []
        left = 0 if is_too_long(length) else length
        while left and (block := self._stream.read(min(left, _BLOCK))):
            blocks.append(block)
            left -= len(block)
        return b"".join(blocks)


class CarefulReader:
    """The same for a TCP connection."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream

    async def readline(self) -> bytes:
        try:
            return header(await self._stream.readline())
        except ValueError:
            log.error("%s", line("a header is too long, so the session ends"))
            return b""

    async def readexactly(self, length: int) -> bytes:
        try:
            return b"" if is_too_long(length) else await self._stream.readexactly(length)
        except asyncio.IncompleteReadError:
            return b""


def serve_stdio(server: LacunaServer) -> None:
    """Serve over stdin and stdout until the client leaves."""
    server.start_io(CarefulInput(sys.stdin.buffer))  # type: ignore[arg-type]  # of a BinaryIO pygls uses these two methods


def serve_tcp(server: LacunaServer, host: str, port: int) -> None:
    """Serve the first client that connects until it leaves. Raises LacunaError where nobody can listen at that address."""
    try:
        asyncio.run(_serve_one(server, host, port))
    except OSError as error:
        raise LacunaError(f"can't listen at {host}:{port}: {error.strerror or error}") from error
    except (KeyboardInterrupt, SystemExit):
        # So pygls ends a session; of one over stdio it catches both itself.
        return
    finally:
        server.shutdown()  # type: ignore[no-untyped-call]


async def _serve_one(server: LacunaServer, host: str, port: int) -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    taken = False

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if taken:
            writer.close()
            return
        taken = True
        server.protocol.set_writer(writer)
        try:
            await run_async(Event(), CarefulReader(reader), server.protocol, error_handler=server.report_server_error)
        finally:
            if not over.done():
                over.set_result(None)

    async with await asyncio.start_server(connection, host, port):
        await over
