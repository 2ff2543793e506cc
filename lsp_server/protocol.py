"""pygls's protocol, changed in four places where Lacuna needs another behaviour."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.protocol import JsonRPCRequestMessage, LanguageServerProtocol, lsp_method


class LacunaProtocol(LanguageServerProtocol):
    """Leaves documents to Lacuna's own handlers, makes commands cancellable, knows how the session ended, and Lacuna's own requests."""

    @property
    def was_shut_down(self) -> bool:
        """Whether the client asked for `shutdown`; a session that ends without it ends with exit code 1."""
        return self._shutdown

    def structure_message(self, data: dict[str, Any]) -> Any:
        """Lacuna's own requests keep their params as the JSON that they are. pygls would turn objects into tuples, and fail for some."""
        method = data.get("method")
        if isinstance(method, str) and method.startswith("lacuna/") and "id" in data:
            return JsonRPCRequestMessage(data["id"], method, data.get("jsonrpc", ""), data.get("params"))
        return super().structure_message(data)

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
