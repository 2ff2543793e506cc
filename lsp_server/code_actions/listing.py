"""textDocument/codeAction: the actions of all families at a place, without their edits."""

from __future__ import annotations

from collections.abc import Iterator

from lsprotocol import types

from lsp_server.code_actions import annotating, documenting, markers, missing, naming, selection
from lsp_server.code_actions.offer import FILL_FILE_KIND, FILL_KIND, REWRITE_KIND, Kind, Offer, Place, Refusal
from lsp_server.commands import CHOOSE_FILL, FILL
from lsp_server.language_server import LacunaServer
from lsp_server.recent_fills import describe
from lsp_server.workspace_edits import workspace_edit

OPTIONS = types.CodeActionOptions(code_action_kinds=[FILL_KIND, REWRITE_KIND, FILL_FILE_KIND], resolve_provider=True)

# In the order in which a menu shows them.
_FAMILIES = (markers.offers, missing.offers, selection.offers, naming.offers, annotating.offers, documenting.offers)


def list_code_actions(ls: LacunaServer, params: types.CodeActionParams) -> list[types.CodeAction | types.Command]:
    """What can be done at the range, likeliest wish first. Documents that aren't open have nothing to offer."""
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return []
    start, end = document.offsets(params.range, ls.unit)
    invoked = params.context.trigger_kind != types.CodeActionTriggerKind.Automatic
    only = params.context.only
    source = any(_is_within(kind, types.CodeActionKind.Source) for kind in only or ())
    place = Place(document, start, end, ls.settings, invoked, source)
    offers = (offer for family in _FAMILIES for offer in family(place))
    if not ls.abilities.action_literals:
        return [_command(offer) for offer in offers if isinstance(offer, Offer)]
    actions = [*_ready_actions(ls, place), *(action for offer in offers for action in _actions(ls, offer))]
    return [action for action in actions if not only or any(_is_within(action.kind or "", kind) for kind in only)]


def _is_within(kind: Kind, wanted: Kind) -> bool:
    """Kinds are a tree with dots: `refactor` asks for `refactor.rewrite` too, and the empty kind for all."""
    name, whole = _kind_name(kind), _kind_name(wanted)
    return not whole or name == whole or name.startswith(f"{whole}.")


def _kind_name(kind: Kind) -> str:
    return kind.value if isinstance(kind, types.CodeActionKind) else kind


def _command(offer: Offer) -> types.Command:
    return types.Command(offer.title, CHOOSE_FILL if offer.chosen else FILL, arguments=[offer.request.to_data()])


def _actions(ls: LacunaServer, offer: Offer | Refusal) -> Iterator[types.CodeAction]:
    if isinstance(offer, Refusal):
        if ls.abilities.disabled_actions:
            yield types.CodeAction(offer.title, offer.kind, disabled=types.CodeActionDisabled(offer.reason))
        return
    action = types.CodeAction(offer.title, offer.kind, is_preferred=offer.preferred or None)
    if offer.chosen or not ls.abilities.resolves_edits:
        action.command = _command(offer)
    else:
        action.data = offer.request.to_data()
    yield action


def _ready_actions(ls: LacunaServer, place: Place) -> Iterator[types.CodeAction]:
    """The alternatives that are known already, with their edits."""
    for alternative in ls.recent_fills.alternatives(place.document, place.start, place.end):
        verb = "Use instead" if alternative.replaces else "Fill with"
        kind = REWRITE_KIND if alternative.replaces else FILL_KIND
        edit = workspace_edit(place.document, alternative.edits, ls.unit, versioned=ls.abilities.document_changes)
        yield types.CodeAction(f"{verb}: {describe(alternative.candidate)}", kind, edit=edit)
