"""Fills of infilling tasks in every way that is compared, each with the verdict of the sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from zlib import crc32

from benchmarks.infilling_tasks import MULTI_HOLE, RANDOM_SPAN, SINGLE_LINE, InfillingTask
from benchmarks.sandbox import Court, Verdict, parses
from engine.errors import PassageError
from engine.local import LocalInfiller
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import Suggestion
from lsp_server.buffer import Buffer
from lsp_server.context import passage_for
from lsp_server.filling import fill_holes
from lsp_server.holes import LINE_BUDGET, MARKER, Hole, find_markers
from lsp_server.syntax import parse

# Slots of a hole whose length is unknown: what the tool gives a line; more for spans, which may have several; fewer where
# several holes share the window.
BUDGETS = {SINGLE_LINE: LINE_BUDGET, RANDOM_SPAN: 128, MULTI_HOLE: 48}
_TOOL_SUGGESTIONS = 3
_ALTERNATIVES_TEMPERATURE = 0.8


@dataclass(frozen=True)
class Filled:
    """One fill of a task's holes. `texts` is None where a hole did not come to its end; `logprob` is the joint one, in nats."""

    texts: tuple[str, ...] | None
    logprob: float
    tokens: int


@dataclass(frozen=True)
class Outcome:
    """A fill and what became of it. `parses`: the whole program is valid Python; `exact`: what the author wrote, word for word."""

    task: InfillingTask
    way: str
    seed: int
    filled: Filled
    verdict: Verdict
    parses: bool
    exact: bool

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


@dataclass(frozen=True)
class Way:
    """One way to fill: a row of the table. Without a temperature the product's own settings are used."""

    name: str
    mode: str
    temperature: float | None
    seeds: tuple[int, ...]


def ways(seeds: int) -> tuple[Way, ...]:
    """Of single-hole tasks: the length unknown and told, greedy and at temperature 0.2; and the tool's first suggestion."""
    drawn = tuple(range(1, seeds + 1))
    return (
        Way("length unknown, greedy", "unknown", 0.0, (0,)),
        Way("length unknown, temperature 0.2", "unknown", 0.2, drawn),
        Way("told the length, greedy", "told", 0.0, (0,)),
        Way("told the length, temperature 0.2", "told", 0.2, drawn),
        Way("the tool's first suggestion", "tool", None, (1,)),
    )


def multi_hole_ways(seeds: int) -> tuple[Way, ...]:
    drawn = tuple(range(1, seeds + 1))
    return (
        Way("jointly, greedy", "joint", 0.0, (0,)),
        Way("one after another, greedy", "one by one", 0.0, (0,)),
        Way("jointly, temperature 0.2", "joint", 0.2, drawn),
        Way("one after another, temperature 0.2", "one by one", 0.2, drawn),
    )


class Runner:
    """Fills tasks with one model and has the programs judged; `on_fill` is called after each fill."""

    def __init__(self, infiller: LocalInfiller, court: Court, on_fill: Callable[[], object]) -> None:
        self.infiller, self.court, self.on_fill = infiller, court, on_fill
        self._fillers: dict[str, Callable[[InfillingTask, FillOptions], Filled]] = {
            "unknown": self._unknown,
            "told": self._told,
            "tool": self._tool,
            "joint": self._unknown,
            "one by one": self._one_by_one,
        }

    def run(self, tasks: Sequence[InfillingTask], way: Way) -> list[Outcome]:
        """Outcomes by seed and task, in this order."""
        waiting = []
        for seed in way.seeds:
            options = FillOptions(count=_TOOL_SUGGESTIONS) if way.temperature is None else FillOptions(temperature=way.temperature)
            for task in tasks:
                filled = self._fillers[way.mode](task, replace(options, seed=_own_seed(seed, task.name)))
                waiting.append((task, seed, filled, self._submit(task, filled)))
                self.on_fill()
        return [_outcome(task, way.name, seed, filled, verdict) for task, seed, filled, verdict in waiting]

    def alternatives(self, tasks: Sequence[InfillingTask], count: int) -> list[Outcome]:
        """Up to `count` distinct fills of each task at temperature 0.8, the length unknown; those that did not end are left out."""
        waiting = []
        for task in tasks:
            passage = self._passage(task, BUDGETS[task.kind])
            options = FillOptions(count=count, temperature=_ALTERNATIVES_TEMPERATURE, seed=_own_seed(0, task.name))
            for suggestion in self.infiller.fill(passage, options).suggestions:
                filled = _filled(suggestion)
                if filled.texts is not None:
                    waiting.append((task, filled, self._submit(task, filled)))
            self.on_fill()
        return [_outcome(task, "alternatives", 0, filled, verdict) for task, filled, verdict in waiting]

    def joint_logprob(self, task: InfillingTask, texts: Sequence[str]) -> float | None:
        """Joint log-likelihood of `texts` in the passage that is filled jointly; None where a text takes more than its budget."""
        try:
            return self.infiller.score(self._passage(task, BUDGETS[task.kind]), texts, alternatives=1).logprob
        except PassageError:
            return None

    def _passage(self, task: InfillingTask, *budgets: int) -> Passage:
        """The task's program with empty holes, cut to the model's window by syntax as the tool does it."""
        source, starts = b"", []
        for piece in task.pieces:
            source += piece.encode()
            starts.append(len(source))
        slots = budgets * (len(starts) - 1) if len(budgets) == 1 else budgets
        buffer = Buffer(source, task.name)
        holes = [Hole(start, start, "range", budget) for start, budget in zip(starts[:-1], slots, strict=True)]
        return passage_for(buffer, parse(source, "python"), holes, self.infiller)

    def _unknown(self, task: InfillingTask, options: FillOptions) -> Filled:
        return _filled(self.infiller.fill(self._passage(task, BUDGETS[task.kind]), options).suggestions[0])

    def _told(self, task: InfillingTask, options: FillOptions) -> Filled:
        lengths = [self.infiller.count_tokens(text) for text in task.expected]
        passage = replace(self._passage(task, *lengths), fixed_lengths=(True,) * len(lengths))
        return _filled(self.infiller.fill(passage, options).suggestions[0])

    def _tool(self, task: InfillingTask, options: FillOptions) -> Filled:
        """What a user gets: the marker stands in place of the missing text (on a line of its own where that was a line)."""
        prompt, suffix = task.pieces
        (expected,) = task.expected
        line_end = "\n" if task.kind == SINGLE_LINE and expected.endswith("\n") else ""
        buffer = Buffer((prompt + MARKER + line_end + suffix).encode(), task.name)
        tree = parse(buffer.source, "python")
        start = len(prompt.encode())
        holes = [hole for hole in find_markers(buffer, None) if hole.start == start] or [
            Hole(start, start + len(MARKER), "marker", BUDGETS[task.kind])
        ]
        candidates = fill_holes(buffer, tree, holes, self.infiller, options).candidates
        if not candidates:
            return Filled(None, 0.0, 0)
        best = candidates[0]
        return Filled((best.edits[0].text + line_end,), best.logprob, sum(len(fill.logprobs) for fill in best.fills))

    def _one_by_one(self, task: InfillingTask, options: FillOptions) -> Filled:
        """As a tool with one hole would: text before with the earlier fills, text after without the later holes' lines."""
        texts: list[str] = []
        logprob, tokens = 0.0, 0
        for number in range(len(task.expected)):
            before = "".join(part for pair in zip(task.pieces, [*texts, ""], strict=False) for part in pair)
            single = replace(task, pieces=(before, "".join(task.pieces[number + 1 :])), expected=(task.expected[number],))
            filled = self._unknown(single, replace(options, seed=_own_seed(options.seed, number)))
            tokens += filled.tokens
            logprob += filled.logprob
            if filled.texts is None:
                return Filled(None, logprob, tokens)
            texts += filled.texts
        return Filled(tuple(texts), logprob, tokens)

    def _submit(self, task: InfillingTask, filled: Filled) -> Future[Verdict] | None:
        return None if filled.texts is None else self.court.submit(task.program(filled.texts), task.check)


def _own_seed(*parts: object) -> int:
    """A seed for this task or hole alone: draws from one stream of random numbers would not be independent of each other."""
    return crc32("/".join(map(str, parts)).encode())


def _filled(suggestion: Suggestion) -> Filled:
    complete = all(fill.complete for fill in suggestion.fills)
    texts = tuple(fill.text for fill in suggestion.fills) if complete else None
    return Filled(texts, suggestion.logprob, suggestion.tokens)


def _outcome(task: InfillingTask, way: str, seed: int, filled: Filled, verdict: Future[Verdict] | None) -> Outcome:
    if filled.texts is None or verdict is None:
        return Outcome(task, way, seed, filled, "incomplete", False, False)
    program = task.program(filled.texts)
    return Outcome(task, way, seed, filled, verdict.result(), parses(program), filled.texts == task.expected)


def by_task(outcomes: Sequence[Outcome]) -> Iterator[list[Outcome]]:
    """The outcomes of one task after another, seeds kept together."""
    grouped: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.task.name, []).append(outcome)
    yield from grouped.values()
