"""pygls's protocol, changed where Lacuna needs another behaviour.

- Documents are left to Lacuna's own handlers.
- Commands can be cancelled.
- A message that can't be read or comes at the wrong time is answered with an error, as JSON-RPC has it, and shown to nobody.
- Lacuna's own requests keep their params as the JSON that they are: pygls would turn objects into tuples, and fail for some.
- Each request has a record: its begin and end are logged, and why it brought nothing goes into the status.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from lsprotocol.types import ErrorCodes, LSPErrorCodes
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import JsonRPCRequestMessage, LanguageServerProtocol, lsp_method

from lsp_server.log import line
from lsp_server.request_log import RequestRecord, current_request, enter_request

if TYPE_CHECKING:
    from lsp_server.language_server import LacunaServer

log = logging.getLogger(__name__)

# An editor lists these at each move of the cursor, and they never touch the model.
_QUIET = frozenset({types.TEXT_DOCUMENT_CODE_ACTION, types.INITIALIZE, types.SHUTDOWN})
# Seconds that a client may take to answer. What it asks its user takes as long as the user does.
_PATIENCE = {types.WORKSPACE_CONFIGURATION: 10.0, types.WINDOW_WORK_DONE_PROGRESS_CREATE: 10.0, types.WORKSPACE_APPLY_EDIT: 60.0}


@dataclass(frozen=True)
class Unreadable:
    """A message that is JSON, but not the message that its method asks for."""

    data: Mapping[str, Any]
    error: Exception


class LacunaProtocol(LanguageServerProtocol):
    """See the module. `was_shut_down` tells how the session ended."""

    _server: LacunaServer
    _initialized = False
    _is_over = False

    @property
    def was_shut_down(self) -> bool:
        """Whether the client asked for `shutdown`; a session that ends without it ends with exit code 1."""
        return self._shutdown

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message from its JSON object. pygls raises where that fails, and then nobody knows whom to answer."""
        method = data.get("method") if isinstance(data, dict) else None
        if isinstance(method, str) and method.startswith("lacuna/") and "id" in data:
            return JsonRPCRequestMessage(data["id"], method, data.get("jsonrpc", ""), data.get("params"))
        try:
            return super().structure_message(data)
        except Exception as error:
            return Unreadable(data, error)

    def handle_message(self, message: Any) -> None:
        """Act on a message, or answer that it is none."""
        self._is_over = self._is_over or getattr(message, "method", "") == types.EXIT
        if isinstance(message, Unreadable):
            self._refuse_unreadable(message)
        elif not hasattr(message, "jsonrpc"):
            self.refuse(None, ErrorCodes.InvalidRequest, "a message must be an object with jsonrpc, a method or an id")
        elif self._shutdown and hasattr(message, "method") and hasattr(message, "id"):
            self.refuse(message.id, ErrorCodes.InvalidRequest, "the server was shut down")
        else:
            super().handle_message(message)

    def _refuse_unreadable(self, message: Unreadable) -> None:
        method, number = message.data.get("method"), message.data.get("id")
        log.warning("%s", line("a message could not be read", method=method, id=number, error=_first_line(message.error)))
        if isinstance(method, str) and isinstance(number, str | int):
            self.refuse(number, ErrorCodes.InvalidParams, f"the parameters of {method} could not be read")
        elif isinstance(method, str):
            self._server.on_unreadable_notification(method, message.data.get("params"))
        # An answer that can't be read is as good as none.
        elif isinstance(number, str) and (waiting := self._request_futures.pop(number, None)) is not None and not waiting.done():
            waiting.set_exception(JsonRpcException("the client's answer could not be read"))

    def _send_data(self, data: Any) -> None:
        """Send a message, unless the client has gone: work that ends with the session may still have something to say."""
        if self._is_over:
            return
        try:
            super()._send_data(data)
        except ConnectionError:
            self._is_over = True

    def refuse(self, number: str | int | None, code: ErrorCodes, message: str) -> None:
        """Answer a request, by its id, with an error; None: it isn't known which."""
        self._send_data(types.ResponseErrorMessage(id=number, error=types.ResponseError(code.value, message)))

    def _handle_request(self, msg_id: str | int, method_name: str, params: Any) -> None:
        if self._initialized == (method_name == types.INITIALIZE):
            code = ErrorCodes.InvalidRequest if self._initialized else ErrorCodes.ServerNotInitialized
            self.refuse(msg_id, code, "initialize comes first, and once")
            return
        self._initialized = True
        # Each message is handled in a context of its own, which the handler's task inherits.
        record = RequestRecord(method_name)
        enter_request(record)
        uri = document_of(params)
        document = self._server.documents.get(uri) if uri else None
        event = line("begin", feature=method_name, document=uri, version=document.version if document else None)
        log.log(_level(method_name), "%s", event)
        super()._handle_request(msg_id, method_name, params)

    def _handle_notification(self, method_name: str, params: Any) -> None:
        if self._initialized or method_name == types.EXIT:
            super()._handle_notification(method_name, params)

    def _send_handler_result(self, future: Future[Any], *, msg_id: str | int) -> None:
        record = current_request()
        super()._send_handler_result(future, msg_id=msg_id)
        if record is not None:
            self._log_end(record, future)

    def _log_end(self, record: RequestRecord, future: Future[Any]) -> None:
        outcome, reason = _outcome(record, future)
        event = line(
            "end",
            feature=record.feature,
            outcome=outcome,
            why=record.unquoted or reason,
            passes=record.passes or None,
            tokens=record.tokens or None,
            ms=f"{record.milliseconds:.0f}",
        )
        log.log(_level(record.feature), "%s", event)
        if record.feature not in _QUIET:
            self._server.show_status(reason, record.id if reason else None)

    def _handle_cancel_notification(self, msg_id: str | int) -> None:
        # A request that was answered meanwhile is nothing to warn of.
        if msg_id in self._request_futures:
            super()._handle_cancel_notification(msg_id)

    def _handle_response(self, msg_id: str | int, result: Any | None = None, error: types.ResponseError | None = None) -> None:
        waiting = self._request_futures.get(msg_id)
        # An answer that nobody waits for any more is nothing to warn of, and must not be handed to whoever gave up.
        if waiting is not None and not waiting.done():
            super()._handle_response(msg_id, result, error)

    async def send_request_async(self, method: str, params: Any | None = None, msg_id: str | int | None = None) -> Any:
        """Ask the client, but wait no longer than any may take. Raises JsonRpcException where it answers with an error or not at all."""
        number = msg_id or str(uuid.uuid4())
        answer = asyncio.wrap_future(self.send_request(method, params, msg_id=number))
        try:
            return await asyncio.wait_for(answer, _PATIENCE.get(method))
        except TimeoutError:
            raise JsonRpcException(f"the editor did not answer {method}", code=LSPErrorCodes.RequestFailed) from None
        finally:
            self._request_futures.pop(number, None)

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Generator[Any, Any, None]:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_OPEN], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Generator[Any, Any, None]:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CHANGE], (params,), None

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Generator[Any, Any, None]:
        yield self.fm.features[types.TEXT_DOCUMENT_DID_CLOSE], (params,), None

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]  # pygls calls coroutines and generators alike
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """Run a command in the request's own task, so that `$/cancelRequest` reaches it. pygls runs it in a second task,
        which goes on after the client was told that it was cancelled."""
        handler = self.fm.commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(f"there is no command {params.command!r}")
        return await handler(params)


def _level(feature: str) -> int:
    return logging.DEBUG if feature in _QUIET else logging.INFO


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return next(iter(str(cause).splitlines()), "") or type(cause).__name__


def _outcome(record: RequestRecord, future: Future[Any]) -> tuple[str, str | None]:
    """How a request ended, and why it brought nothing where it did."""
    if future.cancelled():
        return "cancelled", "it was cancelled"
    match future.exception():
        case None:
            # What a command does is no part of its answer.
            done = future.result() or record.feature == types.WORKSPACE_EXECUTE_COMMAND
            return ("done", None) if done else ("nothing", record.said or None)
        case JsonRpcException(code=code, message=message):
            names = {LSPErrorCodes.RequestCancelled: "cancelled", LSPErrorCodes.ContentModified: "stale"}
            return next((name for known, name in names.items() if known == code), "refused"), message
        case error:
            return "failed", _first_line(error)


def document_of(params: Any) -> str | None:
    """The URI of the document that a request is about, wherever its params have it; None where they have none."""
    identifier = getattr(params, "text_document", None)
    if identifier is not None:
        return getattr(identifier, "uri", None)
    if isinstance(params, Mapping):  # of one of our own requests
        identifier = params.get("textDocument")
        return identifier["uri"] if isinstance(identifier, Mapping) and isinstance(identifier.get("uri"), str) else None
    arguments = getattr(params, "arguments", None)
    for data in (getattr(params, "data", None), arguments[0] if isinstance(arguments, list | tuple) and arguments else None):
        if isinstance(data, Mapping) and isinstance(data.get("uri"), str):
            return str(data["uri"])
    return None
