"""Writing what is missing at the cursor, though no marker says so: a stub's body, an argument, a value, what the grammar misses."""

from __future__ import annotations

from collections.abc import Iterator

from lsp_server.code_actions.definitions import definitions_around, name_of
from lsp_server.code_actions.offer import FILL_KIND, Offer, Place
from lsp_server.cursor_holes import CursorHole
from lsp_server.fill_request import FillRequest
from lsp_server.languages import table_of_tree

_TITLES = {
    "argument": "Fill in the argument",
    "right-hand side": "Fill in the value",
    "missing": "Fill in what is missing here",
    "error": "Mend the syntax here",
}


def offers(place: Place) -> Iterator[Offer]:
    """Only when asked for: while somebody types, something is missing nearly always."""
    found = place.missing
    if found is not None:
        yield Offer(_title(place, found), FILL_KIND, FillRequest(place.document, (found.hole,)))


def _title(place: Place, found: CursorHole) -> str:
    tree = place.document.tree
    if found.what != "stub" or tree is None:
        return _TITLES[found.what]
    functions = table_of_tree(tree).functions
    around = definitions_around(tree, found.hole.start, found.hole.end)
    function = next((node for node in around if node.type in functions), None)
    return f"Write the body of {name_of(function)}" if function is not None else "Write the body"
