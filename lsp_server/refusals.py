"""How a request that has no result is answered: with the protocol's error code and one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lsprotocol.types import LSPErrorCodes
from pygls.exceptions import JsonRpcContentModified, JsonRpcException, JsonRpcRequestCancelled

from engine.errors import LacunaError
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer


@contextmanager
def refusals(ls: LacunaServer, work: str | None = None) -> Iterator[None]:
    """Turn Stopped and LacunaError into the protocol's errors.

    A result that came too late is told to the user too, as `work` (such as "the fill") that was dropped: editors hide the
    error ContentModified. Without `work` nothing is told.
    """
    try:
        yield
    except Stopped as stop:
        if stop.reason not in (StopReason.MODIFIED, StopReason.CLOSED):
            raise JsonRpcRequestCancelled(str(stop)) from stop
        if work is not None:
            ls.tell(f"Lacuna dropped {work}: {stop}.")
        raise JsonRpcContentModified(str(stop)) from stop
    except LacunaError as error:
        raise JsonRpcException(f"Lacuna: {error}", code=LSPErrorCodes.RequestFailed) from error
