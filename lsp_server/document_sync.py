"""textDocument/didOpen, didChange, didClose: the open documents kept in step with the editor."""

from __future__ import annotations

import logging

from lsprotocol import types

from lsp_server.documents import Document
from lsp_server.inference import StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.surprise_hints import renew_hints, withdraw_hints

log = logging.getLogger(__name__)


def did_open(ls: LacunaServer, params: types.DidOpenTextDocumentParams) -> None:
    """A document comes in whole. The first one wakes the model: it is about to be needed."""
    ls.inference.stop_jobs(params.text_document.uri, StopReason.MODIFIED)
    ls.documents.put(document := Document.opened(params.text_document))
    ls.inference.wake()
    renew_hints(ls, document)


def did_change(ls: LacunaServer, params: types.DidChangeTextDocumentParams) -> None:
    """Edits come in. What is being computed for the older text is stopped: nobody may apply it any more."""
    uri = params.text_document.uri
    document = ls.documents.get(uri)
    if document is None:
        log.warning("changes of %s, which is not open, are ignored", uri)
        return
    ls.inference.stop_jobs(uri, StopReason.MODIFIED)
    ls.documents.put(changed := document.changed(params.text_document.version, params.content_changes, ls.unit))
    renew_hints(ls, changed)


def did_close(ls: LacunaServer, params: types.DidCloseTextDocumentParams) -> None:
    """A document goes, and with it all that was computed for it."""
    uri = params.text_document.uri
    ls.forget(uri, StopReason.CLOSED)
    withdraw_hints(ls, uri)
