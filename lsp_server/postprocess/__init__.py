"""What a candidate goes through before a person sees it, one rule a module.

First its layout is mended (each `mend` gives the candidate back, changed or not), then the rules may refuse it (each `check`
says why, or None). What is mended is layout alone, and `Candidate.mended` says so; all else that is wrong is refused, as another
text would have another likelihood than the one that is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lsp_server.candidate import Candidate
from lsp_server.postprocess import (
    closing_brackets,
    incomplete,
    indentation,
    loops,
    prefix_overlap,
    python_grammar,
    special_tokens,
    suffix_overlap,
    syntax_errors,
    trailing_space,
    unchanged,
    unfilled,
    unprintable,
)
from lsp_server.postprocess.duplicates import Look, look
from lsp_server.postprocess.surroundings import Surroundings

Rule = Callable[[Candidate, Surroundings], str | None]

MENDS = (indentation.mend, trailing_space.mend)

# The cheap ones first; a candidate is refused for the first reason found.
RULES: Mapping[str, Rule] = {
    "incomplete": incomplete.check,
    "unfilled": unfilled.check,
    "special_tokens": special_tokens.check,
    "unprintable": unprintable.check,
    "unchanged": unchanged.check,
    "closing_brackets": closing_brackets.check,
    "suffix_overlap": suffix_overlap.check,
    "prefix_overlap": prefix_overlap.check,
    "indentation": indentation.check,
    "loops": loops.check,
    "syntax_errors": syntax_errors.check,
    "python_grammar": python_grammar.check,
}
NO_MORE: Mapping[str, Rule] = {}


@dataclass(frozen=True)
class Verdict:
    """A candidate as it would be shown, or the name of the rule that refuses it and the reason, as the end of a sentence."""

    candidate: Candidate
    rule: str | None = None
    reason: str | None = None


def judge(candidate: Candidate, surroundings: Surroundings, more: Mapping[str, Rule] = NO_MORE) -> Verdict:
    """Mend what can be mended and apply all rules, and then those that a request brings: `more`, by name."""
    for mend in MENDS:
        candidate = mend(candidate, surroundings)
    for name, check in (*RULES.items(), *more.items()):
        reason = check(candidate, surroundings)
        if reason is not None:
            return Verdict(candidate, name, reason)
    return Verdict(candidate)


def sift(
    candidates: Iterable[Candidate], surroundings: Surroundings, most: int, more: Mapping[str, Rule] = NO_MORE
) -> tuple[list[Candidate], list[str]]:
    """The first `most` candidates that pass all rules and don't look like one before, and for each refused one the reason."""
    kept: dict[Look, Candidate] = {}
    reasons: list[str] = []
    for offered in candidates:
        if len(kept) == most:
            break
        verdict = judge(offered, surroundings, more)
        if verdict.reason is not None:
            reasons.append(verdict.reason)
        else:
            kept.setdefault(look(verdict.candidate, surroundings), verdict.candidate)
    return list(kept.values()), reasons
