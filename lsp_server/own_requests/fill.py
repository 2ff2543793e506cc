"""lacuna/fill: several places filled jointly, with all alternatives. Code actions can't ask that: they know one range alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from lsp_server.candidate import Candidate
from lsp_server.cursor_holes import hole_at_cursor
from lsp_server.documents import Document
from lsp_server.fill_request import FillRequest, run_fill
from lsp_server.filling import Filling
from lsp_server.holes import Hole, find_markers, hole_from_selection
from lsp_server.language_server import LacunaServer
from lsp_server.own_requests.params import open_document, progress_token, ranges, whole_number
from lsp_server.recent_fills import preview
from lsp_server.refusals import refusals
from lsp_server.workspace_edits import text_edits

FILL = "lacuna/fill"


@dataclass(frozen=True)
class FillParams:
    """Fill `ranges` of `document`, all its markers where there are none, in `count` ways (None: as many as the settings say)."""

    document: Document
    ranges: tuple[types.Range, ...]
    count: int | None
    token: types.ProgressToken | None

    @classmethod
    def parse(cls, ls: LacunaServer, params: object) -> FillParams:
        """Raises LacunaError for params of another shape, Stopped where the document has another version."""
        document, values = open_document(ls, FILL, params)
        return cls(document, ranges(FILL, values), whole_number(FILL, values, "count"), progress_token(FILL, values))


@dataclass(frozen=True)
class FillResult:
    """The fills of `document`, as positions in the client's `unit`."""

    document: Document
    filling: Filling
    edits: tuple[list[types.TextEdit], ...]

    def as_json(self) -> dict[str, Any]:
        """The result as it is sent."""
        alternatives = [_alternative(*pair) for pair in zip(self.filling.candidates, self.edits, strict=True)]
        return {
            "version": self.document.version,
            "alternatives": alternatives,
            "refused": list(self.filling.refused),
            "exact": self.filling.exact,
            "passes": self.filling.passes,
            "milliseconds": self.filling.elapsed_ms,
        }


def _alternative(candidate: Candidate, edits: list[types.TextEdit]) -> dict[str, Any]:
    return {
        "edits": edits,
        "texts": [edit.text for edit in candidate.edits],
        "preview": preview(candidate),
        "logLikelihood": candidate.logprob,
        "bitsPerToken": candidate.bits_per_token,
        "tokens": candidate.tokens,
        "mended": list(candidate.mended),
    }


async def fill(ls: LacunaServer, params: object) -> dict[str, Any]:
    """Fill what was asked for; the alternatives can then also be had as code actions at the holes."""
    with refusals(ls, "the fill"):
        asked = FillParams.parse(ls, params)
        request = FillRequest(asked.document, _holes(ls, asked))
        filling = await run_fill(ls, request, asked.token, asked.count)
        edits = tuple(text_edits(asked.document, candidate.edits, ls.unit) for candidate in filling.candidates)
        return FillResult(asked.document, filling, edits).as_json()


def _holes(ls: LacunaServer, asked: FillParams) -> tuple[Hole, ...]:
    """The holes that the ranges mean: the markers that one touches, with all that are tied to them, else what it selects, or what is
    missing at the cursor that it is."""
    document, settings = asked.document, ls.settings
    markers = find_markers(document.buffer, document.tree, settings.marker, settings.max_tokens)
    if not asked.ranges:
        return markers
    holes: dict[Hole, None] = {}
    for range_ in asked.ranges:
        start, end = document.offsets(range_, ls.unit)
        touched = [hole for hole in markers if hole.start <= end and start <= hole.end]
        ties = {hole.tie for hole in touched if hole.tie is not None}
        touched += [hole for hole in markers if hole.tie in ties]
        holes |= dict.fromkeys(touched or [_hole(document, start, end, settings.max_tokens)])
    return tuple(holes)


def _hole(document: Document, start: int, end: int, max_tokens: int | None) -> Hole:
    missing = hole_at_cursor(document.buffer, document.tree, start, max_tokens) if start == end else None
    return missing.hole if missing is not None else hole_from_selection(document.buffer, document.tree, start, end, max_tokens)
