"""White space that nobody sees: at the ends of a fill's lines, and blank lines at its own end where its line ends there too.

It is taken off rather than refused. What is shown then stands for all fills that look like it, so it is at least as likely as
the fill that it was made of, whose likelihood it keeps. In strings white space is content, and stays.
"""

from __future__ import annotations

from dataclasses import replace

from lsp_server.candidate import Candidate
from lsp_server.edits import Edit
from lsp_server.line_ends import to_buffer, to_model
from lsp_server.postprocess.line_roles import in_string
from lsp_server.postprocess.surroundings import Surroundings

NAME = "trailing_space"


def mend(candidate: Candidate, surroundings: Surroundings) -> Candidate:
    """The candidate without white space at the ends of its lines, save in strings; as it is where there is none."""
    edits = tuple(_trimmed(candidate, surroundings, index) for index in range(len(candidate.edits)))
    return candidate if edits == candidate.edits else replace(candidate, edits=edits, mended=(*candidate.mended, NAME))


def _trimmed(candidate: Candidate, surroundings: Surroundings, index: int) -> Edit:
    edit = candidate.edits[index]
    rows = to_model(edit.text).split("\n")
    ends_line = surroundings.ends_line(index)
    if not any(row != row.rstrip(" \t") for row in rows) and not (ends_line and len(rows) > 1 and not rows[-1]):
        return edit
    filled = surroundings.filled(candidate)
    newline = len(surroundings.buffer.newline)
    offset = filled.ranges[index][0]
    trimmed: list[str] = []
    inside = False
    for number, row in enumerate(rows):
        offset += len(row.encode("utf-8"))
        inside = in_string(filled.tree, offset)
        # Plain text may mean the spaces at a line's end: two of them break a line of Markdown.
        stays = inside or (not ends_line if number == len(rows) - 1 else filled.tree is None)
        trimmed.append(row if stays else row.rstrip(" \t"))
        offset += newline
    while ends_line and not inside and len(trimmed) > 1 and not trimmed[-1]:
        trimmed.pop()
    return replace(edit, text=to_buffer("\n".join(trimmed), surroundings.buffer.newline))
