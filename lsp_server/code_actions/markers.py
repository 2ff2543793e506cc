"""Filling the holes that stand in the text: this one, those of the selection, of the function around it, and of the file."""

from __future__ import annotations

from collections.abc import Iterator

from lsp_server.code_actions.definitions import definitions_around, name_of
from lsp_server.code_actions.offer import FILL_FILE_KIND, FILL_KIND, Offer, Place
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole


def offers(place: Place) -> Iterator[Offer]:
    """The smaller the part of the file, the earlier; no two for the same holes."""
    settings, markers, here = place.settings, place.markers, place.here
    if len(here) == 1:
        request = FillRequest(place.document, here)
        yield Offer("Fill this hole", FILL_KIND, request, preferred=True)
        if settings.alternatives > 1 and settings.temperature > 0:
            yield Offer("Fill this hole: choose among alternatives…", FILL_KIND, request, chosen=True)
    elif 1 < len(here) < len(markers):
        yield Offer(f"Fill the {len(here)} holes in the selection", FILL_KIND, FillRequest(place.document, here), preferred=True)
    around = _of_definition(place)
    if around is not None and around[1] != here:
        name, inside = around
        yield Offer(f"Fill the {len(inside)} holes of {name}", FILL_KIND, FillRequest(place.document, inside))
    if len(markers) > 1:
        yield Offer(f"Fill all {len(markers)} holes in this file", FILL_KIND, FillRequest(place.document, markers))
    if markers and place.source:
        yield Offer("Fill all holes in this file", FILL_FILE_KIND, FillRequest(place.document, markers))


def _of_definition(place: Place) -> tuple[str, tuple[Hole, ...]] | None:
    """The name and the markers of the smallest definition around the place that has several, but not all of the file's."""
    tree = place.document.tree
    for definition in definitions_around(tree, *place.anchor) if tree is not None and len(place.markers) > 2 else ():
        inside = tuple(hole for hole in place.markers if definition.start_byte <= hole.start and hole.end <= definition.end_byte)
        if 1 < len(inside) < len(place.markers):
            return name_of(definition), inside
    return None
