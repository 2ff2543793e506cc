"""Edits of a document as the protocol's `WorkspaceEdit`."""

from __future__ import annotations

from collections.abc import Sequence

from lsprotocol import types

from lsp_server.buffer import Unit
from lsp_server.documents import Document
from lsp_server.edits import Edit


def text_edits(document: Document, edits: Sequence[Edit], unit: Unit) -> list[types.TextEdit]:
    """The edits of a document as the protocol's, in the client's `unit`."""
    return [types.TextEdit(document.range(edit.start, edit.end, unit), edit.text) for edit in edits]


def workspace_edit(document: Document, edits: Sequence[Edit], unit: Unit, *, versioned: bool) -> types.WorkspaceEdit:
    """All `edits` of one document as one change. A `versioned` one names the version, so that an editor refuses it once its
    text has moved on; clients that don't know such edits get them without."""
    made = text_edits(document, edits, unit)
    if not versioned:
        return types.WorkspaceEdit(changes={document.uri: made})
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(identifier, made)])
