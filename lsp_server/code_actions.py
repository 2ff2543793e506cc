"""textDocument/codeAction and codeAction/resolve: fills offered where the cursor or the selection is.

Listing never touches the model, since editors ask for it at every move of the cursor. A fill is computed when the user picks
an action: in `codeAction/resolve`, or, for clients that can't resolve an edit, in the command that the action carries. A title
is fixed when it is listed, so previews and likelihoods appear in it once they are known: in the answer to the resolve request,
and for each alternative in every later listing at that place, before one is applied or after (see `recent_fills`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsprotocol import types

from engine.errors import LacunaError
from lsp_server.commands import CHOOSE_FILL, FILL
from lsp_server.documents import Document
from lsp_server.fill_request import FillRequest, run_fill
from lsp_server.holes import Hole, find_markers, hole_from_selection
from lsp_server.language_server import LacunaServer
from lsp_server.recent_fills import describe
from lsp_server.refusals import refusals
from lsp_server.workspace_edits import workspace_edit

FILL_KIND = types.CodeActionKind.QuickFix
REWRITE_KIND = types.CodeActionKind.RefactorRewrite

OPTIONS = types.CodeActionOptions(code_action_kinds=[FILL_KIND, REWRITE_KIND], resolve_provider=True)


@dataclass(frozen=True)
class Offer:
    """Holes that may be filled, and how the menu calls that. `chosen`: the user picks among the alternatives."""

    title: str
    kind: types.CodeActionKind
    holes: tuple[Hole, ...]
    preferred: bool = False
    chosen: bool = False


def list_code_actions(ls: LacunaServer, params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
    """What can be filled at the range, likeliest wish first. Documents that aren't open have nothing to offer."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return []
    start, end = document.offsets(params.range, ls.unit)
    invoked = params.context.trigger_kind != types.CodeActionTriggerKind.Automatic
    if not ls.abilities.action_literals:
        return [_command(document, offer) for offer in _offers(ls, document, start, end, invoked)]
    actions = [*_ready_actions(ls, document, start, end)]
    actions += [_action(ls, document, offer) for offer in _offers(ls, document, start, end, invoked)]
    return [action for action in actions if _wanted(action.kind, params.context.only)]


def _wanted(kind: types.CodeActionKind | str | None, only: Sequence[types.CodeActionKind | str] | None) -> bool:
    """Kinds are a tree with dots: `refactor` asks for `refactor.rewrite` too."""
    name = _kind_name(kind or "")
    return not only or any(name == (wanted := _kind_name(asked)) or name.startswith(f"{wanted}.") or not wanted for asked in only)


def _kind_name(kind: types.CodeActionKind | str) -> str:
    return kind.value if isinstance(kind, types.CodeActionKind) else kind


def _offers(ls: LacunaServer, document: Document, start: int, end: int, invoked: bool) -> Iterator[Offer]:
    settings = ls.settings
    markers = find_markers(document.buffer, document.tree, settings.marker, settings.max_tokens)
    here = _markers_at(document, markers, start, end)
    if len(here) == 1:
        yield Offer("Fill this hole", FILL_KIND, here, preferred=True)
        if settings.alternatives > 1 and settings.temperature > 0:
            yield Offer("Fill this hole: choose among alternatives…", FILL_KIND, here, chosen=True)
    elif 1 < len(here) < len(markers):
        yield Offer(f"Fill the {len(here)} holes in the selection", FILL_KIND, here, preferred=True)
    if len(markers) > 1:
        yield Offer(f"Fill all {len(markers)} holes in this file", FILL_KIND, markers)
    selected = document.buffer.source[start:end].strip()
    try:
        if selected and selected != settings.marker.encode():
            hole = hole_from_selection(document.buffer, document.tree, start, end, settings.max_tokens)
            yield Offer("Rewrite the selection", REWRITE_KIND, (hole,))
        elif start == end and not here and invoked:
            # Only when asked for: there is a cursor everywhere, and a light bulb at each place would be noise.
            hole = hole_from_selection(document.buffer, document.tree, start, end, settings.max_tokens)
            yield Offer("Write code at the cursor", REWRITE_KIND, (hole,))
    except LacunaError:
        # A selection that can't be a hole is simply not offered.
        return


def _markers_at(document: Document, markers: tuple[Hole, ...], start: int, end: int) -> tuple[Hole, ...]:
    """The markers that the selection touches; for a bare cursor that touches none, the marker of its line if it is the only one."""
    touched = tuple(hole for hole in markers if hole.start <= end and start <= hole.end)
    if touched or start != end:
        return touched
    line = document.buffer.line_at(start)
    of_line = tuple(hole for hole in markers if document.buffer.line_at(hole.start) == line)
    return of_line if len(of_line) == 1 else ()


def _command(document: Document, offer: Offer) -> types.Command:
    data = FillRequest(document, offer.holes).to_data()
    return types.Command(offer.title, CHOOSE_FILL if offer.chosen else FILL, arguments=[data])


def _action(ls: LacunaServer, document: Document, offer: Offer) -> types.CodeAction:
    action = types.CodeAction(offer.title, offer.kind, is_preferred=offer.preferred or None)
    if offer.chosen or not ls.abilities.resolves_edits:
        action.command = _command(document, offer)
    else:
        action.data = FillRequest(document, offer.holes).to_data()
    return action


def _ready_actions(ls: LacunaServer, document: Document, start: int, end: int) -> Iterator[types.CodeAction]:
    """The alternatives that are known already, with their edits."""
    for alternative in ls.recent_fills.alternatives(document, start, end):
        verb = "Use instead" if alternative.replaces else "Fill with"
        kind = REWRITE_KIND if alternative.replaces else FILL_KIND
        edit = workspace_edit(document, alternative.edits, ls.unit, versioned=ls.abilities.document_changes)
        yield types.CodeAction(f"{verb}: {describe(alternative.candidate)}", kind, edit=edit)


async def resolve_code_action(ls: LacunaServer, action: types.CodeAction) -> types.CodeAction:
    """Compute a listed action's edit: the likeliest fill. Its title then tells the fill and its likelihood.

    An action for an older text is answered with ContentModified, one without a presentable fill with RequestFailed and the reason.
    """
    if action.data is None:
        return action
    with refusals(ls, "the fill"):
        request = FillRequest.from_data(ls, action.data)
        filling = await run_fill(ls, request)
        best = filling.candidates[0]
        action.edit = workspace_edit(request.document, best.edits, ls.unit, versioned=ls.abilities.document_changes)
        action.title = f"{action.title}: {describe(best)}"
    return action
