"""Suggesting a better name: all occurrences of one binding are filled with one text."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import LacunaError
from engine.passage import Wording
from lsp_server.bindings import identifier_at, occurrences
from lsp_server.code_actions.offer import REWRITE_KIND, Offer, Place, Refusal
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole
from lsp_server.languages import table_of_tree

NAME_BUDGET = 8
# The model reads all of them, and how well a name suits them grows no more after so many.
MOST_OCCURRENCES = 32


def offers(place: Place) -> Iterator[Offer | Refusal]:
    """Only when asked for, and for a bare cursor or a selection inside one name."""
    document, tree = place.document, place.document.tree
    if tree is None or not place.invoked or not table_of_tree(tree).scopes:
        return
    name = identifier_at(tree, place.start)
    if name is None or place.end > name.end_byte or name.text == place.settings.marker.encode():
        return
    title = f"Suggest a better name for {(name.text or b'').decode('utf-8', 'replace')} in this file"
    try:
        found = occurrences(tree, document.buffer.source, name.start_byte)
    except LacunaError as error:
        yield Refusal(title, REWRITE_KIND, str(error))
        return
    if len(found) > MOST_OCCURRENCES:
        yield Refusal(title, REWRITE_KIND, f"it stands at {len(found)} places; at most {MOST_OCCURRENCES} are renamed at once")
        return
    budget = min(place.settings.max_tokens or NAME_BUDGET, NAME_BUDGET)
    holes = tuple(Hole(start, end, "range", budget, tie="name", wording=Wording.WORD) for start, end in found)
    yield Offer(title, REWRITE_KIND, FillRequest(document, holes, "name"))
