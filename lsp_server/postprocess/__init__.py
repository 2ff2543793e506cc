"""The rules that a candidate must pass before a person sees it: one module a rule, each with a `check` that says why not."""

from __future__ import annotations

from collections.abc import Iterable

from lsp_server.candidate import Candidate
from lsp_server.postprocess import (
    incomplete,
    python_grammar,
    special_tokens,
    suffix_overlap,
    syntax_errors,
    unchanged,
    unfilled,
    unprintable,
)
from lsp_server.postprocess.duplicates import look
from lsp_server.postprocess.surroundings import Surroundings

# The cheap ones first; a candidate is refused for the first reason found.
RULES = (
    incomplete.check,
    unfilled.check,
    unchanged.check,
    special_tokens.check,
    unprintable.check,
    suffix_overlap.check,
    syntax_errors.check,
    python_grammar.check,
)


def sift(candidates: Iterable[Candidate], surroundings: Surroundings, most: int) -> tuple[list[Candidate], list[str]]:
    """The first `most` candidates that pass all rules and don't look like one before, and for each refused one the reason."""
    kept: dict[tuple[str, ...], Candidate] = {}
    reasons: list[str] = []
    for candidate in candidates:
        if len(kept) == most:
            break
        if look(candidate) in kept:
            continue
        reason = next((why for rule in RULES if (why := rule(candidate, surroundings)) is not None), None)
        if reason is None:
            kept[look(candidate)] = candidate
        else:
            reasons.append(reason)
    return list(kept.values()), reasons
