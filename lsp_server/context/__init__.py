"""What the model gets to see around the holes.

A passage has room for a window of tokens, a file for many more. What goes in is chosen by syntax, whole lines at a
time: the text beside each hole on its own lines, the headers of the scopes around it, the imports, the definitions of names
that are used about it, then the nearest statements. Whatever the file, a passage comes out that fits: a line too long
for the window is cut at a character.

`parts` has what a choice consists of, `choice` makes it, `definitions` finds what a name stands for.
"""

from lsp_server.context.choice import END_MARKS, SHARES, Shares, choose_context, largest_budget, passage_for
from lsp_server.context.parts import Context, OtherFile, Part, Reason

__all__ = [
    "END_MARKS",
    "SHARES",
    "Context",
    "OtherFile",
    "Part",
    "Reason",
    "Shares",
    "choose_context",
    "largest_budget",
    "passage_for",
]
