"""Loading the model behind the user's back, with a word at its begin and its end."""

from __future__ import annotations

import asyncio
import time

from lsprotocol import types

from engine.errors import LacunaError
from lsp_server.language_server import LacunaServer
from lsp_server.progress import WorkDoneProgress


async def load_model(ls: LacunaServer) -> None:
    """Load the model that `ls.inference.folder` names. A broken one is told to the user once; requests then repeat the reason."""
    ls.note(f"loading the model {ls.inference.folder or 'that comes with Lacuna'}")
    started = time.monotonic()
    async with WorkDoneProgress(ls, "Loading Lacuna's model"):
        try:
            infiller = await asyncio.wrap_future(ls.inference.load())
        except LacunaError as error:
            ls.tell(f"Lacuna has no model: {error}", types.MessageType.Error)
            return
    ls.note(f"the model {infiller.model_name} is ready ({infiller.provider}, {1000 * (time.monotonic() - started):.0f} ms)")
