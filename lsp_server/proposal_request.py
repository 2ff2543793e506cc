"""Asking for proposals at a cursor while somebody types: newer requests overtake older ones, and what is known needs no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass
from lsp_server.documents import Document
from lsp_server.extent import extent_at
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.markers import touches_marker
from lsp_server.proposals import Place, Proposal, Proposals, propose
from lsp_server.request_log import without_quote


@dataclass(frozen=True)
class ProposalRequest:
    """A wish for `count` proposals at `place`, which is in `document` or in what it will be once a menu's item is chosen.

    `kind` is the feature: requests of one overtake each other, and the log calls them so. `typed`: nobody asked, the editor did because
    somebody types. Then what is known is served, the delay of the settings passes first, so that fast typing wakes no model,
    and what is too unlikely is kept back.
    """

    kind: Literal["inline", "completion"]
    document: Document
    place: Place
    count: int
    typed: bool


async def proposals_for(ls: LacunaServer, request: ProposalRequest) -> tuple[Proposal, ...]:
    """The proposals, the likeliest first. None come, and the log has the reason, where the model has no fit one or is not ready for who
    types, or where the answer would come too late: a newer request of the kind or a change of the document makes it worthless.

    A single proposal is the likeliest text token by token (temperature 0): the same each time, so that it stays while one types on.
    Several are drawn by the settings.
    """
    document = request.document
    with ls.turns.take(f"{request.kind} {document.uri}") as turn:
        # Also stops the older request's work, even where this one will not need the model.
        job = ls.inference.new_job(request.kind, document.uri)
        if _at_marker(request.place, ls.settings.marker):
            ls.note(f"{request.kind}: nothing, a hole's marker stands here")
            return ()
        if request.typed:
            if known := _likely(ls, request, ls.proposals.recall(document.uri, request.place)):
                ls.note(f"{request.kind}: from the cache")
                return known[: request.count]
            await turn.wait(ls.settings.inline_delay_ms / 1000)
        reason = _why_not(ls, request, replaced=turn.is_over)
        if reason is not None:
            ls.note(f"{request.kind}: {reason}")
            return ()
        try:
            proposals = await ls.inference.run(job, _work(ls, request))
        except Stopped as stop:
            ls.note(f"{request.kind}: dropped, {stop}")
            return ()
        except LacunaError as error:
            ls.note(f"{request.kind}: {error}", types.MessageType.Warning)
            return ()
    if (stale := _staleness(ls, document)) is not None:
        ls.note(f"{request.kind}: {stale}")
        return ()
    return _told(ls, request, proposals)


def _at_marker(place: Place, marker: str) -> bool:
    """Whether the cursor stands in a hole's marker or touches it: a hole is filled by an action, and not written on."""
    return touches_marker(place.buffer.source, place.offset, marker)


def _why_not(ls: LacunaServer, request: ProposalRequest, *, replaced: bool) -> str | None:
    """Why the model is not asked after all; None where it is."""
    if replaced:
        return f"dropped, {StopReason.REPLACED.value}"
    if (stale := _staleness(ls, request.document)) is not None:
        return stale
    if not ls.inference.ready:
        ls.inference.wake()
        # Who asked waits for the model; who just types has gone on by then.
        if ls.inference.failure is not None or request.typed:
            return str(ls.inference.failure or "nothing yet, the model is still loading")
    return None


def _staleness(ls: LacunaServer, document: Document) -> str | None:
    """Why an answer for this version of a document comes too late; None where it doesn't."""
    if ls.documents.is_current(document):
        return None
    reason = StopReason.CLOSED if ls.documents.get(document.uri) is None else StopReason.MODIFIED
    return f"dropped, {reason.value}"


def _work(ls: LacunaServer, request: ProposalRequest) -> Callable[[Infiller, OnPass], Proposals]:
    settings, place, others = ls.settings, request.place, ls.documents.others_of(request.document)
    options = replace(settings.fill_options(), count=request.count, temperature=0.0 if request.count == 1 else settings.temperature)

    def work(infiller: Infiller, on_pass: OnPass) -> Proposals:
        extent = extent_at(place.buffer, place.tree, place.offset)
        return propose(place, extent, infiller, options, on_pass, settings.marker, others)

    return work


def _told(ls: LacunaServer, request: ProposalRequest, proposals: Proposals) -> tuple[Proposal, ...]:
    """Those of the proposals that are shown, after a word to the log."""
    cost = (
        f"{proposals.passes} passes, {proposals.elapsed_ms:.0f} ms; {proposals.prompt_rows} prompt rows run, {proposals.reused_rows} reused"
    )
    likely = _likely(ls, request, proposals.found)
    ls.proposals.remember(request.document.uri, request.place, likely)
    if likely:
        best = likely[0]
        ls.note(f"{request.kind}: {best.tokens} tokens, mean token probability {best.mean_probability:.2f}; {cost}")
    elif proposals.found:
        best = proposals.found[0]
        least = ls.settings.inline_min_probability
        ls.note(f"{request.kind}: suppressed, mean token probability {best.mean_probability:.2f} < {least:g}; {cost}")
    else:
        ls.note(f"{request.kind}: nothing, {without_quote(proposals.refused[0])}; {cost}")
    return likely


def _likely(ls: LacunaServer, request: ProposalRequest, proposals: tuple[Proposal, ...]) -> tuple[Proposal, ...]:
    """Those that are likely enough to be shown unasked; all of them where somebody asked."""
    least = ls.settings.inline_min_probability if request.typed else 0.0
    return tuple(proposal for proposal in proposals if proposal.mean_probability >= least)
