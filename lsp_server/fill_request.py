"""Filling holes of an open document: the request as code actions and commands carry it, and its run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass
from lsp_server.documents import Document
from lsp_server.filling import Filling, fill_holes
from lsp_server.holes import Hole
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.progress import WorkDoneProgress


@dataclass(frozen=True)
class FillRequest:
    """Holes of one version of a document, to be filled jointly."""

    document: Document
    holes: tuple[Hole, ...]

    def to_data(self) -> dict[str, Any]:
        """The request as JSON: document by URI and version, each hole as [start, end, kind, budget] in bytes."""
        holes = [[hole.start, hole.end, hole.kind, hole.budget] for hole in self.holes]
        return {"uri": self.document.uri, "version": self.document.version, "holes": holes}

    @classmethod
    def from_data(cls, ls: LacunaServer, data: object) -> FillRequest:
        """The inverse of `to_data`, for data that a client sent back.

        Raises Stopped when the document is no longer open at that version, LacunaError for data of another shape.
        """
        match data:
            case {"uri": str(uri), "version": int(version), "holes": [*listed]}:
                document = ls.documents.get(uri)
            case _:
                raise LacunaError("a fill request needs a uri, a version and holes")
        if document is None:
            raise Stopped(StopReason.CLOSED)
        if document.version != version:
            raise Stopped(StopReason.MODIFIED)
        return cls(document, tuple(_hole(document, item) for item in listed))


def _hole(document: Document, data: object) -> Hole:
    match data:
        case [int(start), int(end), ("marker" | "selection" | "range") as kind, int(budget)] if (
            0 <= start <= end <= len(document.buffer.source) and budget > 0
        ):
            return Hole(start, end, kind, budget)
    raise LacunaError(f"{data!r} is no hole of {document.uri}")


async def run_fill(ls: LacunaServer, request: FillRequest, token: types.ProgressToken | None = None) -> Filling:
    """Fill the request's holes, with progress shown under the client's `token` or one of our own.

    An older fill of the same document is stopped. The result has at least one candidate, and is kept in `recent_fills`.
    Raises Stopped, also when the text changed meanwhile, and LacunaError with the reason why there is no fill.
    """
    document, settings = request.document, ls.settings

    def work(infiller: Infiller, on_pass: OnPass) -> Filling:
        options = settings.fill_options()
        return fill_holes(document.buffer, document.tree, request.holes, infiller, options, on_pass, settings.marker)

    job = ls.inference.new_job("fill", document.uri)
    title = "Filling the hole" if len(request.holes) == 1 else f"Filling {len(request.holes)} holes"
    async with WorkDoneProgress(ls, title, token, on_cancel=job.stop) as progress:
        filling = await ls.inference.run(job, work, progress.report)
    if not ls.documents.is_current(document):
        raise Stopped(StopReason.MODIFIED)
    if not filling.candidates:
        raise LacunaError(_why_nothing(filling.refused))
    ls.recent_fills.remember(document, filling.candidates)
    ls.note(
        f"{title}: {filling.tokens} tokens in {filling.passes} passes, {filling.elapsed_ms:.0f} ms; "
        f"{filling.prompt_rows} prompt rows run, {filling.reused_rows} reused"
    )
    return filling


def _why_nothing(refused: tuple[str, ...]) -> str:
    if not refused:
        return "the model has no fill for this place"
    reasons = "; ".join(f"{reason} ({count} of {len(refused)})" for reason, count in Counter(refused).most_common())
    return f"no fill was good enough to show: {reasons}"
