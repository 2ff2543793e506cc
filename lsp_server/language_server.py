"""The language server's state: what all features share."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from lsp_server.buffer import Unit
from lsp_server.client_abilities import ClientAbilities
from lsp_server.configuration import Layer, Layers
from lsp_server.documents import Documents
from lsp_server.inference import Inference, StopReason
from lsp_server.log import EditorHandler, line
from lsp_server.proposal_cache import ProposalCache
from lsp_server.protocol import LacunaProtocol
from lsp_server.recent_fills import RecentFills
from lsp_server.request_log import current_request
from lsp_server.status import STATUS, Status
from lsp_server.surprise_cache import SurpriseCache
from lsp_server.turns import Turns
from lsp_server.watcher import Watcher

log = logging.getLogger(__name__)

_LEVELS = {types.MessageType.Error: logging.ERROR, types.MessageType.Warning: logging.WARNING, types.MessageType.Debug: logging.DEBUG}
_SYNC = (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE)


class LacunaServer(LanguageServer):
    """Open documents, the model's thread, settings and what the client can do."""

    protocol: LacunaProtocol

    def __init__(self, command_line: Layer) -> None:
        super().__init__("lacuna-lsp", importlib.metadata.version("lacuna-lsp"), protocol_cls=LacunaProtocol)
        self.documents = Documents()
        self.inference = Inference()
        self.recent_fills = RecentFills()
        self.proposals = ProposalCache()
        self.surprises = SurpriseCache()
        self.hint_tasks: dict[str, asyncio.Task[None]] = {}  # by document, those of surprise_hints
        self.turns = Turns()
        self.watcher = Watcher()
        self.editor_log = EditorHandler(self.window_log_message)
        self.layers = Layers(command_line=command_line)
        self.settings = self.layers.settings
        self.abilities = ClientAbilities()
        self._status: Status | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def unit(self) -> Unit:
        """What the client counts characters in, as agreed in `initialize`."""
        match self.workspace.position_encoding:
            case types.PositionEncodingKind.Utf8:
                return "utf-8"
            case types.PositionEncodingKind.Utf32:
                return "utf-32"
            case _:
                return "utf-16"

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold on to a task that nobody awaits: asyncio itself would let it vanish."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Stop what runs beside the event loop."""
        self.inference.close()
        self.watcher.close()

    def forget(self, uri: str, reason: StopReason) -> None:
        """Forget a document and all that was computed for it. What is being computed is stopped."""
        self.inference.stop_jobs(uri, reason)
        self.documents.close(uri)
        self.recent_fills.forget(uri)
        self.proposals.forget(uri)

    def on_unreadable_notification(self, method: str, params: object) -> None:
        """A change of a document that can't be read leaves a text that isn't the editor's: better none than that."""
        document = params.get("textDocument") if isinstance(params, dict) else None
        uri = document.get("uri") if isinstance(document, dict) else None
        if method in _SYNC and isinstance(uri, str) and self.documents.get(uri) is not None:
            self.forget(uri, StopReason.CLOSED)
            self.tell(f"Lacuna lost track of {uri}: a change of it could not be read. Close and open it again.", types.MessageType.Warning)

    def report_server_error(self, error: Exception, source: object) -> None:
        """Log what went wrong, for pygls shows it to the user, who can't mend it. A message that is no JSON is answered as such."""
        if isinstance(error, ValueError | RecursionError) and source is JsonRpcException:
            self.protocol.refuse(None, types.ErrorCodes.ParseError, "a message was no JSON")
        elif not isinstance(error, JsonRpcException):
            log.error("%s", line("an error that nobody expected", error=error))

    def tell(self, message: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """Show the user one sentence."""
        self.window_show_message(types.ShowMessageParams(type=kind, message=message))

    def note(self, message: str, kind: types.MessageType = types.MessageType.Log, **fields: object) -> None:
        """Write one sentence, and `key=value` fields, into the log. It counts as the reason where the current request brings nothing."""
        request = current_request()
        if request is not None:
            request.said = message
        log.log(_LEVELS.get(kind, logging.INFO), "%s", line(message, **fields))

    def show_status(self, message: str | None = None, request: str | None = None) -> None:
        """Tell the editor what the model is doing, where that or the message is news."""
        if not self.abilities.status:
            return
        state, infiller = self.inference.state, self.inference.infiller
        if state == "failed":
            message = str(self.inference.failure)
        device = infiller.device if infiller else None
        status = Status(
            state,
            model=infiller.model_name if infiller else None,
            model_id=infiller.model_id if infiller else None,
            device=device.name if device else None,
            device_reason=device.sentence if device and device.is_news else None,
            message=message,
            request=request,
        )
        if status != self._status:
            self._status = status
            self.protocol.notify(STATUS, status.as_json())
