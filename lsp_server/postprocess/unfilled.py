"""A hole that is still a hole."""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.languages import table_of_tree
from lsp_server.postprocess.surroundings import Surroundings


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a candidate that writes nothing where a marker stood, the marker itself anywhere, or a stub in place of a stub."""
    source, tree = surroundings.buffer.source, surroundings.tree
    stubs = () if tree is None else table_of_tree(tree).stubs
    for fill, hole in zip(candidate.fills, surroundings.holes, strict=True):
        if hole.kind == "marker" and not fill.text.strip():
            return "it leaves a hole empty"
        if _has_word(fill.text, surroundings.marker):
            return f"it holds the marker {surroundings.marker}"
        if _bare(source[hole.start : hole.end].decode("utf-8")) in stubs and _bare(fill.text) in stubs:
            return f"it is still a stub: {_bare(fill.text)}"
    return None


def _bare(statement: str) -> str:
    return statement.strip().removesuffix(";").rstrip()


def _has_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text`, and not as a part of a longer word."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.match(r"\w", word[-1:]) else ""
    return re.search(before + re.escape(word) + after, text) is not None
