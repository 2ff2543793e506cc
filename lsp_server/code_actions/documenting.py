"""Writing the docstring of a function or class that has none, on a line of its own."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from lsp_server.code_actions.definitions import definitions_around, name_of
from lsp_server.code_actions.offer import REWRITE_KIND, Offer, Place
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole
from lsp_server.languages import Language, table_of_tree
from lsp_server.postprocess.indent_style import indent_of
from lsp_server.scaffold import Frame

DOCSTRING_BUDGET = 96


def offers(place: Place) -> Iterator[Offer]:
    """Only when asked for, for the innermost definition around the cursor, and where its body begins on a line of its own."""
    document, tree = place.document, place.document.tree
    if tree is None or not place.invoked:
        return
    language = table_of_tree(tree)
    definition = next(definitions_around(tree, *place.anchor), None)
    if definition is None or not language.docstring:
        return
    first = _first_statement(definition, language)
    if first is None or _is_text(first, language):
        return
    buffer = document.buffer
    start = buffer.line_starts[buffer.line_at(first.start_byte)]
    indent = indent_of(buffer.source[start : first.start_byte])
    header_line = buffer.line_at(_header_end(definition, language))
    if indent.encode() != buffer.source[start : first.start_byte] or header_line == buffer.line_at(first.start_byte):
        return
    at = buffer.line_end(header_line)
    quote, end_quote = language.docstring
    hole = Hole(at, at, "range", place.settings.max_tokens or DOCSTRING_BUDGET)
    frame = Frame(f"{buffer.newline}{indent}{quote}", end_quote)
    yield Offer(f"Write the docstring of {name_of(definition)}", REWRITE_KIND, FillRequest(document, (hole,), "docstring", (frame,)))


def _first_statement(definition: Node, language: Language) -> Node | None:
    body = next((child for child in definition.children if child.type in language.bodies), None)
    return None if body is None else next((child for child in body.named_children if not child.is_extra), None)


def _header_end(definition: Node, language: Language) -> int:
    """Where the header ends, comments behind it left out."""
    header = [child for child in definition.children if child.type not in language.bodies and not child.is_extra]
    return header[-1].end_byte if header else definition.start_byte


def _is_text(statement: Node, language: Language) -> bool:
    """Whether a body's first statement is a string, and so its docstring."""
    children = statement.named_children
    return len(children) == 1 and (children[0].type in language.text or children[0].type == "concatenated_string")
