"""Suggestions that a person couldn't tell apart."""

from __future__ import annotations

from lsp_server.candidate import Candidate


def look(candidate: Candidate) -> tuple[str, ...]:
    """The fills without white space at the ends of lines and of themselves: the same for candidates that look the same."""
    return tuple("\n".join(line.rstrip() for line in fill.text.split("\n")).rstrip() for fill in candidate.fills)
