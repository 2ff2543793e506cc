"""The `Infiller` that runs a model folder on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine.decoders import DECODERS, slots_of_prompt
from engine.decoders.base import Draw, Prefilled, prefill
from engine.decoders.tied import TiedSearch
from engine.decoders.tied_paths import Constraint
from engine.default_model import DEFAULT_MODEL
from engine.device_choice import choose_device, quiet_runtime
from engine.device_model import DeviceModel
from engine.devices import Device, on_the_cpu
from engine.errors import DeviceError, PassageError
from engine.infiller import OnPass, ignore_progress
from engine.lengths import likeliest_lengths
from engine.manifest import Manifest, load_manifest
from engine.onnx_model import OnnxModel
from engine.options import FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.results import FillResult, HoleFill, Progress, Score, Suggestion, TokenScore
from engine.sampling import Sampler, log_softmax
from engine.scoring import conditionals
from engine.sentencepiece_text import SentencePieceText
from engine.sequence import NO_MARK, MaskedSequence, mask, typing_step
from engine.text import Text, goes_on
from engine.wording import WordTokens, allowed_tokens

__all__ = ["DEFAULT_MODEL", "LocalInfiller", "load_infiller"]

_MARKS = 3  # rows of a sequence that are neither text nor slots: its start, the document's start and end
_WORD = "x"
_ROUNDS = 3  # batches drawn, at most, until enough distinct suggestions are there

T = TypeVar("T")


class LocalInfiller:
    """One loaded model. Raises ModelError from the constructor when the folder can't be used or lacks the precision.

    `device` is one of `engine.devices.DEVICES`; where CUDA can't be had, or fails, the CPU serves with the graph of the `precision` named,
    and the attribute `device` says why.
    `prompts` are those of earlier requests; a new PromptCache in their place forgets them.
    """

    def __init__(self, folder: Path, precision: str | None = None, device: str = "cpu") -> None:
        self.folder = folder
        self.manifest: Manifest = load_manifest(folder)
        self.text = (SentencePieceText if self._words_have_spaces else Text)(folder, self.manifest)
        self._precision = precision or self.manifest.default_precision
        self.device, self.model = self._on(device)
        self.prompts = PromptCache()

    def _on(self, wanted: str) -> tuple[Device, OnnxModel | DeviceModel]:
        device = choose_device(wanted, self.folder, self.manifest)
        if device.kind == "cuda":
            try:
                with quiet_runtime():
                    return device, DeviceModel(self.folder, self.manifest, "cuda")
            except DeviceError as error:
                device = on_the_cpu(f"the {device.name} can't be used ({error})")
        return device, self._cpu_model

    @property
    def precision(self) -> str:
        """That of the graph which runs: a graph for GPUs has one of its own."""
        return str(self.model.cache_type) if isinstance(self.model, DeviceModel) else self._precision

    @property
    def model_name(self) -> str:
        return self.manifest.name

    @property
    def model_id(self) -> str:
        return self.model.sha256[:16]

    @property
    def provider(self) -> str:
        return self.model.provider

    @property
    def threads(self) -> int:
        return self.model.threads

    @cached_property
    def _word_tokens(self) -> WordTokens:
        return WordTokens.of([self.text.decode([token], before=_WORD) for token in range(self.manifest.vocabulary)])

    @cached_property
    def _words_behind_space(self) -> WordTokens:
        """Where a hole begins behind white space, the space that a word's first token carries is none."""
        starts = WordTokens.of([self.text.decode([token]) for token in range(self.manifest.vocabulary)]).starts
        return WordTokens(starts, self._word_tokens.parts)

    def _words_of_holes(self, passage: Passage, ties: Sequence[int]) -> list[WordTokens]:
        """What makes up an identifier in each hole. Tied holes have the same tokens, so that all of them have to be behind white space."""
        if not self._words_have_spaces:
            return [self._word_tokens] * len(ties)
        behind = [not goes_on(piece or ("" if hole == 0 else _WORD)) for hole, piece in enumerate(passage.pieces[:-1])]
        spaced = [all(other for other, its in zip(behind, ties, strict=True) if its == tie) for tie in ties]
        return [self._words_behind_space if each else self._word_tokens for each in spaced]

    @property
    def window(self) -> int:
        return self.manifest.window - _MARKS

    @property
    def max_holes(self) -> int:
        return self.manifest.max_holes

    def count_tokens(self, text: str) -> int:
        # What stands before it decides which it is.
        return max(len(self.text.encode(text, going_on=each)) for each in ((False, True) if self._words_have_spaces else (False,)))

    @property
    def _words_have_spaces(self) -> bool:
        return self.manifest.tokenization == "sentencepiece"

    def sequence(self, passage: Passage) -> MaskedSequence:
        """The passage as rows and slots. Raises PassageError when it takes more than `window` tokens."""
        slots = sum(passage.budgets)
        if slots > self.window:
            raise PassageError(
                f"the holes' budgets take {slots} tokens together, but the model's window is {self.window}; give them smaller ones"
            )
        # A word at the beginning of a later piece belongs to what its hole ends with.
        pieces = [self.text.encode(piece, going_on=index > 0) for index, piece in enumerate(passage.pieces)]
        taken = sum(map(len, pieces)) + slots
        if taken > self.window:
            raise PassageError(
                f"the passage takes {taken} tokens (budgets of its holes included), but the model's window is {self.window}; shorten it"
            )
        sequence = mask(
            pieces,
            passage.budgets,
            self.manifest.special_ids,
            at_start=passage.at_start,
            at_end=passage.at_end,
            order=self.manifest.prompt_order,
            fixed_lengths=passage.fixed_lengths,
            nonempty=passage.nonempty,
            step=self._step(passage, taken),
            mutual=self.manifest.prompt_visibility == "bidirectional",
        )
        if len(sequence.ids) == 0:
            raise PassageError(
                f"{self.manifest.name} needs some text around the holes, and there is none; write a word before or after them"
            )
        return sequence

    def _step(self, passage: Passage, taken: int) -> int:
        """1 where nothing is to be won, where the hole's length is known, and where positions that the model knows could run out."""
        step = typing_step(passage.budgets[0])
        roomy = taken + _MARKS + step <= self.manifest.longest_position
        return step if roomy and self.manifest.prompt_order == "suffix-first" and not any(passage.fixed_lengths[:1]) else 1

    def fill(self, passage: Passage, options: FillOptions, on_pass: OnPass = ignore_progress) -> FillResult:
        return self._served(lambda: self._fill(passage, options, on_pass))

    def _served(self, work: Callable[[], T]) -> T:
        """What `work` gives on the device, or, where that fails meanwhile, what it gives from the beginning on the CPU."""
        try:
            return work()
        except DeviceError as error:
            # Not the error itself, which keeps all that the pass had on the device.
            said, out_of_memory = str(error), error.out_of_memory
        device, device_model = self.device, self.model
        self.model, self.prompts = self._cpu_model, PromptCache()
        if not out_of_memory:
            self.device = on_the_cpu(f"the {device.name} failed and is not asked again ({said})")
            return work()
        self.device = replace(device, reason=f"the {device.name} had not enough memory for a request, which the CPU answered", is_news=True)
        try:
            return work()
        finally:
            # Without the earlier prompts there is more room for the next request.
            self.model, self.prompts = device_model, PromptCache()

    @cached_property
    def _cpu_model(self) -> OnnxModel:
        return OnnxModel(self.folder, self.manifest, self._precision)

    def _fill(self, passage: Passage, options: FillOptions, on_pass: OnPass) -> FillResult:
        began = time.perf_counter()
        before = _Before(on_pass)
        sequence = self.sequence(passage)
        if self.manifest.hole_lengths == "compared" and not all(passage.fixed_lengths or (False,)):
            passage = self._with_lengths(passage, options, before)
            sequence = self.sequence(passage)
        rng = np.random.default_rng(options.seed)
        sampler = Sampler(options.temperature, options.top_p)
        width = 1 if passage.is_searched else slots_of_prompt(options.method, options.draft)
        prefilled = prefill(self.model, sequence, width, self.prompts)
        draw = self._search if passage.is_searched else self._draw
        found, spent = draw(passage, prefilled, sampler, options, rng, before)
        ranked = sorted(found, key=lambda suggestion: suggestion.logprob, reverse=True)
        elapsed = (time.perf_counter() - began) * 1000
        return FillResult(
            suggestions=tuple(ranked[: options.count]),
            passes=before.passes + spent.passes,
            tokens=before.tokens + spent.tokens,
            prefill_ms=prefilled.milliseconds,
            prompt_rows=len(sequence.ids) - prefilled.reused_rows,
            reused_rows=prefilled.reused_rows,
            elapsed_ms=elapsed,
            exact=spent.exact,
        )

    def _with_lengths(self, passage: Passage, options: FillOptions, before: _Before) -> Passage:
        """The passage with the lengths of its holes looked for: see `engine.lengths`. A trial is a greedy fill, counted by `before`."""
        count = len(passage.budgets)
        greedy = replace(options, count=1, temperature=0.0, top_p=1.0)

        def of_lengths(lengths: tuple[int, ...]) -> Passage:
            return replace(passage, budgets=lengths, fixed_lengths=(True,) * count)

        def mean_logprob(lengths: tuple[int, ...]) -> float:
            trial = of_lengths(lengths)
            prefilled = prefill(self.model, self.sequence(trial), 1, self.prompts)
            draw = self._search if trial.is_searched else self._draw
            found, spent = draw(trial, prefilled, Sampler(0.0, 1.0), greedy, np.random.default_rng(0), before)
            before.add(spent)
            return max((suggestion.logprob / suggestion.tokens for suggestion in found), default=-np.inf)

        fixed, ties = passage.fixed_lengths or (False,) * count, passage.ties or tuple(range(count))
        return of_lengths(likeliest_lengths(passage.budgets, fixed, ties, mean_logprob))

    def _draw(
        self, passage: Passage, prefilled: Prefilled, sampler: Sampler, options: FillOptions, rng: np.random.Generator, on_pass: OnPass
    ) -> tuple[list[Suggestion], _Spent]:
        found: dict[tuple[str, ...], Suggestion] = {}
        tally = _Tally(on_pass)
        # Greedy draws are all alike: one is enough.
        copies, rounds = (1, 1) if options.temperature == 0 else (options.count, _ROUNDS)
        for _ in range(rounds):
            draws = DECODERS[options.method](prefilled, copies, sampler, options.draft, rng, tally)
            tally.end_batch(draws)
            for drawn in draws:
                suggestion = self._suggestion(passage, prefilled, drawn)
                found.setdefault(suggestion.texts, suggestion)
            if len(found) >= options.count:
                break
        return list(found.values()), _Spent(tally.passes, tally.tokens)

    def _search(
        self, passage: Passage, prefilled: Prefilled, sampler: Sampler, options: FillOptions, rng: np.random.Generator, on_pass: OnPass
    ) -> tuple[list[Suggestion], _Spent]:
        found: dict[tuple[str, ...], Suggestion] = {}
        ties = passage.ties or tuple(range(len(passage.budgets)))
        constraint = Constraint(ties, allowed_tokens(prefilled.chain, passage.wordings, self._words_of_holes(passage, ties)))
        search = TiedSearch(prefilled, constraint, sampler, rng, on_pass)
        for drawn in search:
            suggestion = self._suggestion(passage, prefilled, drawn)
            found.setdefault(suggestion.texts, suggestion)
            if options.temperature == 0 or len(found) == options.count:
                break
        return list(found.values()), _Spent(search.passes, search.tokens, search.exact)

    def _suggestion(self, passage: Passage, prefilled: Prefilled, drawn: Draw) -> Suggestion:
        holes = prefilled.chain.holes[np.array(drawn.slots)]
        fills: list[HoleFill] = []
        for hole in range(int(prefilled.chain.holes[-1])):
            own = np.flatnonzero(holes == hole)
            tokens = tuple(drawn.tokens[index] for index in own)
            logprobs = tuple(drawn.logprobs[index] for index in own)
            complete = tokens[-1] == self.model.eoh or bool(prefilled.chain.endless[drawn.slots[own[-1]]])
            text = self.text.decode(tokens, _before(passage, [fill.text for fill in fills]))
            fills.append(HoleFill(text, tokens, logprobs, complete))
        return Suggestion(tuple(fills), drawn.passes)

    def score(self, passage: Passage, texts: Sequence[str], alternatives: int = 5) -> Score:
        return self._served(lambda: self._score(passage, texts, alternatives))

    def _score(self, passage: Passage, texts: Sequence[str], alternatives: int) -> Score:
        began = time.perf_counter()
        if len(texts) != len(passage.budgets):
            raise PassageError(f"{len(passage.budgets)} holes need as many texts, not {len(texts)}")
        for number, first in enumerate(passage.ties):
            if texts[number] != texts[first]:
                raise PassageError(f"holes {first + 1} and {number + 1} are tied, but their texts differ; give both the same")
        tokens = [self.text.encode(text, going_on=goes_on(_before(passage, texts[:hole]))) for hole, text in enumerate(texts)]
        ends_given = [False] * len(texts)
        if self.manifest.hole_lengths == "compared":
            ends_given = [not known for known in passage.fixed_lengths or (False,) * len(texts)]
            passage = self._of_these_lengths(passage, tokens)
        fixed = passage.fixed_lengths or (False,) * len(texts)
        fills = [[*own, *([] if known else [self.model.eoh])] for own, known in zip(tokens, fixed, strict=True)]
        for number, (fill, budget, known) in enumerate(zip(fills, passage.budgets, fixed, strict=True), 1):
            if known and len(fill) != budget:
                raise PassageError(f"the text of hole {number} takes {len(fill)} tokens, but its length is fixed at {budget}")
            if len(fill) > budget:
                raise PassageError(f"the text of hole {number} takes {len(fill)} tokens with its end mark, but its budget is {budget}")
        logprobs = log_softmax(conditionals(self.model, self.sequence(passage), fills, self.prompts))
        rows = iter(logprobs)
        scored = []
        for hole, fill in enumerate(fills):
            before, own = _before(passage, texts[:hole]), []
            for token in fill:
                own.append(self._token(token, next(rows), alternatives, before))
                before += own[-1].text
            if ends_given[hole]:
                own.append(_CERTAIN_END)
            scored.append(tuple(own))
        return Score(tuple(scored), (time.perf_counter() - began) * 1000)

    def _of_these_lengths(self, passage: Passage, tokens: Sequence[Sequence[int]]) -> Passage:
        """The passage with holes as long as these texts, where they fit: a model without an end mark knows no likelihood of a length."""
        lengths = tuple(map(len, tokens))
        for number, (length, budget) in enumerate(zip(lengths, passage.budgets, strict=True), 1):
            if length == 0:
                raise PassageError(f"{self.manifest.name} knows no likelihood of an empty text, and that of hole {number} has no token")
            if length > budget:
                raise PassageError(f"the text of hole {number} takes {length} tokens, but its budget is {budget}")
        fixed = passage.fixed_lengths or (False,) * len(lengths)
        budgets = tuple(budget if known else length for budget, known, length in zip(passage.budgets, fixed, lengths, strict=True))
        return replace(passage, budgets=budgets, fixed_lengths=(True,) * len(lengths))

    def _token(self, token: int, logprobs: np.ndarray[tuple[int], np.dtype[np.float64]], alternatives: int, before: str) -> TokenScore:
        best = np.argsort(-logprobs, kind="stable")[:alternatives]
        return TokenScore(
            token=token,
            text=self.text.decode([token], before),
            logprob=float(logprobs[token]),
            rank=1 + int((logprobs > logprobs[token]).sum()),
            alternatives=tuple((self.text.decode([int(other)], before), float(np.exp(logprobs[other]))) for other in best),
        )


# A likelihood given the length: that the text ends there is certain.
_CERTAIN_END = TokenScore(token=NO_MARK, text="", logprob=0.0, rank=1, alternatives=(("", 1.0),))


def _before(passage: Passage, texts: Sequence[str]) -> str:
    """What stands right before the hole after those with these `texts`: the piece there, or what precedes an empty one."""
    hole = len(texts)
    while hole and not passage.pieces[hole]:
        hole -= 1
        if texts[hole]:
            return texts[hole]
    return passage.pieces[hole]


@dataclass(frozen=True)
class _Spent:
    """What drawing took; the fields are FillResult's."""

    passes: int
    tokens: int
    exact: bool = True


class _Before:
    """Counts what was spent before the fills are drawn; a hook itself, it hands totals on."""

    def __init__(self, on_pass: OnPass) -> None:
        self.on_pass = on_pass
        self.passes = self.tokens = 0

    def __call__(self, progress: Progress) -> None:
        self.on_pass(Progress(self.passes + progress.passes, self.tokens + progress.tokens, self.tokens + progress.most))

    def add(self, spent: _Spent) -> None:
        self.passes += spent.passes
        self.tokens += spent.tokens


class _Tally:
    """Counts passes and tokens over the batches of one request; a hook itself, it hands the running totals on.

    The prefill is one pass, however many batches start from it.
    """

    def __init__(self, on_pass: OnPass) -> None:
        self.on_pass = on_pass
        self.passes = self.tokens = 0
        self._batch = Progress(1, 0, 0)

    def __call__(self, progress: Progress) -> None:
        self._batch = progress
        self.on_pass(Progress(max(0, self.passes - 1) + progress.passes, self.tokens + progress.tokens, self.tokens + progress.most))

    def end_batch(self, draws: Sequence[Draw]) -> None:
        self.passes = max(0, self.passes - 1) + self._batch.passes
        self.tokens += sum(len(drawn.tokens) for drawn in draws)


def load_infiller(folder: Path | None = None, precision: str | None = None, device: str = "cpu") -> LocalInfiller:
    """Load a model folder, None being the default model inside the package, in a precision that its manifest names, None being the
    first, on one of `engine.devices.DEVICES`. Raises ModelError."""
    return LocalInfiller(DEFAULT_MODEL if folder is None else folder, precision, device)
