"""Reading the params of our own requests: plain JSON, of which nothing is guessed. Names that aren't known are passed over."""

from __future__ import annotations

from collections.abc import Mapping

from lsprotocol import types

from engine.errors import LacunaError
from lsp_server.documents import Document
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer


def open_document(ls: LacunaServer, method: str, params: object) -> tuple[Document, Mapping[object, object]]:
    """The document that `params.textDocument.uri` names, and the params.

    Raises LacunaError for params of another shape or a document that isn't open, Stopped where `params.version` is there and is
    not the document's.
    """
    values = params if isinstance(params, Mapping) else {}
    match values.get("textDocument"):
        case {"uri": str(uri)}:
            document = ls.documents.get(uri)
        case _:
            raise LacunaError(f"the params of {method} must have a textDocument with a uri")
    if document is None:
        raise LacunaError(f"{uri} is not open")
    version = whole_number(method, values, "version")
    if version is not None and version != document.version:
        raise Stopped(StopReason.MODIFIED)
    return document, values


def whole_number(method: str, params: Mapping[object, object], name: str) -> int | None:
    """A number that may be left out. Raises LacunaError where it is something else."""
    value = params.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise LacunaError(f"{name} in the params of {method} must be a whole number, not {value!r}")


def ranges(method: str, params: Mapping[object, object]) -> tuple[types.Range, ...]:
    """The list of ranges under `ranges`, none where it is left out. Raises LacunaError where one has another shape."""
    values = params.get("ranges")
    if values is None:
        return ()
    if not isinstance(values, list):
        raise LacunaError(f"ranges in the params of {method} must be a list")
    return tuple(_range(method, value) for value in values)


def _range(method: str, value: object) -> types.Range:
    match value:
        case {"start": {"line": int(line), "character": int(character)}, "end": {"line": int(last), "character": int(end)}}:
            if min(line, character, last, end) >= 0:
                return types.Range(types.Position(line, character), types.Position(last, end))
    raise LacunaError(f"{value!r} in the params of {method} is no range")


def one_range(method: str, params: Mapping[object, object]) -> types.Range | None:
    """The range under `range`, None where it is left out. Raises LacunaError where it has another shape."""
    value = params.get("range")
    return None if value is None else _range(method, value)


def progress_token(method: str, params: Mapping[object, object], name: str = "workDoneToken") -> types.ProgressToken | None:
    """The token under which the client wants to hear of progress, None where it doesn't. Raises LacunaError for another value."""
    value = params.get(name)
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    raise LacunaError(f"{name} in the params of {method} must be a text or a whole number, not {value!r}")
