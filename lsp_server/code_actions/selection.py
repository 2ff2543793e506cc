"""Rewriting what is selected, and writing at the cursor."""

from __future__ import annotations

from collections.abc import Iterator

from engine.errors import LacunaError
from lsp_server.code_actions.offer import REWRITE_KIND, Offer, Place
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole, hole_from_selection
from lsp_server.markers import is_marker


def offers(place: Place) -> Iterator[Offer]:
    """Selections that can't be a hole are simply not offered, nor are markers, which are filled."""
    document, settings = place.document, place.settings
    selected = document.buffer.source[place.start : place.end].decode("utf-8").strip()
    try:
        if selected and not is_marker(selected, settings.marker):
            yield Offer("Rewrite the selection", REWRITE_KIND, FillRequest(document, (_hole(place),)))
        elif place.start == place.end and place.invoked and not place.here and not _is_offered(place):
            # Only when asked for: there is a cursor everywhere.
            yield Offer("Write code at the cursor", REWRITE_KIND, FillRequest(document, (_hole(place),)))
    except LacunaError:
        return


def _is_offered(place: Place) -> bool:
    """Whether `missing` offers to write at the cursor already."""
    return place.missing is not None and place.missing.hole.start == place.missing.hole.end == place.start


def _hole(place: Place) -> Hole:
    return hole_from_selection(place.document.buffer, place.document.tree, place.start, place.end, place.settings.max_tokens)
