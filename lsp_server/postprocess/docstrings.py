"""What a docstring must be: one string, from the quotes before the hole to those behind it."""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.languages import table_of_tree
from lsp_server.postprocess.surroundings import Surroundings

# Before quotes that close a docstring of several lines.
_OWN_LINE = re.compile(r"(\r\n|\n|\r)[ \t]+")


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill that ends the string or has an escape in it, and a blank one."""
    filled = surroundings.filled(candidate)
    for edit, (start, end) in zip(candidate.edits, filled.ranges, strict=True):
        if not edit.text.strip():
            return "it says nothing"
        ending = edit.text[len(edit.text.rstrip()) :]
        if ending and not _OWN_LINE.fullmatch(ending):
            return "it ends with white space"
        if "\\" in edit.text:
            return "it has a backslash, which escapes what follows it"
        if filled.tree is None:
            continue
        quote, end_quote = table_of_tree(filled.tree).docstring
        first, last = start - len(quote), end + len(end_quote)
        node = filled.tree.root_node.named_descendant_for_byte_range(first, last)
        if (edit.text + end_quote).find(end_quote) != len(edit.text) or node is None or (node.start_byte, node.end_byte) != (first, last):
            return "it goes on after the end of the docstring"
    return None
