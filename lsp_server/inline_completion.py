"""textDocument/inlineCompletion: text shown at the cursor before it is typed.

Editors ask at each key press (Automatic), and where the user wants it (Invoked). How far the text goes is
`lsp_server.extent`'s matter, what may be shown `lsp_server.proposals`'. Editors don't tell whether text is selected; they don't ask then.
"""

from __future__ import annotations

from dataclasses import replace

from lsprotocol import types

from lsp_server.documents import Document
from lsp_server.edits import Edit, apply_edits, tree_after
from lsp_server.language_server import LacunaServer
from lsp_server.proposal_request import ProposalRequest, proposals_for
from lsp_server.proposals import Place

OPTIONS = types.InlineCompletionOptions()


async def inline_completion(ls: LacunaServer, params: types.InlineCompletionParams) -> list[types.InlineCompletionItem]:
    """What may be inserted at the position: one text when Automatic, several when Invoked, the likeliest first.

    Where a menu is open the texts begin with its selected item, and take its range; else they replace nothing. An empty list comes
    from a request that a newer one or a change overtook too: no editor shows an error that nobody caused.
    """
    document = ls.documents.get(params.text_document.uri)
    automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
    if document is None or (automatic and not ls.settings.inline_completion):
        return []
    offset = document.buffer.offset(params.position.line, params.position.character, ls.unit)
    edit = Edit(offset, offset, "")
    if (selected := params.context.selected_completion_info) is not None:
        start, end = document.offsets(selected.range, ls.unit)
        if not start <= offset <= end:
            return []
        # A lone surrogate is no text that could be proposed.
        edit = Edit(start, end, selected.text.encode("utf-8", errors="replace").decode("utf-8"))
    count = 1 if automatic else ls.settings.alternatives
    proposals = await proposals_for(ls, ProposalRequest("inline", document, _place_after(document, edit), count, typed=automatic))
    # Without a range an editor may take it to be the word at the cursor, or the rest of the line.
    range_ = document.range(edit.start, edit.end, ls.unit)
    return [types.InlineCompletionItem(edit.text + proposal.text, range=range_) for proposal in proposals]


def _place_after(document: Document, edit: Edit) -> Place:
    """The cursor behind the text of an edit, once it is made."""
    buffer, tree = document.buffer, document.tree
    if edit.text or edit.start < edit.end:
        tree = None if tree is None else tree_after(tree, buffer.source, (edit,))
        buffer = replace(buffer, source=apply_edits(buffer.source, (edit,)))
    return Place(buffer, tree, edit.start + len(edit.text.encode("utf-8")))
