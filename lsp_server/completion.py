"""textDocument/completion: proposals in the completion menu, for editors that show none inline.

The capability is always advertised, since the setting may change; where it is off the answer is null. Items lie beside those of the
editor's other sources, whose list must not wait: the model has a limited time.
"""

from __future__ import annotations

import asyncio
import re

from lsprotocol import types

from lsp_server.documents import Document
from lsp_server.language_server import LacunaServer
from lsp_server.proposal_request import ProposalRequest, proposals_for
from lsp_server.proposals import Place, Proposal

OPTIONS = types.CompletionOptions(trigger_characters=[".", "("])

MOST_SECONDS = 0.5
_LONGEST_LABEL = 60
_LONGEST_WORD = 256
_NO_WORD = re.compile(r"\W")


async def completion(ls: LacunaServer, params: types.CompletionParams) -> types.CompletionList | None:
    """The proposals at the position as menu items; None where the setting keeps them out of menus.

    The list is incomplete by its nature: an editor is to ask again as the user types on.
    """
    document = ls.documents.get(params.text_document.uri)
    if document is None or not _wanted(ls):
        return None
    offset = document.buffer.offset(params.position.line, params.position.character, ls.unit)
    place = Place(document.buffer, document.tree, offset)
    request = ProposalRequest("completion", document, place, ls.settings.alternatives, typed=True)
    try:
        async with asyncio.timeout(MOST_SECONDS):
            proposals = await proposals_for(ls, request)
    except TimeoutError:
        ls.note(f"completion: dropped, nothing came within {MOST_SECONDS:g} s")
        proposals = ()
    items = [_item(ls, document, offset, proposal, rank) for rank, proposal in enumerate(proposals)]
    return types.CompletionList(is_incomplete=True, items=items)


def _wanted(ls: LacunaServer) -> bool:
    match ls.settings.plain_completion:
        case "auto":
            return not ls.abilities.inline_completion
        case setting:
            return setting == "on"


def _item(ls: LacunaServer, document: Document, offset: int, proposal: Proposal, rank: int) -> types.CompletionItem:
    """A menu item that replaces the word before the cursor by itself and the proposal.

    Editors hide items that don't begin with that word, so it is a part of what they compare.
    """
    start = document.buffer.line_starts[document.buffer.line_at(offset)]
    before = document.buffer.source[document.buffer.settle(max(start, offset - _LONGEST_WORD)) : offset].decode("utf-8")
    word = _NO_WORD.split(before)[-1]
    text = word + proposal.text
    line, newline, _ = text.strip().partition(document.buffer.newline)
    label = line if len(line) <= _LONGEST_LABEL and not newline else line[: _LONGEST_LABEL - 1] + "…"
    return types.CompletionItem(
        label=label,
        kind=types.CompletionItemKind.Text,
        detail=f"Lacuna: log-likelihood {proposal.logprob:.2f}, {proposal.bits_per_token:.2f} bits/token",
        documentation=text if newline else None,
        sort_text=f"{rank:02}",
        filter_text=text,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(document.range(offset - len(word.encode("utf-8")), offset, ls.unit), text),
    )
