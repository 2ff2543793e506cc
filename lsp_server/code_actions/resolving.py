"""codeAction/resolve: the edit of an action that was picked."""

from __future__ import annotations

from lsprotocol import types

from lsp_server.fill_request import FillRequest, run_fill
from lsp_server.language_server import LacunaServer
from lsp_server.recent_fills import describe
from lsp_server.refusals import refusals
from lsp_server.workspace_edits import workspace_edit


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
