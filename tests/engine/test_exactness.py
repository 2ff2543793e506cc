"""Every decoder draws the model's own joint: statistical tests against the oracle, and proof that they catch broken rules.

arXiv 2504.20456, theorem 2: ASSD's outcomes are distributed as sequential decoding's.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from engine.decoders import DECODERS
from engine.decoders.base import PUBLISHED_WIDTH, Draw, prefill
from engine.decoders.one_pass import Drafts
from engine.decoders.slots import SlotChain
from engine.errors import Cancelled
from engine.infiller import OnPass, ignore_progress
from engine.model import FloatArray, Model, Rows
from engine.results import Progress
from engine.sampling import Probabilities, Sampler, draw
from engine.sequence import IntArray, MaskedSequence
from tests.engine.oracle import Joint, Oracle, Tampered, enumerate_joint, length_for, sequence_with

# The oracle answers NaN for padding, which a decoder computes with but must not use.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

DRAWS = 200_000
DRAWS_OF_MUTANTS = 40_000
VISIBLE = 3  # tokens in a row, so that there are n-grams
BATCH = 5_000
# Chance that a right decoder fails one chi-square check. Seeds are fixed, so a pass stays a pass.
ERROR_RATE = 1e-6
METHODS = sorted(DECODERS)
SAMPLERS = [Sampler(), Sampler(0.7, 0.9)]
# Method, budgets, width (which sequential decoding does not use; None: as many as the method finds good).
CASES: list[tuple[str, tuple[int, ...], int | None]] = [
    ("sequential", (3, 2, 2), 3),
    ("sequential", (4, 2), 5),
    ("assd", (3, 2, 2), 2),
    ("assd", (3, 2, 2), 3),
    ("assd", (2, 3), 4),
    ("assd", (4, 2), 5),
    ("assd-ngram", (3, 2, 2), 2),
    ("assd-ngram", (4, 2), 4),
    ("fused", (3, 2, 2), 3),
    ("fused", (4, 2), 5),
    ("fused", (4, 3), None),
]
# Method, budgets, which of them are fixed lengths, width.
FIXED_CASES = [
    ("sequential", (3, 2, 2), (False, True, False), 3),
    ("assd", (3, 2, 2), (False, True, False), 3),
    ("assd", (3, 2, 2), (True, False, True), 2),
    ("assd", (4, 3), (True, False), 5),
    ("assd", (2, 4), (False, True), 5),
    ("assd-ngram", (3, 2, 2), (True, False, True), 3),
    ("fused", (3, 2, 2), (False, True, False), 3),
    ("fused", (2, 4), (False, True), 4),
    ("fused", (4, 3), (True, False), 5),
]
# Method, budgets, which of them must hold something, width.
NONEMPTY_CASES = [
    ("sequential", (3, 2, 2), (False, True, True), 3),
    ("assd", (3, 2, 2), (True, False, True), 3),
    ("assd", (2, 4), (True, True), 5),
    ("assd-ngram", (3, 2, 2), (True, True, False), 3),
    ("fused", (3, 2, 2), (False, True, True), 3),
    ("fused", (4, 3), (True, True), None),
]
Accepted = tuple[IntArray, NDArray[np.bool_]]
# The package's name for the function hides the module of the same name.
ASSD = importlib.import_module("engine.decoders.assd")
ONE_PASS = importlib.import_module("engine.decoders.one_pass")
DRAFTING_MODULES = (ASSD, ONE_PASS)
DRAFTING = ["assd", "assd-ngram", "fused"]


@dataclass(frozen=True)
class Verdict:
    """How far draws are from a joint: the chi-square test's p-value, their total variation, and that of exact draws."""

    p_value: float
    variation: float
    exact_variation: float
    exact_deviation: float


def drawn(
    method: str,
    model: Model,
    sequence: MaskedSequence,
    sampler: Sampler,
    width: int | None,
    total: int,
    seed: int = 0,
    on_pass: OnPass = ignore_progress,
) -> list[Draw]:
    """`total` alternatives in batches, all from one prefill."""
    rng = np.random.default_rng(seed)
    prefilled = prefill(model, sequence, width or PUBLISHED_WIDTH)
    draws: list[Draw] = []
    while len(draws) < total:
        draws += DECODERS[method](prefilled, min(BATCH, total - len(draws)), sampler, width, rng, on_pass)
    return draws


def judge(draws: list[Draw], joint: Joint) -> Verdict:
    """Chi-square over all outcomes, those expected fewer than 5 times pooled into one, and total variation.

    An outcome that the joint rules out (or that took other slots than its tokens imply) has p-value 0.
    """
    counts = Counter(item.tokens for item in draws)
    chances = np.array([outcome.probability for outcome in joint.values()])
    observed = np.array([counts[tokens] for tokens in joint])
    possible = all(item.tokens in joint and item.slots == joint[item.tokens].slots for item in draws)
    expected = chances * len(draws)
    rare = expected < 5
    seen, due = observed[~rare].astype(np.float64), expected[~rare]
    if expected[rare].sum() >= 5:
        seen, due = np.append(seen, observed[rare].sum()), np.append(due, expected[rare].sum())
    statistic = ((seen - due) ** 2 / due).sum()
    exact = np.random.default_rng(1).multinomial(len(draws), chances / chances.sum(), size=100)
    variations = np.abs(exact / len(draws) - chances).sum(axis=1) / 2
    return Verdict(
        p_value=float(chi2.sf(statistic, len(due) - 1)) if possible else 0.0,
        variation=float(np.abs(observed / len(draws) - chances).sum() / 2),
        exact_variation=float(variations.mean()),
        exact_deviation=float(variations.std()),
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["plain", "narrowed"])
@pytest.mark.parametrize(("method", "budgets", "width"), CASES)
def test_draws_follow_the_enumerated_joint(method: str, budgets: tuple[int, ...], width: int | None, sampler: Sampler) -> None:
    seed = width or 1
    oracle = Oracle(seed, length_for(budgets, VISIBLE))
    sequence = sequence_with(budgets, oracle, seed, visible=VISIBLE)
    verdict = judge(drawn(method, oracle, sequence, sampler, width, DRAWS), enumerate_joint(oracle, sequence, sampler))
    assert verdict.p_value > ERROR_RATE, verdict
    assert verdict.variation < verdict.exact_variation + 5 * verdict.exact_deviation, verdict


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["plain", "narrowed"])
@pytest.mark.parametrize(("method", "budgets", "fixed", "width"), FIXED_CASES)
def test_draws_follow_the_renormalised_joint_where_lengths_are_fixed(
    method: str, budgets: tuple[int, ...], fixed: tuple[bool, ...], width: int, sampler: Sampler
) -> None:
    oracle = Oracle(width, length_for(budgets, VISIBLE))
    sequence = sequence_with(budgets, oracle, width, fixed, VISIBLE)
    joint = enumerate_joint(oracle, sequence, sampler)
    verdict = judge(drawn(method, oracle, sequence, sampler, width, DRAWS), joint)
    assert verdict.p_value > ERROR_RATE, verdict
    assert verdict.variation < verdict.exact_variation + 5 * verdict.exact_deviation, verdict
    if sampler == SAMPLERS[0]:  # narrowed sampling may leave the end mark out anyway
        untold = enumerate_joint(oracle, replace(sequence, fixed_lengths=()), sampler)
        assert len(joint) < len(untold), "with every length unknown there are more ways to fill"


@pytest.mark.parametrize("sampler", SAMPLERS, ids=["plain", "narrowed"])
@pytest.mark.parametrize(("method", "budgets", "nonempty", "width"), NONEMPTY_CASES)
def test_draws_follow_the_joint_of_a_sampler_that_leaves_no_hole_empty(
    method: str, budgets: tuple[int, ...], nonempty: tuple[bool, ...], width: int | None, sampler: Sampler
) -> None:
    seed = width or 1
    oracle = Oracle(seed, length_for(budgets, VISIBLE))
    sequence = sequence_with(budgets, oracle, seed, visible=VISIBLE, nonempty=nonempty)
    joint = enumerate_joint(oracle, sequence, sampler)
    verdict = judge(drawn(method, oracle, sequence, sampler, width, DRAWS), joint)
    assert verdict.p_value > ERROR_RATE, verdict
    assert verdict.variation < verdict.exact_variation + 5 * verdict.exact_deviation, verdict
    if sampler == SAMPLERS[0]:  # narrowed sampling may leave the end mark out anyway
        assert len(joint) < len(enumerate_joint(oracle, replace(sequence, nonempty=()), sampler))


def test_one_hole_that_must_not_be_empty_has_the_joint_given_that_it_is_not() -> None:
    oracle = Oracle(5, length_for((4,)))
    sequence = sequence_with((4,), oracle, 5)
    given_some = {tokens: outcome for tokens, outcome in enumerate_joint(oracle, sequence, Sampler()).items() if tokens != (oracle.eoh,)}
    total = sum(outcome.probability for outcome in given_some.values())
    joint = enumerate_joint(oracle, replace(sequence, nonempty=(True,)), Sampler())
    assert {tokens: outcome.probability for tokens, outcome in joint.items()} == pytest.approx(
        {tokens: outcome.probability / total for tokens, outcome in given_some.items()}
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_check_catches_a_hole_that_is_empty_after_all(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets, width = (3, 3), 3
    oracle = Oracle(width, length_for(budgets, VISIBLE))
    sequence = sequence_with(budgets, oracle, width, visible=VISIBLE, nonempty=(False, True))
    monkeypatch.setattr(SlotChain, "chances", lambda chain, sampler, logits, slots: sampler.probabilities(logits))
    draws = drawn(method, oracle, sequence, Sampler(), width, DRAWS_OF_MUTANTS)
    assert judge(draws, enumerate_joint(oracle, sequence, Sampler())).p_value < ERROR_RATE


@pytest.mark.parametrize("where", ["prefill", "ask_from_last", "verify"])
def test_the_check_catches_end_marks_that_are_barred_in_some_passes_only(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets, fixed, width = (3, 2, 2), (True, True, False), 3
    oracle = Oracle(width, length_for(budgets))
    sequence = sequence_with(budgets, oracle, width, fixed)
    bar = SlotChain.bar_end_marks

    def forgetful(chain: SlotChain, logits: FloatArray, slots: IntArray) -> FloatArray:
        return logits if sys._getframe(1).f_code.co_name == where else bar(chain, logits, slots)

    monkeypatch.setattr(SlotChain, "bar_end_marks", forgetful)
    verdict = judge(drawn("assd", oracle, sequence, Sampler(), width, DRAWS), enumerate_joint(oracle, sequence, Sampler()))
    assert verdict.p_value < ERROR_RATE


def changed(
    monkeypatch: pytest.MonkeyPatch, method: str, sampler: Sampler = SAMPLERS[0], change: Callable[[Rows], Rows] | None = None
) -> Verdict:
    """The verdict on a decoder that was made wrong. A right one fails this check with a chance of `ERROR_RATE`."""
    budgets, width = (4, 2), 4
    oracle = Oracle(width, length_for(budgets, VISIBLE))
    sequence = sequence_with(budgets, oracle, seed=width, visible=VISIBLE)
    model = oracle if change is None else Tampered(oracle, change)
    draws = drawn(method, model, sequence, sampler, width, DRAWS_OF_MUTANTS)
    if method in DRAFTING:
        assert sum(item.passes for item in draws) < sum(len(item.tokens) for item in draws), "nothing was drafted, so nothing is shown"
    return judge(draws, enumerate_joint(oracle, sequence, sampler))


def patch(monkeypatch: pytest.MonkeyPatch, name: str, rule: Callable[..., Any]) -> None:
    """Replace a function in every decoder that uses it."""
    for module in DRAFTING_MODULES:
        monkeypatch.setattr(module, name, rule)


@pytest.mark.parametrize("method", METHODS)
def test_the_check_passes_what_is_right_at_the_mutants_number_of_draws(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed(monkeypatch, method).p_value > ERROR_RATE


def accept_all(target: Probabilities, proposal: Probabilities, drafts: IntArray, rng: np.random.Generator) -> Accepted:
    return drafts, np.ones(len(drafts), dtype=bool)


def residual_is_target(target: Probabilities, proposal: Probabilities, drafts: IntArray, rng: np.random.Generator) -> Accepted:
    rows = np.arange(len(drafts))
    accepted = rng.random(len(drafts)) * proposal[rows, drafts] < target[rows, drafts]
    return np.where(accepted, drafts, draw(target, rng)), accepted


def inverted_ratio(target: Probabilities, proposal: Probabilities, drafts: IntArray, rng: np.random.Generator) -> Accepted:
    rows = np.arange(len(drafts))
    accepted = rng.random(len(drafts)) * target[rows, drafts] < proposal[rows, drafts]
    residual = np.maximum(target - proposal, 0.0)
    residual[residual.sum(axis=1) <= 0] = 1.0
    return np.where(accepted, drafts, draw(residual, rng)), accepted


@pytest.mark.parametrize("method", DRAFTING)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=["plain", "narrowed"])
@pytest.mark.parametrize("rule", [accept_all, residual_is_target, inverted_ratio])
def test_the_check_catches_a_broken_accept_rule(
    rule: Callable[..., Accepted], sampler: Sampler, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch(monkeypatch, "accept", rule)
    verdict = changed(monkeypatch, method, sampler)
    assert verdict.p_value < ERROR_RATE
    assert verdict.variation > verdict.exact_variation + 5 * verdict.exact_deviation, verdict


def sharpened(proposals: Probabilities) -> Probabilities:
    """Other proposals than those that drafts were drawn from."""
    powers = proposals**2
    changed: Probabilities = powers / powers.sum(axis=-1, keepdims=True)
    return changed


@pytest.mark.parametrize("method", DRAFTING)
def test_the_check_catches_a_proposal_that_is_changed_after_its_token_was_drawn(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    published, one_pass = ASSD.draw_drafts, ONE_PASS.draw_drafts

    def published_changed(*arguments: Any) -> tuple[IntArray, IntArray, Probabilities, IntArray]:
        slots, drafts, proposals, lengths = published(*arguments)
        return slots, drafts, sharpened(proposals), lengths

    def one_pass_changed(*arguments: Any) -> Drafts:
        drafts: Drafts = one_pass(*arguments)
        return replace(drafts, proposals=tuple(sharpened(each) for each in drafts.proposals))

    monkeypatch.setattr(ASSD, "draw_drafts", published_changed)
    monkeypatch.setattr(ONE_PASS, "draw_drafts", one_pass_changed)
    assert changed(monkeypatch, method).p_value < ERROR_RATE


@pytest.mark.parametrize("method", ["fused", "assd-ngram"])
def test_the_check_catches_a_draft_that_is_dropped_once_it_was_seen(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ONE_PASS.draw_drafts

    def choosy(*arguments: Any) -> Drafts:
        drafts: Drafts = original(*arguments)
        index = np.arange(len(drafts.lengths))
        unliked = (drafts.lengths > 0) & (drafts.tokens.shape[1] > 0)
        if drafts.tokens.shape[1]:
            unliked &= drafts.tokens[index, drafts.lengths - 1] == 0
        slots = drafts.slots.copy()
        # Padding repeats the slot that is asked last.
        for row in np.flatnonzero(unliked):
            slots[row, drafts.lengths[row] :] = slots[row, drafts.lengths[row] - 1]
        return replace(drafts, slots=slots, lengths=drafts.lengths - unliked)

    monkeypatch.setattr(ONE_PASS, "draw_drafts", choosy)
    assert changed(monkeypatch, method).p_value < ERROR_RATE


def asks_from_one_row(rows: Rows) -> bool:
    """The prompt's pass, and the published algorithm's draft pass, ask for all their slots from one content row."""
    return bool((rows.sources == rows.sources[:, :1]).all())


def verify_sees_its_own_draft(rows: Rows) -> Rows:
    return rows if asks_from_one_row(rows) else replace(rows, sees=np.minimum(rows.sees + 1, rows.ids.shape[1]))


def verify_is_blind_to_the_last_draft(rows: Rows) -> Rows:
    return rows if asks_from_one_row(rows) else replace(rows, sees=rows.sees - 1)


@pytest.mark.parametrize("method", DRAFTING)
@pytest.mark.parametrize("change", [verify_sees_its_own_draft, verify_is_blind_to_the_last_draft])
def test_the_check_catches_a_row_that_sees_too_much_or_too_little(
    change: Callable[[Rows], Rows], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert changed(monkeypatch, method, change=change).p_value < ERROR_RATE


def test_the_check_catches_a_published_draft_row_that_is_blind_to_the_last_token(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its first draft is accepted untested, so that here a wrong draft row is a wrong draw.
    def change(rows: Rows) -> Rows:
        return replace(rows, sees=rows.sees - 1) if rows.ids.shape[1] == 1 else rows

    assert changed(monkeypatch, "assd", change=change).p_value < ERROR_RATE


chains = st.integers(0, 2**32 - 1)
# A hole's budget, and whether its length is fixed.
hole_lists = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=4)
short_hole_lists = st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=3)
widths = st.integers(1, 7)
any_width = st.one_of(widths, st.none())  # None: as many as the method finds good
samplers = st.builds(Sampler, st.sampled_from([0.0, 0.3, 1.0, 2.0]), st.sampled_from([0.5, 0.9, 1.0]))


@given(seed=chains, holes=hole_lists, width=any_width, sampler=samplers, method=st.sampled_from(METHODS))
@settings(max_examples=300)
def test_no_draw_takes_more_passes_than_tokens(
    seed: int, holes: list[tuple[int, bool]], width: int | None, sampler: Sampler, method: str
) -> None:
    budgets, fixed = zip(*holes, strict=True)
    oracle = Oracle(seed, length_for(budgets, 2), vocabulary=3)
    draws = drawn(method, oracle, sequence_with(budgets, oracle, seed, fixed, visible=2), sampler, width, 20, seed)
    for item in draws:
        assert 1 <= item.passes <= len(item.tokens) == len(item.slots) == len(item.logprobs) <= sum(budgets)
        assert list(item.slots) == sorted(set(item.slots))
        assert len(item.tokens) >= sum(budget for budget, known in holes if known)
    if method == "sequential":
        assert all(item.passes == len(item.tokens) for item in draws)


@given(seed=chains, holes=short_hole_lists, width=widths, method=st.sampled_from(METHODS))
@settings(max_examples=50)
def test_recorded_log_densities_are_the_model_s_own_whatever_the_sampler(
    seed: int, holes: list[tuple[int, bool]], width: int, method: str
) -> None:
    budgets, fixed = zip(*holes, strict=True)
    oracle = Oracle(seed, length_for(budgets), vocabulary=3)
    sequence = sequence_with(budgets, oracle, seed, fixed)
    joint = enumerate_joint(oracle, sequence, Sampler())
    cases = [(sequence, sampler) for sampler in (Sampler(), Sampler(0.7, 0.9), Sampler(0))]
    for narrowed, sampler in (*cases, (replace(sequence, nonempty=(True,) * len(budgets)), Sampler())):
        for item in drawn(method, oracle, narrowed, sampler, width, 20, seed):
            assert item.slots == joint[item.tokens].slots
            assert item.logprobs == pytest.approx(joint[item.tokens].logprobs, abs=1e-9)
            assert sum(item.logprobs) == pytest.approx(np.log(joint[item.tokens].probability), abs=1e-9)


@given(seed=chains, holes=hole_lists, width=any_width, method=st.sampled_from(DRAFTING))
@settings(max_examples=200)
def test_greedy_drafting_equals_greedy_sequential(seed: int, holes: list[tuple[int, bool]], width: int | None, method: str) -> None:
    budgets, fixed = zip(*holes, strict=True)
    oracle = Oracle(seed, length_for(budgets, 2), vocabulary=3)
    sequence = sequence_with(budgets, oracle, seed, fixed, visible=2, nonempty=(seed % 2 == 1,) * len(budgets))
    (one,) = drawn("sequential", oracle, sequence, Sampler(0), width, 1)
    (other,) = drawn(method, oracle, sequence, Sampler(0), width, 1)
    assert (one.slots, one.tokens) == (other.slots, other.tokens)
    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-9)


@pytest.mark.parametrize("method", ["assd", "fused"])
def test_drafts_save_passes_where_neighbours_hardly_matter(method: str) -> None:
    budgets = (4, 4)
    oracle = Oracle(0, length_for(budgets), vocabulary=3, concentration=50)
    draws = drawn(method, oracle, sequence_with(budgets, oracle), Sampler(), 4, 1000)
    assert sum(item.passes for item in draws) < 0.75 * sum(len(item.tokens) for item in draws)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_cancelled_fill_stops_before_the_next_pass(method: str, limit: int) -> None:
    oracle = Oracle(0, length_for((4, 4)))

    def stop(progress: Progress) -> None:
        if progress.passes == limit:
            raise Cancelled

    with pytest.raises(Cancelled):
        drawn(method, oracle, sequence_with((4, 4), oracle), Sampler(), 2, 50, on_pass=stop)
    assert oracle.passes == limit


@pytest.mark.parametrize("method", METHODS)
def test_progress_counts_up_to_the_work_that_was_done(method: str) -> None:
    oracle = Oracle(0, length_for((3, 2)))
    seen: list[Progress] = []
    draws = drawn(method, oracle, sequence_with((3, 2), oracle), Sampler(), 3, 10, on_pass=seen.append)
    assert [progress.passes for progress in seen] == list(range(1, oracle.passes + 1))
    assert all(progress.most == 50 for progress in seen)
    assert seen[0].tokens == 0
    emitted = [progress.tokens for progress in seen]
    assert emitted == sorted(emitted) and emitted[-1] <= sum(len(item.tokens) for item in draws)
