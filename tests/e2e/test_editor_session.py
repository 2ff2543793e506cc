"""A whole session with the language server, as an editor has it: over stdio and over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

from lsprotocol import types

from lsp_server.syntax import count_errors, parse
from tests.lsp_server.language_client import PATIENCE, SERVER, Editor, editor
from tests.lsp_server.sample_code import HOLE, THREE_HOLES

SURE = {"temperature": 0.6, "alternatives": 3, "maxTokens": 24}


async def work_a_while(ed: Editor) -> None:
    """Open, type, fill, undo, choose another fill, ask how likely it is, close."""
    document = ed.open(THREE_HOLES)
    ed.edit(document, len(document.text), len(document.text), "\n\ndef largest(items):\n    return ___\n")
    action = await ed.resolve(await ed.action(document, "Fill all 4 holes", 0))
    assert action.edit is not None
    with_holes = document.text
    ed.apply(action.edit)
    filled = document.text
    assert HOLE not in filled
    tree = parse(filled.encode(), "python")
    assert tree is not None and count_errors(tree) == 0
    # Undo: the same text under a newer version; what was computed for it is offered at once.
    ed.edit(document, 0, len(document.text), with_holes)
    offered = [one for one in await ed.actions(document, with_holes.index(HOLE)) if one.title.startswith("Fill with: ")]
    assert offered and isinstance(offered[-1], types.CodeAction) and offered[-1].edit is not None
    ed.apply(offered[-1].edit)
    assert HOLE not in document.text
    assert await ed.hover(document, document.text.index("largest")) is not None
    ed.close(document)


async def test_a_session_over_stdio() -> None:
    async with editor("--stdio", settings=SURE) as ed:
        await work_a_while(ed)


async def test_a_session_over_tcp() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(SERVER, "--tcp", f"127.0.0.1:{port}", stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    async with editor(settings=SURE, tcp=("127.0.0.1", port)) as ed:
                        await work_a_while(ed)
                    break
                await asyncio.sleep(0.05)
            assert await process.wait() == 0
            assert b"Traceback" not in await process.stderr.read()
    finally:
        if process.returncode is None:
            process.kill()
            sys.stderr.write((await process.stderr.read()).decode())
