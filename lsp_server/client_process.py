"""An end with the client: a server whose editor died must not stay behind."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from lsp_server.language_server import LacunaServer
from lsp_server.log import line

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 3.0


def exit_with_client(ls: LacunaServer) -> None:
    """End this process soon after the client's has ended.

    Most often the closed pipe tells first; but something may hold it open, a child of the client say. A process that isn't there from the
    beginning is one of another machine or container, and says nothing. Windows can't be asked in this way.
    """
    process = ls.process_id
    if process is not None and process > 0 and sys.platform != "win32" and _is_alive(process):
        ls.keep(asyncio.create_task(_outlive(process)))


async def _outlive(process: int) -> None:
    while _is_alive(process):
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
    log.warning("%s", line("the editor has ended, and so does this server", process=process))
    # At once: a thread waits for input that never comes, and nobody is there to be answered.
    sys.stderr.flush()
    os._exit(1)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
