"""Filling holes of an open document: the request as code actions and commands carry it, and its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass
from engine.passage import Wording
from lsp_server.documents import Document
from lsp_server.filling import Filling, fill_holes
from lsp_server.holes import Hole, in_order
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.postprocess import Rule, docstrings, type_annotations
from lsp_server.postprocess.new_names import NewNames
from lsp_server.progress import WorkDoneProgress
from lsp_server.request_log import current_request, without_quote
from lsp_server.scaffold import Frame, Scaffold

# What the holes are for. It decides which rules a fill must pass beside those for all code.
Purpose = Literal["code", "name", "types", "docstring"]


@dataclass(frozen=True)
class FillRequest:
    """Holes of one version of a document, to be filled jointly. `frames`: none, or one for each hole, and the holes are then in order."""

    document: Document
    holes: tuple[Hole, ...]
    purpose: Purpose = "code"
    frames: tuple[Frame, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """The request as JSON: document by URI and version; the holes' places are bytes.

        There is no null in it and no empty list: clients written in Lua lose the one, and may send the other back as an empty object.
        """
        data: dict[str, Any] = {"uri": self.document.uri, "version": self.document.version, "purpose": self.purpose}
        data["holes"] = [{name: value for name, value in asdict(hole).items() if value is not None} for hole in self.holes]
        if self.frames:
            data["frames"] = [asdict(frame) for frame in self.frames]
        return data

    @classmethod
    def from_data(cls, ls: LacunaServer, data: object) -> FillRequest:
        """The inverse of `to_data`, for data that a client sent back.

        Raises Stopped when the document is no longer open at that version, LacunaError for data of another shape.
        """
        match data:
            case {"uri": str(uri), "version": int(version), "purpose": purpose, "holes": [*holes], **rest} if purpose in get_args(Purpose):
                document = ls.documents.get(uri)
            case _:
                raise LacunaError("a fill request needs a uri, a version, a purpose and holes")
        frames = rest.get("frames", [])
        if not isinstance(frames, list) or len(frames) not in (0, len(holes)):
            raise LacunaError("the frames of a fill request are none, or one for each hole")
        if document is None:
            raise Stopped(StopReason.CLOSED)
        if document.version != version:
            raise Stopped(StopReason.MODIFIED)
        return cls(document, tuple(_hole(document, item) for item in holes), purpose, tuple(_frame(item) for item in frames))


def _hole(document: Document, data: object) -> Hole:
    match data:
        case {"start": int(start), "end": int(end), "kind": ("marker" | "selection" | "range") as kind, "budget": int(budget), **rest}:
            tie, wording = rest.get("tie"), rest.get("wording", Wording.ANY)
            placed = 0 <= start <= end <= len(document.buffer.source) and budget > 0
            if placed and (tie is None or isinstance(tie, str)) and isinstance(wording, str) and wording in tuple(Wording):
                return Hole(start, end, kind, budget, tie, Wording(wording))
    raise LacunaError(f"{data!r} is no hole of {document.uri}")


def _frame(data: object) -> Frame:
    match data:
        case {"before": str(before), "after": str(after)}:
            return Frame(before, after)
    raise LacunaError(f"{data!r} is no frame of a hole")


def _rules(request: FillRequest, marker: str) -> Mapping[str, Rule]:
    """What fills of this purpose must pass beside the rules for all."""
    document = request.document
    match request.purpose:
        case "types":
            return {"type_annotations": type_annotations.check}
        case "docstring":
            return {"docstrings": docstrings.check}
        case "name" if document.tree is not None:
            return {"new_names": NewNames(document.buffer, document.tree, in_order(document.buffer, request.holes, marker)).check}
    return {}


async def run_fill(ls: LacunaServer, request: FillRequest, token: types.ProgressToken | None = None, count: int | None = None) -> Filling:
    """Fill the request's holes in `count` ways (None: as many as the settings say), with progress under the client's `token` or our own.

    An older fill of the same document is stopped. The result has at least one candidate, and is kept in `recent_fills`.
    Raises Stopped, also when the text changed meanwhile, and LacunaError with the reason why there is no fill.
    """
    document, settings, others = request.document, ls.settings, ls.documents.others_of(request.document)
    options = settings.fill_options() if count is None else replace(settings.fill_options(), count=count)

    def work(infiller: Infiller, on_pass: OnPass) -> Filling:
        rules = _rules(request, settings.marker)
        if not request.frames:
            return fill_holes(document.buffer, document.tree, request.holes, infiller, options, on_pass, settings.marker, rules, others)
        holes = in_order(document.buffer, request.holes, settings.marker)
        scaffold = Scaffold.around(document.buffer, document.tree, holes, request.frames)
        filling = fill_holes(scaffold.buffer, scaffold.tree, scaffold.framed, infiller, options, on_pass, settings.marker, rules, others)
        return replace(filling, candidates=tuple(scaffold.taken_back(candidate) for candidate in filling.candidates))

    job = ls.inference.new_job("fill", document.uri)
    title = _title(request)
    async with WorkDoneProgress(ls, title, token, on_cancel=job.stop) as progress:
        filling = await ls.inference.run(job, work, progress.report)
    if not ls.documents.is_current(document):
        raise Stopped(StopReason.MODIFIED)
    if not filling.candidates:
        if (record := current_request()) is not None:
            record.unquoted = _why_nothing(tuple(map(without_quote, filling.refused)))
        raise LacunaError(_why_nothing(filling.refused))
    ls.recent_fills.remember(document, filling.candidates)
    ls.note(
        f"{title}: {filling.tokens} tokens in {filling.passes} passes, {filling.elapsed_ms:.0f} ms; "
        f"{filling.prompt_rows} prompt rows run, {filling.reused_rows} reused"
        + ("" if filling.exact else "; drawn among candidates, as the search for tied holes came to its limit")
    )
    return filling


def _title(request: FillRequest) -> str:
    match request.purpose:
        case "name":
            return "Looking for a better name"
        case "types":
            return "Annotating the function"
        case "docstring":
            return "Writing the docstring"
    return "Filling the hole" if len(request.holes) == 1 else f"Filling {len(request.holes)} holes"


def _why_nothing(refused: tuple[str, ...]) -> str:
    if not refused:
        return "the model has no fill for this place"
    reasons = "; ".join(f"{reason} ({count} of {len(refused)})" for reason, count in Counter(refused).most_common())
    return f"no fill was good enough to show: {reasons}"
