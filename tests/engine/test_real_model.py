"""What must hold of the default model on ONNX Runtime: its cache, its batches, its densities, its suggestions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.decoders import DECODERS
from engine.decoders.base import prefill
from engine.errors import Cancelled, PassageError
from engine.infiller import ignore_progress
from engine.local import LocalInfiller
from engine.model import FloatArray, Rows
from engine.options import METHODS, FillOptions
from engine.passage import Passage, Wording
from engine.results import FillResult, Progress
from engine.sampling import Sampler, log_softmax
from engine.scoring import conditionals
from engine.sequence import IntArray, MaskedSequence

PASSAGES = [
    Passage(("def mean(values):\n    return ", " / len(values)\n"), (12,)),
    Passage(("import os\n\nfor name in ", ":\n    print(os.path.", "(name))\n"), (8, 6)),
    Passage(("", "\n\n\ndef area(radius):\n    return ", "\n"), (10, 10)),
    Passage(("class Point:\n    def __init__(self, x, y):\n        self.", " = x\n        ", " = y\n"), (4, 6), False, False),
    Passage(("try:\n    n = int(", ")\nexcept ", " as error:\n    ", "\n    raise\n"), (5, 6, 9)),
]


def padded(sequence: MaskedSequence, split: int, padding: int) -> tuple[Rows, Rows]:
    """A prompt in two passes of a batch of one: its first `split` rows, then the rest and `padding` rows that mean nothing."""

    def rows(ids: IntArray, positions: IntArray, extra: int) -> Rows:
        count = len(ids)
        targets = np.concatenate(sequence.slots)[None]
        return Rows(
            ids=np.concatenate((ids, np.full(extra, 7)))[None],
            positions=np.concatenate((positions, np.zeros(extra, dtype=np.int64)))[None],
            counts=np.array([count]),
            sources=np.full_like(targets, count - 1),
            targets=targets,
            sees=np.full_like(targets, count),
        )

    first = rows(sequence.ids[:split], sequence.positions[:split], 0)
    return first, rows(sequence.ids[split:], sequence.positions[split:], padding)


@pytest.mark.parametrize("passage", PASSAGES)
def test_cached_logits_equal_uncached_ones(infiller: LocalInfiller, passage: Passage) -> None:
    sequence = infiller.sequence(passage)
    whole, _ = padded(sequence, len(sequence.ids), 0)
    uncached = infiller.model.open().run(whole)
    for split in (1, len(sequence.ids) // 2, len(sequence.ids) - 1):
        first, second = padded(sequence, split, padding=3)
        state = infiller.model.open()
        state.run(first)
        state.keep(first.counts)
        np.testing.assert_allclose(state.run(second), uncached, atol=1e-4, rtol=0)


def test_a_batch_s_logits_equal_those_of_its_members_alone(infiller: LocalInfiller) -> None:
    sequence = infiller.sequence(PASSAGES[0])
    prompt, _ = padded(sequence, len(sequence.ids), 0)
    opened = infiller.model.open()
    opened.run(prompt)
    opened.keep(prompt.counts)
    slots = sequence.slots[0]
    tokens = np.array([[40, 41, 42], [300, 301, 302], [7, 90, 500]])
    counts = np.array([3, 1, 2])

    def ask(which: IntArray) -> FloatArray:
        state = opened.fork(len(which))
        shape = (len(which), 1)
        step = Rows(
            ids=tokens[which],
            positions=np.tile(slots[:3], shape),
            counts=counts[which],
            sources=counts[which][:, None] - 1,
            targets=np.tile(slots[3:4], shape),
            sees=counts[which][:, None],
        )
        state.run(step)
        state.keep(step.counts)
        after = Rows(
            ids=tokens[which, :1],
            positions=np.tile(slots[4:5], shape),
            counts=np.ones(len(which), dtype=np.int64),
            sources=np.zeros(shape, dtype=np.int64),
            targets=np.tile(slots[5:6], shape),
            sees=np.ones(shape, dtype=np.int64),
        )
        return state.run(after)

    together = ask(np.arange(3))
    for row in range(3):
        np.testing.assert_allclose(together[row], ask(np.array([row]))[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "sequential"])
@pytest.mark.parametrize("passage", PASSAGES)
def test_greedy_drafting_equals_greedy_sequential(infiller: LocalInfiller, passage: Passage, method: str) -> None:
    one, other = (infiller.fill(passage, FillOptions(temperature=0, method=each)).suggestions[0] for each in (method, "sequential"))
    assert [fill.tokens for fill in one.fills] == [fill.tokens for fill in other.fills]
    assert one.logprob == pytest.approx(other.logprob, abs=1e-3)


def test_the_draft_head_s_drafts_are_often_accepted(infiller: LocalInfiller) -> None:
    """Half of them are, as measured; guesses for the wrong slots, or from the wrong states, hardly ever would be."""
    results = [infiller.fill(passage, FillOptions(temperature=0.4, seed=seed)) for passage in PASSAGES for seed in range(10)]
    assert sum(result.passes for result in results) < 0.75 * sum(result.tokens for result in results)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("passage", PASSAGES)
def test_density_by_one_pass_equals_the_chain_rule(infiller: LocalInfiller, passage: Passage, method: str) -> None:
    """What sequential passes recorded, against one pass over the same tokens."""
    for suggestion in infiller.fill(passage, FillOptions(count=3, seed=1, method=method)).suggestions:
        fills = [fill.tokens for fill in suggestion.fills]
        logs = log_softmax(conditionals(infiller.model, infiller.sequence(passage), fills))
        tokens = [token for fill in fills for token in fill]
        assert logs[np.arange(len(tokens)), tokens].sum() == pytest.approx(suggestion.logprob, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_suggestions_are_distinct_and_the_likeliest_comes_first(infiller: LocalInfiller, method: str) -> None:
    result = infiller.fill(PASSAGES[1], FillOptions(count=6, temperature=1, seed=2, method=method))
    texts = [tuple(fill.text for fill in suggestion.fills) for suggestion in result.suggestions]
    assert 1 < len(texts) <= 6 and len(set(texts)) == len(texts)
    logprobs = [suggestion.logprob for suggestion in result.suggestions]
    assert logprobs == sorted(logprobs, reverse=True)


def drawn_of(result: FillResult) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(fill.tokens for fill in suggestion.fills) for suggestion in result.suggestions]


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_reproduces_its_suggestions(infiller: LocalInfiller, method: str) -> None:
    options = FillOptions(count=4, temperature=1, seed=3, method=method)
    again = drawn_of(infiller.fill(PASSAGES[0], options))
    assert drawn_of(infiller.fill(PASSAGES[0], options)) == again
    assert drawn_of(infiller.fill(PASSAGES[0], FillOptions(count=4, temperature=1, seed=4, method=method))) != again


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("passage", PASSAGES)
def test_no_draw_takes_more_passes_than_tokens(infiller: LocalInfiller, passage: Passage, method: str) -> None:
    prefilled = prefill(infiller.model, infiller.sequence(passage), 5)
    for item in DECODERS[method](prefilled, 4, Sampler(), 5, np.random.default_rng(0), ignore_progress):
        assert 1 <= item.passes <= len(item.tokens)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", [1, 3])
def test_a_hook_that_raises_cancelled_ends_the_fill(infiller: LocalInfiller, method: str, limit: int) -> None:
    seen: list[int] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.passes)
        if len(seen) == limit:
            raise Cancelled

    with pytest.raises(Cancelled):
        infiller.fill(PASSAGES[2], FillOptions(count=8, temperature=1, seed=0, method=method), stop)
    assert seen == list(range(1, limit + 1))


def test_a_fill_never_exceeds_its_budget_or_leaks_a_mark(infiller: LocalInfiller) -> None:
    marks = infiller.manifest.special_ids
    for passage in PASSAGES:
        for suggestion in infiller.fill(passage, FillOptions(count=4, temperature=2, seed=5)).suggestions:
            for fill, budget in zip(suggestion.fills, passage.budgets, strict=True):
                assert 1 <= len(fill.tokens) <= budget
                assert fill.complete == (fill.tokens[-1] == marks.eoh)
                assert not {marks.pad, marks.bos, marks.sof, marks.eof, marks.eoh} & set(fill.tokens[:-1])


@pytest.mark.parametrize("method", METHODS)
def test_a_hole_that_must_hold_something_does_and_its_likelihood_is_the_model_s_own(infiller: LocalInfiller, method: str) -> None:
    any_text = Passage(("x = 1", "\ny = 2\n"), (8,))
    some_text = replace(any_text, wordings=(Wording.SOME,))
    empty = infiller.score(any_text, ("",)).logprob
    assert empty > np.log(0.1), "else nothing would be shown here"
    for temperature, count in ((1.0, 16), (0.0, 1)):
        suggestions = infiller.fill(some_text, FillOptions(count, temperature, seed=1, method=method)).suggestions
        assert len(suggestions) == count
        for suggestion in suggestions:
            assert suggestion.fills[0].tokens[0] != infiller.model.eoh
            # The chance that the hole is empty is the model's own, and taken from no other fill.
            assert np.exp(suggestion.logprob) <= 1 - np.exp(empty)


def test_score_names_each_token_s_rank_and_the_alternatives(infiller: LocalInfiller) -> None:
    passage = PASSAGES[0]
    best = infiller.fill(passage, FillOptions(temperature=0)).suggestions[0].fills[0]
    score = infiller.score(passage, ["sum(values)"], alternatives=3)
    (hole,) = score.holes
    assert "".join(token.text for token in hole) == "sum(values)"
    assert score.tokens == infiller.count_tokens("sum(values)") + 1
    for token in hole:
        chances = [chance for _, chance in token.alternatives]
        assert len(chances) == 3 and chances == sorted(chances, reverse=True) and sum(chances) <= 1
        assert (token.rank == 1) == (np.exp(token.logprob) >= chances[0] - 1e-12)
    # The first alternative at the first slot is where the greedy fill starts.
    assert hole[0].alternatives[0][1] == pytest.approx(np.exp(best.logprobs[0]), abs=1e-4)


def test_score_refuses_what_its_holes_can_t_hold(infiller: LocalInfiller) -> None:
    with pytest.raises(PassageError, match="budget is 2"):
        infiller.score(Passage(("a = ", "\n"), (2,)), ["one + two + three"])
    with pytest.raises(PassageError, match="as many texts"):
        infiller.score(Passage(("a = ", "\n"), (2,)), [])


def test_a_passage_longer_than_the_window_is_refused(infiller: LocalInfiller) -> None:
    with pytest.raises(PassageError, match="window"):
        infiller.fill(Passage(("x = 1\n" * infiller.window, "\n"), (4,)), FillOptions())
