"""lacuna/holes: where a document's markers are, for marks beside the lines and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lsp_server.holes import find_markers
from lsp_server.language_server import LacunaServer
from lsp_server.own_requests.params import open_document
from lsp_server.refusals import refusals

HOLES = "lacuna/holes"


@dataclass(frozen=True)
class HolePlace:
    """A hole. Those with the same `tie` get one text; None: tied to no other."""

    range: types.Range
    kind: str
    tie: str | None


@dataclass(frozen=True)
class HolesResult:
    """The markers of a document at `version`, in the order of the text; `marker` is the word that they are."""

    version: int
    marker: str
    holes: tuple[HolePlace, ...]

    def as_json(self) -> dict[str, Any]:
        """The result as it is sent; a tie that is None is left out."""
        holes = [{"range": hole.range, "kind": hole.kind} | ({} if hole.tie is None else {"tie": hole.tie}) for hole in self.holes]
        return {"version": self.version, "marker": self.marker, "holes": holes}


async def holes(ls: LacunaServer, params: object) -> dict[str, Any]:
    """Find the markers; the model isn't asked."""
    with refusals(ls):
        document, _ = open_document(ls, HOLES, params)
        markers = find_markers(document.buffer, document.tree, ls.settings.marker, ls.settings.max_tokens)
        places = tuple(HolePlace(document.range(hole.start, hole.end, ls.unit), hole.kind, hole.tie) for hole in markers)
        return HolesResult(document.version, ls.settings.marker, places).as_json()
