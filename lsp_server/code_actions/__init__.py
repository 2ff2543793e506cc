"""textDocument/codeAction and codeAction/resolve: what the model can do where the cursor or the selection is.

Listing never touches the model, since editors ask for it at every move of the cursor. A fill is computed when the user picks
an action: in `codeAction/resolve`, or, for clients that can't resolve an edit, in the command that the action carries. A title
is fixed when it is listed, so previews and likelihoods appear in it once they are known: in the answer to the resolve request,
and for each alternative in every later listing at that place, before one is applied or after (see `recent_fills`).

`listing` asks each family of actions, one a module, what it offers at a `Place`; `resolving` computes what was picked.
"""

from lsp_server.code_actions.listing import OPTIONS, list_code_actions
from lsp_server.code_actions.resolving import resolve_code_action

__all__ = ["OPTIONS", "list_code_actions", "resolve_code_action"]
