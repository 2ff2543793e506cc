"""Hints where the code of a document is least expected: diagnostics of the lowest severity, if the settings want them.

They are renewed once an edit has settled. Comments and strings get none, since prose is surprising nearly everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import ignore_progress
from lsp_server.documents import Document
from lsp_server.holes import find_markers, is_text
from lsp_server.inference import Stopped
from lsp_server.language_server import LacunaServer
from lsp_server.likelihood_text import code, surface, visible, wanted
from lsp_server.own_requests.surprise_map import scored_chunks
from lsp_server.scoring import ScoredToken, range_at
from lsp_server.statements import Span

SETTLE_SECONDS = 1.0
MOST_HINTS = 20
SOURCE = "lacuna"


@dataclass(frozen=True)
class SurprisingNode:
    """Bytes `start` to `end`, and the token in them that surprises most."""

    start: int
    end: int
    token: ScoredToken


def renew_hints(ls: LacunaServer, document: Document) -> None:
    """Make the document's hints anew after a pause, or take them away where the settings don't want any."""
    task = ls.hint_tasks.pop(document.uri, None)
    if task is not None:
        task.cancel()
    if ls.settings.surprise_hints:
        ls.hint_tasks[document.uri] = asyncio.create_task(_hint(ls, document))
    elif task is not None:
        _publish(ls, document, ())


def renew_all_hints(ls: LacunaServer) -> None:
    """Do so for all documents, after a change of the settings."""
    for document in ls.documents:
        renew_hints(ls, document)


def withdraw_hints(ls: LacunaServer, uri: str) -> None:
    """Take away the hints of a document that was closed."""
    task = ls.hint_tasks.pop(uri, None)
    if task is not None:
        task.cancel()
        ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))


async def _hint(ls: LacunaServer, document: Document) -> None:
    await asyncio.sleep(SETTLE_SECONDS)
    job = ls.inference.new_job("surprise hints", document.uri)
    tokens: list[ScoredToken] = []
    try:
        async for scored in scored_chunks(ls, document, 0, len(document.buffer.source), job, ignore_progress):
            tokens += scored
    except Stopped:
        # The change that stopped it has set off the next one.
        return
    except LacunaError as error:
        ls.note(f"surprise hints: {error}", types.MessageType.Warning)
        return
    if ls.documents.is_current(document):
        _publish(ls, document, surprising_nodes(document, tokens, ls.settings.surprise_hint_bits, ls.settings.marker))


def surprising_nodes(document: Document, tokens: Iterable[ScoredToken], least_bits: float, marker: str) -> tuple[SurprisingNode, ...]:
    """The smallest nodes of code that hold tokens of at least `least_bits`, in the order of the text; of more than MOST_HINTS the
    most surprising. Holes' markers are left out, as they are no code."""
    markers = [(hole.start, hole.end) for hole in find_markers(document.buffer, document.tree, marker)]
    found: dict[Span, SurprisingNode] = {}
    for token in sorted(tokens, key=lambda token: -token.bits):
        if token.bits < least_bits or len(found) == MOST_HINTS:
            break
        place = _node(document, token)
        if place is not None and not any(place[0] < end and start < place[1] for start, end in markers):
            found.setdefault(place, SurprisingNode(*place, token))
    return tuple(sorted(found.values(), key=lambda node: node.start))


def _node(document: Document, token: ScoredToken) -> Span | None:
    """The node that holds the token's first visible byte, on one line; None for white space and prose."""
    buffer, tree = document.buffer, document.tree
    text = buffer.source[token.start : token.end]
    start = buffer.settle(token.start + len(text) - len(text.lstrip()))
    if not text.strip() or (tree is not None and is_text(tree, start, token.end)):
        return None
    place = range_at(buffer, tree, start)
    return place if place is None or buffer.line_at(place[0]) == buffer.line_at(place[1]) else None


def _publish(ls: LacunaServer, document: Document, nodes: Iterable[SurprisingNode]) -> None:
    hints = [
        types.Diagnostic(
            document.range(node.start, node.end, ls.unit),
            _message(document, node),
            severity=types.DiagnosticSeverity.Hint,
            source=SOURCE,
            code="surprise",
        )
        for node in nodes
    ]
    ls.text_document_publish_diagnostics(types.PublishDiagnosticsParams(document.uri, hints, version=document.version))


def _message(document: Document, node: SurprisingNode) -> str:
    token = node.token
    place = code(visible(surface(document.buffer, token)), markdown=False)
    return f"unexpected: {place} takes {token.bits:.1f} bits, rank {token.rank:,}; expected {wanted(token, markdown=False)}"
