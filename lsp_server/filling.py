"""Filling holes of a buffer: passages to the engine, suggestions to edits, and only what passes the rules.

More holes than one passage takes are filled in groups, one after the other, each seeing the fills of those before it;
by the chain rule their log-likelihoods add up. A hole that is tied to one of an earlier group gets that one's text, whose likelihood
there is added too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tree_sitter import Tree

from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.results import FillResult, HoleFill, Progress, Suggestion
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.context import OtherFile, largest_budget, passage_for
from lsp_server.edits import Edit, apply_edits, tree_after
from lsp_server.holes import MARKER, Hole, in_order
from lsp_server.line_ends import to_buffer
from lsp_server.postprocess import NO_MORE, Rule, sift
from lsp_server.postprocess.surroundings import Surroundings

__all__ = ["Candidate", "Edit", "Filling", "apply_edits", "fill_holes"]

# How many alternatives more than wanted are drawn, so that the rules may refuse some, and how many more where they refused all.
_SPARE = 4
_SECOND_SPARE = 15
_MOST_ALTERNATIVES = 64
_NO_TIED_TEXT = "no text was found that suits all of the tied holes"


@dataclass(frozen=True)
class Filling:
    """Candidates, the likeliest first, and what they cost. `refused` says why the others were dropped, one reason each.

    `passes` and `tokens` count all that the model did for the request, refused alternatives included. Of the prompts' rows,
    `prompt_rows` were run and `reused_rows` were there from earlier requests. `exact` is False where a search for tied holes came
    to its limit: what it gave was then drawn by the joint among candidates alone.
    """

    candidates: tuple[Candidate, ...]
    passes: int
    tokens: int
    prefill_ms: float
    prompt_rows: int
    reused_rows: int
    elapsed_ms: float
    refused: tuple[str, ...]
    exact: bool = True


def fill_holes(
    buffer: Buffer,
    tree: Tree | None,
    holes: Sequence[Hole],
    infiller: Infiller,
    options: FillOptions,
    on_pass: OnPass = ignore_progress,
    marker: str = MARKER,
    rules: Mapping[str, Rule] = NO_MORE,
    others: Sequence[OtherFile] = (),
) -> Filling:
    """Fill all `holes` jointly, in at most `options.count` ways. `rules`: what fills of these must pass beside the rules for all.
    `others`: files whose definitions the model may be shown.

    A budget above half of the model's window is brought down to that, those of tied holes to their smallest. At temperature 0
    there is one candidate at most. Raises LacunaError where there is no hole, two overlap or there are more than 128, and whatever
    `on_pass` raises.
    """
    began = time.perf_counter()
    groups = passage_groups(in_order(buffer, holes, marker), infiller)
    filler = _Filler(buffer, tree, [hole for group in groups for hole in group], infiller, options, on_pass, marker, rules, others)
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
        exact=filler.exact,
    )


def passage_groups(holes: Sequence[Hole], infiller: Infiller) -> list[list[Hole]]:
    """Consecutive holes that one passage takes together, with the budgets that they get there.

    Those tied to an earlier group's are in groups of their own.
    """
    most = largest_budget(infiller)
    smallest: dict[str | None, int] = {}
    for hole in holes:
        smallest[hole.tie] = min(smallest.get(hole.tie, most), hole.budget)
    groups: list[list[Hole]] = []
    settled: set[str] = set()  # ties with a hole in a group that is full
    for hole in holes:
        hole = replace(hole, budget=min(hole.budget, most) if hole.tie is None else smallest[hole.tie])
        group = groups[-1] if groups else []
        full = len(group) >= infiller.max_holes or sum(other.budget for other in group) + hole.budget > most
        if group and not full and (hole.tie in settled) == (group[-1].tie in settled):
            group.append(hole)
        else:
            settled |= {other.tie for other in group if other.tie is not None}
            groups.append([hole])
    return groups


def _halves(group: Sequence[Hole]) -> tuple[Sequence[Hole], Sequence[Hole]] | None:
    """The group in two, as near to its middle as ties allow; None where they allow it nowhere."""
    middle = len(group) // 2
    for border in sorted(range(1, len(group)), key=lambda border: abs(border - middle)):
        first, second = group[:border], group[border:]
        if not {hole.tie for hole in first if hole.tie is not None} & {hole.tie for hole in second}:
            return first, second
    return None


class _Filler:
    """One request under way: lengthens candidates by a group of holes at a time, and adds up what that costs."""

    def __init__(
        self,
        buffer: Buffer,
        tree: Tree | None,
        holes: Sequence[Hole],
        infiller: Infiller,
        options: FillOptions,
        on_pass: OnPass,
        marker: str,
        rules: Mapping[str, Rule],
        others: Sequence[OtherFile],
    ) -> None:
        self.buffer, self.tree, self.holes, self.infiller = buffer, tree, holes, infiller
        self.options, self.on_pass, self.marker, self.rules, self.others = options, on_pass, marker, rules, others
        self.passes = self.tokens = self.requests = self.prompt_rows = self.reused_rows = 0
        self.prefill_ms = 0.0
        self.refused: list[str] = []
        self.exact = True

    def go_on(self, start: Candidate, group: Sequence[Hole], wanted: int, budgets_to_come: int) -> list[Candidate]:
        """At most `wanted` candidates that begin with `start`, whose holes all stand before those of the group, and fill the group too.

        Where the rules refuse all that is drawn, more is drawn, and where they refuse that too, the two halves of the
        group are filled one after the other: many holes at once are all sound less often than each by itself.
        """
        copied = self._copied(start, group)
        if copied is not None:
            return self._copy(start, group, copied)
        spares = (_SPARE, _SECOND_SPARE) if self.options.temperature > 0 else (0,)
        for spare in spares:
            kept = self._draw(start, group, wanted, spare, budgets_to_come)
            if kept:
                return kept
        split = _halves(group)
        if split is None:
            return []
        first, second = split
        halves = self.go_on(start, first, wanted, budgets_to_come + sum(hole.budget for hole in second))
        return [whole for half in halves for whole in self.go_on(half, second, 1, budgets_to_come)]

    def _copied(self, start: Candidate, group: Sequence[Hole]) -> list[HoleFill] | None:
        """The fills that the group's holes repeat; None where they repeat none of `start`."""
        known: dict[str | None, HoleFill] = {
            hole.tie: fill for hole, fill in zip(self.holes, start.fills, strict=False) if hole.tie is not None
        }
        fills = [known[hole.tie] for hole in group if hole.tie in known]
        return fills if len(fills) == len(group) else None

    def _draw(self, start: Candidate, group: Sequence[Hole], wanted: int, spare: int, budgets_to_come: int) -> list[Candidate]:
        buffer, tree, holes = self._after(start, group)
        result = self._ask(buffer, tree, holes, min(wanted + spare, _MOST_ALTERNATIVES), budgets_to_come)
        offered = [_candidate(buffer, holes, suggestion) for suggestion in result.suggestions]
        if not offered:
            self.refused.append(_NO_TIED_TEXT)
        return self._sifted(start, buffer, tree, holes, offered, wanted)

    def _copy(self, start: Candidate, group: Sequence[Hole], fills: Sequence[HoleFill]) -> list[Candidate]:
        """`start` with those texts in the group's holes as well, unless the rules refuse them."""
        buffer, tree, holes = self._after(start, group)
        texts = [fill.text for fill in fills]
        wider = tuple(replace(hole, budget=self.infiller.count_tokens(text) + 1) for hole, text in zip(holes, texts, strict=True))
        score = self.infiller.score(passage_for(buffer, tree, wider, self.infiller, self.others), texts, 0)
        self.passes += 1
        scored = tuple(
            HoleFill(text, tuple(token.token for token in tokens), tuple(token.logprob for token in tokens), complete=True)
            for text, tokens in zip(texts, score.holes, strict=True)
        )
        return self._sifted(start, buffer, tree, holes, [_candidate(buffer, holes, Suggestion(scored, 1))], 1)

    def _after(self, start: Candidate, group: Sequence[Hole]) -> tuple[Buffer, Tree | None, tuple[Hole, ...]]:
        """The buffer once `start` is applied, its tree, and where the group's holes are in it."""
        source = apply_edits(self.buffer.source, start.edits)
        shift = len(source) - len(self.buffer.source)
        tree = tree_after(self.tree, self.buffer.source, start.edits) if self.tree is not None and start.edits else self.tree
        holes = tuple(replace(hole, start=hole.start + shift, end=hole.end + shift) for hole in group)
        return replace(self.buffer, source=source), tree, holes

    def _sifted(
        self, start: Candidate, buffer: Buffer, tree: Tree | None, holes: tuple[Hole, ...], offered: Sequence[Candidate], wanted: int
    ) -> list[Candidate]:
        kept, reasons = sift(offered, Surroundings(buffer, tree, holes, self.marker), wanted, self.rules)
        self.refused += reasons
        return [_joined(start, candidate, len(buffer.source) - len(self.buffer.source)) for candidate in kept]

    def _ask(self, buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], count: int, budgets_to_come: int) -> FillResult:
        # Each request draws anew, but the same way for the same seed.
        seed = None if self.options.seed is None else self.options.seed + self.requests
        passes, tokens = self.passes, self.tokens

        def on_pass(progress: Progress) -> None:
            most = tokens + progress.most + count * budgets_to_come
            self.on_pass(Progress(passes + progress.passes, tokens + progress.tokens, most))

        passage = passage_for(buffer, tree, holes, self.infiller, self.others)
        result = self.infiller.fill(passage, replace(self.options, count=count, seed=seed), on_pass)
        self.requests += 1
        self.exact = self.exact and result.exact
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
    mended = tuple(dict.fromkeys((*start.mended, *later.mended)))
    return Candidate(start.edits + moved, start.fills + later.fills, start.passes + later.passes, mended)
