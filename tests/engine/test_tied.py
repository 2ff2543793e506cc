"""Tied holes: draws follow the joint among fills that repeat, against the oracle by enumeration; and what must hold on the real model."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pytest
from scipy.stats import chi2

from engine.decoders.base import Draw, prefill
from engine.decoders.tied import TiedSearch
from engine.errors import Cancelled, PassageError
from engine.infiller import OnPass, ignore_progress
from engine.local import LocalInfiller
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.results import Progress
from engine.sampling import Probabilities, Sampler, log_softmax
from engine.scoring import conditionals
from engine.sequence import MaskedSequence
from tests.engine.oracle import Joint, Oracle, enumerate_joint, length_for, sequence_with

# The oracle answers NaN for padding, which a decoder computes with but must not use.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

TIED = importlib.import_module("engine.decoders.tied")
# Chance that a right search fails one chi-square check. Seeds are fixed, so a pass stays a pass.
ERROR_RATE = 1e-6
DRAWS = 600
DRAWS_OF_MUTANTS = 1_200
PLAIN, NARROWED, GREEDY = Sampler(), Sampler(0.7, 0.9), Sampler(0)
# Budgets, ties, which lengths are fixed.
Case = tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]
CASES: dict[str, Case] = {
    "aa": ((3, 3), (0, 0), ()),
    "aba": ((2, 2, 2), (0, 1, 0), ()),
    "abab": ((2, 1, 2, 1), (0, 1, 0, 1), ()),
    "aab": ((2, 2, 2), (0, 0, 2), ()),
    "baa": ((2, 2, 2), (0, 1, 1), ()),
    "aaa": ((2, 2, 2), (0, 0, 0), ()),
    "aa, fixed": ((2, 2), (0, 0), (True, True)),
    "aba, b fixed": ((2, 2, 2), (0, 1, 0), (False, True, False)),
}
Weights = dict[tuple[int, ...], float]
Fills = tuple[tuple[int, ...], ...]


def setting(case: Case, seed: int) -> tuple[Oracle, MaskedSequence]:
    budgets, _, fixed = case
    oracle = Oracle(seed, length_for(budgets), vocabulary=3, concentration=0.8)
    return oracle, sequence_with(budgets, oracle, seed, fixed)


def hole_texts(outcome_slots: Sequence[int], tokens: Sequence[int], budgets: Sequence[int]) -> list[tuple[int, ...]]:
    borders = np.cumsum(budgets)
    texts: list[list[int]] = [[] for _ in budgets]
    for slot, token in zip(outcome_slots, tokens, strict=True):
        texts[int(np.searchsorted(borders, slot, side="right"))].append(token)
    return [tuple(text) for text in texts]


def constrained(joint: Joint, case: Case) -> Weights:
    """The enumerated joint, what agrees with the ties alone, renormalised."""
    budgets, ties, _ = case
    kept = {}
    for tokens, outcome in joint.items():
        texts = hole_texts(outcome.slots, tokens, budgets)
        if all(texts[hole] == texts[first] for hole, first in enumerate(ties)):
            kept[tokens] = outcome.probability
    total = sum(kept.values())
    return {tokens: weight / total for tokens, weight in kept.items()}


def draws(case: Case, sampler: Sampler, seed: int, total: int, each: int = 1) -> list[list[Draw]]:
    """`total` searches, of each of which the first `each` fills are taken."""
    oracle, sequence = setting(case, seed)
    prefilled = prefill(oracle, sequence)
    rng = np.random.default_rng(seed)
    return [list(islice(TiedSearch(prefilled, case[1], sampler, rng, ignore_progress), each)) for _ in range(total)]


def p_value(seen: Counter[Fills], chances: dict[Fills, float]) -> float:
    """Chi-square, outcomes expected fewer than 5 times pooled into one; 0 where something impossible was seen."""
    if not set(seen) <= set(chances):
        return 0.0
    total = sum(seen.values())
    pairs = [(seen[outcome], chance * total) for outcome, chance in chances.items()]
    common = [pair for pair in pairs if pair[1] >= 5]
    rare = [pair for pair in pairs if pair[1] < 5]
    if sum(due for _, due in rare) >= 5:
        common.append((sum(count for count, _ in rare), sum(due for _, due in rare)))
    assert len(common) > 1, "nothing to tell apart"
    return float(chi2.sf(sum((count - due) ** 2 / due for count, due in common), len(common) - 1))


def verdict(case: Case, sampler: Sampler, total: int = DRAWS, seed: int = 5) -> float:
    weights = constrained(enumerate_joint(*setting(case, seed), sampler), case)
    seen: Counter[Fills] = Counter((found[0].tokens,) for found in draws(case, sampler, seed, total))
    return p_value(seen, {(tokens,): weight for tokens, weight in weights.items()})


@pytest.mark.parametrize("sampler", [PLAIN, NARROWED], ids=["plain", "narrowed"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_first_fill_follows_the_constrained_joint(case: Case, sampler: Sampler) -> None:
    assert verdict(case, sampler) > ERROR_RATE


@pytest.mark.parametrize("sampler", [PLAIN, NARROWED], ids=["plain", "narrowed"])
@pytest.mark.parametrize("name", ["aa", "aba"])
def test_further_fills_are_drawn_without_replacement(name: str, sampler: Sampler) -> None:
    case, seed = CASES[name], 5
    weights = constrained(enumerate_joint(*setting(case, seed), sampler), case)
    chances: dict[Fills, float] = {
        (first, second): weight * other / (1 - weight)
        for first, weight in weights.items()
        for second, other in weights.items()
        if first != second
    }
    found = draws(case, sampler, seed, DRAWS, 2)
    seen: Counter[Fills] = Counter((pair[0].tokens, pair[1].tokens) for pair in found)
    assert p_value(seen, chances) > ERROR_RATE


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_without_noise_fills_come_by_falling_likelihood_and_all_of_them(case: Case) -> None:
    for seed in range(8):
        joint = enumerate_joint(*setting(case, seed), PLAIN)
        weights = constrained(joint, case)
        (found,) = draws(case, GREEDY, seed, 1, len(weights) + 1)
        assert {item.tokens for item in found} == set(weights)
        assert [weights[item.tokens] for item in found] == pytest.approx(sorted(weights.values(), reverse=True), rel=1e-9)
        for item in found:
            assert item.slots == joint[item.tokens].slots
            assert item.logprobs == pytest.approx(joint[item.tokens].logprobs, abs=1e-9)


def test_with_noise_the_fills_are_all_those_there_are_and_have_the_models_own_likelihoods() -> None:
    for name in ("aba", "aba, b fixed"):
        joint = enumerate_joint(*setting(CASES[name], 3), NARROWED)
        weights = constrained(joint, CASES[name])
        (found,) = draws(CASES[name], NARROWED, 3, 1, len(joint))
        assert len(found) == len(weights) and {item.tokens for item in found} == set(weights)
        for item in found:
            assert item.logprobs == pytest.approx(joint[item.tokens].logprobs, abs=1e-9)


# Each changes one rule of the search. The check above must notice it, on some case.
def clipped_gumbels(locations: Probabilities, largest: float, rng: np.random.Generator) -> Probabilities:
    values: Probabilities = np.minimum(locations + rng.gumbel(size=len(locations)), largest)
    return values


def shifted_gumbels(locations: Probabilities, largest: float, rng: np.random.Generator) -> Probabilities:
    drawn = locations + rng.gumbel(size=len(locations))
    values: Probabilities = drawn - drawn.max() + largest
    return values


@pytest.mark.parametrize("rule", [clipped_gumbels, shifted_gumbels])
def test_the_check_catches_gumbels_that_are_clipped_or_moved_to_their_largest(rule: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TIED, "gumbels_below", rule)
    assert min(verdict(CASES[name], PLAIN, DRAWS_OF_MUTANTS) for name in ("aa", "abab")) < ERROR_RATE


def test_the_check_catches_a_forced_weight_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TIED._Path, "bound", property(lambda path: path.value))
    monkeypatch.setattr(TIED._Children, "bound", lambda children, index: float(children.values[index]))
    assert verdict(CASES["aa"], PLAIN, DRAWS_OF_MUTANTS) < ERROR_RATE


def test_the_check_catches_a_repeat_without_its_end_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    right = TiedSearch._look_at

    def forgetful(search: TiedSearch, paths: Sequence[object]) -> None:
        push = search._push

        def unweighted(bound: float, item: object) -> None:
            if isinstance(item, TIED._Leaf) and item.path.tokens[-1] == search._chain.eoh:
                bound -= item.path.logprobs[-1]
            push(bound, item)  # type: ignore[arg-type]

        monkeypatch.setattr(search, "_push", unweighted)
        right(search, paths)  # type: ignore[arg-type]

    monkeypatch.setattr(TiedSearch, "_look_at", forgetful)
    assert verdict(CASES["aa"], PLAIN, DRAWS_OF_MUTANTS) < ERROR_RATE


def test_the_check_catches_a_search_that_stops_at_the_first_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    push = TiedSearch._push

    def hasty(search: TiedSearch, bound: float, item: object) -> None:
        push(search, np.inf if isinstance(item, TIED._Leaf) else bound, item)  # type: ignore[arg-type]

    monkeypatch.setattr(TiedSearch, "_push", hasty)
    assert verdict(CASES["aa"], PLAIN, DRAWS_OF_MUTANTS) < ERROR_RATE


def test_a_search_that_is_cut_short_says_so() -> None:
    case = CASES["aaa"]
    oracle, sequence = setting(case, 5)
    prefilled = prefill(oracle, sequence)

    def search(most_nodes: int) -> tuple[list[tuple[int, ...]], bool]:
        made = TiedSearch(prefilled, case[1], PLAIN, np.random.default_rng(1), ignore_progress, most_nodes)
        return [item.tokens for item in made], made.exact

    whole, exact = search(10_000)
    assert exact
    cut, exact = search(6)
    assert not exact and 0 < len(cut) < len(whole) and set(cut) <= set(whole)
    assert search(1) == ([], False)


PASSAGE = Passage(
    ("def total(items):\n    ", " = 0\n    for item in items:\n        ", " += ", "\n    return ", "\n"), (2, 2, 6, 2), ties=(0, 0, 2, 0)
)


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_the_models_tied_fills_repeat_and_score_as_they_say(infiller: LocalInfiller, temperature: float) -> None:
    result = infiller.fill(PASSAGE, FillOptions(count=3, temperature=temperature, seed=2))
    assert result.suggestions and result.passes > 1 and result.tokens >= sum(each.tokens for each in result.suggestions)
    for suggestion in result.suggestions:
        first, second, _, last = suggestion.fills
        assert first.tokens == second.tokens == last.tokens
        fills = [fill.tokens for fill in suggestion.fills]
        logs = log_softmax(conditionals(infiller.model, infiller.sequence(PASSAGE), fills))
        tokens = [token for fill in fills for token in fill]
        assert logs[np.arange(len(tokens)), tokens].sum() == pytest.approx(suggestion.logprob, abs=1e-3)
    assert len({suggestion.texts for suggestion in result.suggestions}) == len(result.suggestions)


def test_ties_are_searched_for_whatever_the_method_and_again_with_the_same_seed(infiller: LocalInfiller) -> None:
    answers = {infiller.fill(PASSAGE, FillOptions(seed=3, method=method)).suggestions[0].texts for method in METHODS}
    assert len(answers) == 1


def test_a_search_is_cancelled_between_passes_and_reports_each(infiller: LocalInfiller) -> None:
    seen: list[Progress] = []
    result = infiller.fill(PASSAGE, FillOptions(seed=3), seen.append)
    assert [progress.passes for progress in seen] == list(range(1, result.passes + 1))
    assert all(progress.tokens <= progress.most for progress in seen)

    def stopper(at: int) -> OnPass:
        def stop(progress: Progress) -> None:
            if progress.passes == at:
                raise Cancelled

        return stop

    for at in (1, 2, result.passes):
        with pytest.raises(Cancelled):
            infiller.fill(PASSAGE, FillOptions(seed=3), stopper(at))
    assert infiller.fill(PASSAGE, FillOptions(seed=3)).suggestions == result.suggestions


def test_tied_texts_that_differ_have_no_score(infiller: LocalInfiller) -> None:
    with pytest.raises(PassageError, match="holes 1 and 4 are tied, but their texts differ"):
        infiller.score(PASSAGE, ["n", "n", "item", "m"])


@pytest.mark.parametrize(
    ("ties", "budgets", "fixed", "message"),
    [
        ((0,), (2, 2), (), "2 holes need as many ties, not 1"),
        ((1, 1), (2, 2), (), "hole 1 is tied to hole 2"),
        ((0, 0, 1), (2, 2, 2), (), "hole 3 is tied to hole 2"),
        ((0, -1), (2, 2), (), "hole 2 is tied to hole 0"),
        ((0, 0), (2, 3), (), "differ in their budgets"),
        ((0, 0), (2, 2), (True, False), "differ in their budgets"),
    ],
)
def test_ties_that_make_no_sense(ties: tuple[int, ...], budgets: tuple[int, ...], fixed: tuple[bool, ...], message: str) -> None:
    with pytest.raises(PassageError, match=message):
        Passage(("",) * (len(budgets) + 1), budgets, fixed_lengths=fixed, ties=ties)
