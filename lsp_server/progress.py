"""Work-done progress (`$/progress`) around a slow piece of work, with a cancel button."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from types import TracebackType

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from engine.results import Progress
from lsp_server.language_server import LacunaServer

log = logging.getLogger(__name__)

# A pass may take a few milliseconds, and no one reads faster than this.
SECONDS_BETWEEN_REPORTS = 0.1


class WorkDoneProgress:
    """An async context manager that shows progress from its start to its end.

    With a `token` from the client's request the report goes there; without one a report is opened where the client allows
    it (`create=False` forbids it), and else nothing is shown. `on_cancel` is called when the user presses cancel; without it
    the work is shown as one that can't be cancelled.
    """

    def __init__(
        self,
        ls: LacunaServer,
        title: str,
        token: types.ProgressToken | None = None,
        *,
        create: bool = True,
        on_cancel: Callable[[], None] | None = None,
    ) -> None:
        self._ls = ls
        self._title = title
        self._given = token
        self._create = create and ls.abilities.progress
        self._on_cancel = on_cancel
        self._token: types.ProgressToken | None = None
        self._opening: asyncio.Task[None] | None = None
        self._over = False
        self._reported = 0.0

    async def __aenter__(self) -> WorkDoneProgress:
        if self._given is not None:
            self._begin(self._given)
        elif self._create:
            # The client's consent is not waited for: the work starts at once.
            self._opening = asyncio.create_task(self._open())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over = True
        self._end()

    async def _open(self) -> None:
        token = f"lacuna-{uuid.uuid4()}"
        try:
            await self._ls.work_done_progress.create_async(token)
        except JsonRpcException as error:
            log.debug("the client opens no progress report: %s", error)
            return
        self._begin(token)
        if self._over:
            # The work was quicker than the client's consent. A report that was opened must be ended, and only one begun can be.
            self._end()

    def _begin(self, token: types.ProgressToken) -> None:
        self._token = token
        begin = types.WorkDoneProgressBegin(title=self._title, cancellable=self._on_cancel is not None, percentage=0)
        self._ls.work_done_progress.begin(token, begin)
        if (cancelled := self._on_cancel) is not None:
            self._ls.work_done_progress.tokens[token].add_done_callback(lambda _: cancelled())

    def _end(self) -> None:
        if self._token is None:
            return
        self._ls.work_done_progress.end(self._token, types.WorkDoneProgressEnd())
        # pygls keeps the tokens of ended reports for ever.
        self._ls.work_done_progress.tokens.pop(self._token, None)
        self._token = None

    def report(self, progress: Progress) -> None:
        """Show how far a fill has come. The percentage is a lower bound, for most fills end before their budget does."""
        now = time.monotonic()
        if self._token is None or now - self._reported < SECONDS_BETWEEN_REPORTS:
            return
        self._reported = now
        percentage = min(99, 100 * progress.tokens // max(1, progress.most))
        message = f"{progress.tokens} tokens in {progress.passes} passes"
        self._ls.work_done_progress.report(self._token, types.WorkDoneProgressReport(message=message, percentage=percentage))
