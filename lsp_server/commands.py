"""workspace/executeCommand: fills for clients that can't resolve a code action's edit, and the choice among alternatives."""

from __future__ import annotations

import asyncio

from lsprotocol import types

from engine.errors import LacunaError
from lsp_server.candidate import Candidate
from lsp_server.fill_request import FillRequest, run_fill
from lsp_server.inference import Stopped, StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.recent_fills import describe
from lsp_server.refusals import refusals
from lsp_server.workspace_edits import workspace_edit

FILL = "lacuna.fill"
CHOOSE_FILL = "lacuna.chooseFill"


async def fill(ls: LacunaServer, params: types.ExecuteCommandParams) -> None:
    """Fill the holes of the first argument (see `FillRequest.to_data`) and apply the likeliest fill."""
    with refusals(ls, "the fill"):
        request = _request(ls, params)
        filling = await run_fill(ls, request, params.work_done_token)
        await _apply(ls, request, filling.candidates[0])


async def choose_fill(ls: LacunaServer, params: types.ExecuteCommandParams) -> None:
    """Fill as `fill` does, but let the user choose among the alternatives; nothing is applied where none is chosen."""
    with refusals(ls, "the fill"):
        request = _request(ls, params)
        filling = await run_fill(ls, request, params.work_done_token)
        titles = {f"{number}. {describe(candidate)}": candidate for number, candidate in enumerate(filling.candidates, 1)}
        question = types.ShowMessageRequestParams(
            types.MessageType.Info, "Lacuna: which fill?", [types.MessageActionItem(title) for title in titles]
        )
        # Shielded, since a cancelled request future makes pygls stumble over the client's late answer.
        chosen = await asyncio.shield(ls.window_show_message_request_async(question))
        if chosen is not None and chosen.title in titles:
            await _apply(ls, request, titles[chosen.title])


def _request(ls: LacunaServer, params: types.ExecuteCommandParams) -> FillRequest:
    if not params.arguments:
        raise LacunaError(f"{params.command} needs an argument: the uri, the version and the holes of a document")
    return FillRequest.from_data(ls, params.arguments[0])


async def _apply(ls: LacunaServer, request: FillRequest, candidate: Candidate) -> None:
    if not ls.documents.is_current(request.document):
        raise Stopped(StopReason.MODIFIED)
    edit = workspace_edit(request.document, candidate.edits, ls.unit, versioned=ls.abilities.document_changes)
    # Shielded for the same reason as above.
    answer = await asyncio.shield(ls.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(edit, "Fill holes")))
    if not answer.applied:
        ls.tell(f"Lacuna: the editor did not apply the fill: {answer.failure_reason or 'it gave no reason'}.", types.MessageType.Warning)
