"""Annotating a function: the types of all its parameters that have none, and of its result, in one joint fill."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from lsp_server.code_actions.definitions import definitions_around, name_of
from lsp_server.code_actions.offer import REWRITE_KIND, Offer, Place
from lsp_server.fill_request import FillRequest
from lsp_server.holes import Hole
from lsp_server.languages import Language, table_of_tree
from lsp_server.scaffold import Frame

TYPE_BUDGET = 16


def offers(place: Place) -> Iterator[Offer]:
    """Only when asked for, and where the innermost function around the cursor lacks a type."""
    tree = place.document.tree
    if tree is None or not place.invoked:
        return
    language = table_of_tree(tree)
    function = next((node for node in definitions_around(tree, *place.anchor) if node.type in language.functions), None)
    if function is None or not language.annotation_marks:
        return
    found = list(_untyped(function, language))
    if found:
        budget = min(place.settings.max_tokens or TYPE_BUDGET, TYPE_BUDGET)
        holes = tuple(Hole(start, end, "range", budget) for start, end, _ in found)
        frames = tuple(frame for _, _, frame in found)
        title = f"Annotate {name_of(function)} ({len(found)} type{'s' if len(found) > 1 else ''})"
        yield Offer(title, REWRITE_KIND, FillRequest(place.document, holes, "types", frames))


def _untyped(function: Node, language: Language) -> Iterator[tuple[int, int, Frame]]:
    """Where a type goes, as bytes that give way to it and its frame: each parameter without one, then the result."""
    parameters = function.child_by_field_name("parameters")
    if parameters is None or parameters.has_error:
        return
    before_type, before_result = language.annotation_marks
    for number, parameter in enumerate(parameters.named_children):
        if parameter.type in language.defaulted_parameters:
            name, value = parameter.child_by_field_name("name"), parameter.child_by_field_name("value")
            if name is not None and value is not None:
                yield name.end_byte, value.start_byte, Frame(before_type, language.default_mark)
        elif parameter.type in language.bare_parameters and not (number == 0 and _is_receiver(parameter, language)):
            yield parameter.end_byte, parameter.end_byte, Frame(before_type, "")
    if function.child_by_field_name("return_type") is None:
        yield parameters.end_byte, parameters.end_byte, Frame(before_result, "")


def _is_receiver(parameter: Node, language: Language) -> bool:
    return (parameter.text or b"").decode("utf-8") in language.receivers
