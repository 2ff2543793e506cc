"""Filling holes of a buffer: passages to the engine, suggestions to edits, and only what passes the rules.

More holes than one passage takes are filled in groups, one after the other, each seeing the fills of those before it;
by the chain rule their log-likelihoods add up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tree_sitter import Tree

from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.results import FillResult, Progress, Suggestion
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.context import largest_budget, passage_for
from lsp_server.edits import Edit, apply_edits, tree_after
from lsp_server.holes import MARKER, Hole, in_order
from lsp_server.line_ends import to_buffer
from lsp_server.postprocess import sift
from lsp_server.postprocess.surroundings import Surroundings

__all__ = ["Candidate", "Edit", "Filling", "apply_edits", "fill_holes"]

# How many alternatives more than wanted are drawn, so that the rules may refuse some, and how many more where they refused all.
_SPARE = 4
_SECOND_SPARE = 15
_MOST_ALTERNATIVES = 64


@dataclass(frozen=True)
class Filling:
    """Candidates, the likeliest first, and what they cost. `refused` says why the others were dropped, one reason each.

    `passes` and `tokens` count all that the model did for the request, refused alternatives included. Of the prompts' rows,
    `prompt_rows` were run and `reused_rows` were there from earlier requests.
    """

    candidates: tuple[Candidate, ...]
    passes: int
    tokens: int
    prefill_ms: float
    prompt_rows: int
    reused_rows: int
    elapsed_ms: float
    refused: tuple[str, ...]


def fill_holes(
    buffer: Buffer,
    tree: Tree | None,
    holes: Sequence[Hole],
    infiller: Infiller,
    options: FillOptions,
    on_pass: OnPass = ignore_progress,
    marker: str = MARKER,
) -> Filling:
    """Fill all `holes` jointly, in at most `options.count` ways.

    A budget above half of the model's window is brought down to that. At temperature 0 there is one candidate at
    most. Raises LacunaError where there is no hole, two overlap or there are more than 128, and whatever `on_pass` raises.
    """
    began = time.perf_counter()
    groups = _groups(in_order(buffer, holes, marker), infiller)
    filler = _Filler(buffer, tree, infiller, options, on_pass, marker)
    partial: list[Candidate] = [Candidate((), ())]
    for number, group in enumerate(groups):
        budgets_to_come = sum(hole.budget for later in groups[number + 1 :] for hole in later)
        wanted = options.count if number == 0 else 1
        partial = [longer for start in partial for longer in filler.go_on(start, group, wanted, budgets_to_come)]
    return Filling(
        candidates=tuple(sorted(partial, key=lambda candidate: -candidate.logprob)),
        passes=filler.passes,
        tokens=filler.tokens,
        prefill_ms=filler.prefill_ms,
        prompt_rows=filler.prompt_rows,
        reused_rows=filler.reused_rows,
        elapsed_ms=1000 * (time.perf_counter() - began),
        refused=tuple(filler.refused),
    )


def _groups(holes: Sequence[Hole], infiller: Infiller) -> list[list[Hole]]:
    """Consecutive holes that one passage takes together."""
    most = largest_budget(infiller)
    groups: list[list[Hole]] = []
    for hole in holes:
        hole = replace(hole, budget=min(hole.budget, most))
        group = groups[-1] if groups else []
        if group and len(group) < infiller.max_holes and sum(other.budget for other in group) + hole.budget <= most:
            group.append(hole)
        else:
            groups.append([hole])
    return groups


class _Filler:
    """One request under way: lengthens candidates by a group of holes at a time, and adds up what that costs."""

    def __init__(self, buffer: Buffer, tree: Tree | None, infiller: Infiller, options: FillOptions, on_pass: OnPass, marker: str) -> None:
        self.buffer, self.tree, self.infiller = buffer, tree, infiller
        self.options, self.on_pass, self.marker = options, on_pass, marker
        self.passes = self.tokens = self.requests = self.prompt_rows = self.reused_rows = 0
        self.prefill_ms = 0.0
        self.refused: list[str] = []

    def go_on(self, start: Candidate, group: Sequence[Hole], wanted: int, budgets_to_come: int) -> list[Candidate]:
        """At most `wanted` candidates that begin with `start`, whose holes all stand before those of the group, and fill the group too.

        Where the rules refuse all that is drawn, more is drawn, and where they refuse that too, the two halves of the
        group are filled one after the other: many holes at once are all sound less often than each by itself.
        """
        spares = (_SPARE, _SECOND_SPARE) if self.options.temperature > 0 else (0,)
        for spare in spares:
            kept = self._draw(start, group, wanted, spare, budgets_to_come)
            if kept:
                return kept
        if len(group) == 1:
            return []
        first, second = group[: len(group) // 2], group[len(group) // 2 :]
        halves = self.go_on(start, first, wanted, budgets_to_come + sum(hole.budget for hole in second))
        return [whole for half in halves for whole in self.go_on(half, second, 1, budgets_to_come)]

    def _draw(self, start: Candidate, group: Sequence[Hole], wanted: int, spare: int, budgets_to_come: int) -> list[Candidate]:
        source = apply_edits(self.buffer.source, start.edits)
        shift = len(source) - len(self.buffer.source)
        buffer = replace(self.buffer, source=source)
        tree = tree_after(self.tree, self.buffer.source, start.edits) if self.tree is not None and start.edits else self.tree
        holes = tuple(replace(hole, start=hole.start + shift, end=hole.end + shift) for hole in group)
        result = self._ask(buffer, tree, holes, min(wanted + spare, _MOST_ALTERNATIVES), budgets_to_come)
        offered = [_candidate(buffer, holes, suggestion) for suggestion in result.suggestions]
        kept, reasons = sift(offered, Surroundings(buffer, tree, holes, self.marker), wanted)
        self.refused += reasons
        return [_joined(start, candidate, shift) for candidate in kept]

    def _ask(self, buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], count: int, budgets_to_come: int) -> FillResult:
        # Each request draws anew, but the same way for the same seed.
        seed = None if self.options.seed is None else self.options.seed + self.requests
        passes, tokens = self.passes, self.tokens

        def on_pass(progress: Progress) -> None:
            most = tokens + progress.most + count * budgets_to_come
            self.on_pass(Progress(passes + progress.passes, tokens + progress.tokens, most))

        passage = passage_for(buffer, tree, holes, self.infiller)
        result = self.infiller.fill(passage, replace(self.options, count=count, seed=seed), on_pass)
        self.requests += 1
        self.passes += result.passes
        self.tokens += result.tokens
        self.prefill_ms += result.prefill_ms
        self.prompt_rows += result.prompt_rows
        self.reused_rows += result.reused_rows
        return result


def _candidate(buffer: Buffer, holes: Sequence[Hole], suggestion: Suggestion) -> Candidate:
    texts = [to_buffer(fill.text, buffer.newline) for fill in suggestion.fills]
    edits = tuple(Edit(hole.start, hole.end, text) for hole, text in zip(holes, texts, strict=True))
    return Candidate(edits, suggestion.fills, suggestion.passes)


def _joined(start: Candidate, later: Candidate, shift: int) -> Candidate:
    """`start` and then `later`, whose edits refer to a source that those of `start` have lengthened by `shift` bytes."""
    moved = tuple(replace(edit, start=edit.start - shift, end=edit.end - shift) for edit in later.edits)
    return Candidate(start.edits + moved, start.fills + later.fills, start.passes + later.passes)
