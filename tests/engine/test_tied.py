"""Tied holes: draws follow the joint among fills that repeat, against the oracle by enumeration; and what must hold on the real model."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy.stats import chi2

from engine.decoders.base import Draw, prefill
from engine.decoders.slots import SlotChain
from engine.decoders.tied import MOST_NODES, TiedSearch
from engine.decoders.tied_paths import Constraint, Path, Texts
from engine.decoders.tied_texts import candidate_texts
from engine.errors import Cancelled, PassageError
from engine.infiller import OnPass, ignore_progress
from engine.local import LocalInfiller
from engine.model import FloatArray
from engine.options import METHODS, FillOptions
from engine.passage import Passage, Wording
from engine.results import Progress
from engine.sampling import Probabilities, Sampler, log_softmax
from engine.scoring import conditionals
from engine.sequence import MaskedSequence
from engine.wording import WordTokens, allowed_tokens
from tests.engine.oracle import Oracle, enumerate_joint, hole_texts, length_for, sequence_with, tied

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
Fills = tuple[tuple[int, ...], ...]


def unbound(ties: tuple[int, ...]) -> Constraint:
    """Ties alone, with any token in any slot; for fewer slots than there are None here."""
    return Constraint(ties, (None,) * 32)


def setting(case: Case, seed: int) -> tuple[Oracle, MaskedSequence]:
    budgets, _, fixed = case
    oracle = Oracle(seed, length_for(budgets), vocabulary=3, concentration=0.8)
    return oracle, sequence_with(budgets, oracle, seed, fixed)


def draws(
    case: Case,
    sampler: Sampler,
    seed: int,
    total: int,
    each: int = 1,
    constraint: Constraint | None = None,
    most_nodes: int = MOST_NODES,
) -> list[list[Draw]]:
    """`total` searches, of each of which the first `each` fills are taken."""
    oracle, sequence = setting(case, seed)
    prefilled = prefill(oracle, sequence)
    rng = np.random.default_rng(seed)
    constraint = constraint or unbound(case[1])
    return [list(islice(TiedSearch(prefilled, constraint, sampler, rng, ignore_progress, most_nodes), each)) for _ in range(total)]


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
    weights = tied(enumerate_joint(*setting(case, seed), sampler), *case[:2])
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
    weights = tied(enumerate_joint(*setting(case, seed), sampler), *case[:2])
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
        weights = tied(joint, *case[:2])
        (found,) = draws(case, GREEDY, seed, 1, len(weights) + 1)
        assert {item.tokens for item in found} == set(weights)
        assert [weights[item.tokens] for item in found] == pytest.approx(sorted(weights.values(), reverse=True), rel=1e-9)
        for item in found:
            assert item.slots == joint[item.tokens].slots
            assert item.logprobs == pytest.approx(joint[item.tokens].logprobs, abs=1e-9)


def test_with_noise_the_fills_are_all_those_there_are_and_have_the_models_own_likelihoods() -> None:
    for name in ("aba", "aba, b fixed"):
        joint = enumerate_joint(*setting(CASES[name], 3), NARROWED)
        weights = tied(joint, *CASES[name][:2])
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
    monkeypatch.setattr(TIED._Node, "bound", property(lambda node: node.value))
    monkeypatch.setattr(TIED._Children, "bound", lambda children, index: float(children.values[index]))
    assert verdict(CASES["aa"], PLAIN, DRAWS_OF_MUTANTS) < ERROR_RATE


def test_the_check_catches_a_repeat_without_its_end_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    right = TiedSearch._look_at

    def forgetful(search: TiedSearch, paths: Sequence[object]) -> None:
        push = search._push

        def unweighted(bound: float, item: object) -> None:
            if isinstance(item, TIED._Leaf) and item.node.path.tokens[-1] == search._chain.eoh:
                bound -= item.node.path.logprobs[-1]
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


# The tokens that may begin a word, and those that may go on with one, of the oracle's three; the last is <eoh>.
WORDS = WordTokens(np.array([True, False, False]), np.array([True, True, False]))
WORDINGS = {
    "aa": (Wording.WORD, Wording.WORD),
    "aba": (Wording.SOME, Wording.ANY, Wording.SOME),
    "abab": (Wording.WORD, Wording.ANY, Wording.WORD, Wording.ANY),
    "aa, fixed": (Wording.WORD, Wording.WORD),
}


def keeps_to(text: tuple[int, ...], wording: Wording, eoh: int) -> bool:
    """Said once more, of whole texts."""
    *body, last = text
    if wording == Wording.ANY:
        return True
    if wording == Wording.SOME:
        return bool(body) and last == eoh
    return bool(body) and last == eoh and body[0] == 0 and all(token in (0, 1) for token in body)


def bound(name: str, sampler: Sampler, seed: int) -> tuple[Constraint, dict[tuple[int, ...], float]]:
    """A case with wordings: the constraint, and the chances of the fills that keep to it."""
    (budgets, ties, fixed), wordings = CASES[name], WORDINGS[name]
    oracle, sequence = setting(CASES[name], seed)
    constraint = Constraint(ties, allowed_tokens(SlotChain.of(sequence, oracle.eoh), wordings, [WORDS] * len(ties)))
    joint = enumerate_joint(oracle, sequence, sampler)
    kept = {}
    for tokens, chance in tied(joint, budgets, ties).items():
        texts = hole_texts(joint[tokens].slots, tokens, budgets)
        if fixed:
            texts = [(*text, oracle.eoh) for text in texts]
        if all(keeps_to(text, wording, oracle.eoh) for text, wording in zip(texts, wordings, strict=True)):
            kept[tokens] = chance
    total = sum(kept.values())
    return constraint, {tokens: chance / total for tokens, chance in kept.items()}


@pytest.mark.parametrize("sampler", [PLAIN, NARROWED], ids=["plain", "narrowed"])
@pytest.mark.parametrize("name", WORDINGS)
def test_bound_to_a_wording_the_first_fill_follows_the_joint_given_that_it_keeps_to_it(name: str, sampler: Sampler) -> None:
    constraint, chances = bound(name, sampler, 5)
    assert 1 < len(chances) < len(tied(enumerate_joint(*setting(CASES[name], 5), sampler), *CASES[name][:2]))
    seen: Counter[Fills] = Counter((found[0].tokens,) for found in draws(CASES[name], sampler, 5, DRAWS, constraint=constraint))
    assert p_value(seen, {(tokens,): chance for tokens, chance in chances.items()}) > ERROR_RATE


def test_the_check_catches_a_wording_that_the_free_tokens_are_renormalised_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Barring tokens step by step gives another distribution than the joint given that none of them is drawn."""
    right = TiedSearch._branch

    def barring(search: TiedSearch, node: object, slot: int, logits: FloatArray) -> None:
        allowed = search._constraint.allowed[slot]
        right(search, node, slot, logits if allowed is None else np.where(allowed, logits, -np.inf))  # type: ignore[arg-type]

    monkeypatch.setattr(TiedSearch, "_branch", barring)
    constraint, chances = bound("aa", PLAIN, 5)
    seen: Counter[Fills] = Counter((found[0].tokens,) for found in draws(CASES["aa"], PLAIN, 5, DRAWS_OF_MUTANTS, constraint=constraint))
    assert p_value(seen, {(tokens,): chance for tokens, chance in chances.items()}) < ERROR_RATE


@pytest.mark.parametrize("name", ["aa", "aaa", "abab"])
def test_where_the_candidates_are_all_there_are_a_search_cut_short_follows_the_joint_too(name: str) -> None:
    weights = tied(enumerate_joint(*setting(CASES[name], 5), PLAIN), *CASES[name][:2])
    found = draws(CASES[name], PLAIN, 5, DRAWS, 2, most_nodes=1)
    chances: dict[Fills, float] = {
        (first, second): weight * other / (1 - weight)
        for first, weight in weights.items()
        for second, other in weights.items()
        if first != second
    }
    seen: Counter[Fills] = Counter((pair[0].tokens, pair[1].tokens) for pair in found)
    assert p_value(seen, chances) > ERROR_RATE


def test_the_check_catches_candidates_that_are_weighed_by_their_first_hole_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    right = TiedSearch._weighed

    def first_alone(search: TiedSearch, texts: Sequence[Texts]) -> Iterator[tuple[float, Path]]:
        for _, path in right(search, texts):
            yield sum(logprob for slot, logprob in zip(path.slots, path.logprobs, strict=True) if search._chain.holes[slot] == 0), path

    monkeypatch.setattr(TiedSearch, "_weighed", first_alone)
    weights = tied(enumerate_joint(*setting(CASES["aa"], 5), PLAIN), *CASES["aa"][:2])
    seen: Counter[Fills] = Counter((found[0].tokens,) for found in draws(CASES["aa"], PLAIN, 5, DRAWS_OF_MUTANTS, most_nodes=1))
    assert p_value(seen, {(tokens,): weight for tokens, weight in weights.items()}) < ERROR_RATE


def test_a_search_that_is_cut_short_says_so() -> None:
    case = CASES["aba"]
    oracle, sequence = setting(case, 5)
    prefilled = prefill(oracle, sequence)
    joint = enumerate_joint(oracle, sequence, PLAIN)

    def search(most_nodes: int) -> tuple[list[Draw], bool]:
        made = TiedSearch(prefilled, unbound(case[1]), PLAIN, np.random.default_rng(1), ignore_progress, most_nodes)
        return list(made), made.exact

    whole, exact = search(10_000)
    assert exact
    for most_nodes in (1, 6, 30):
        cut, exact = search(most_nodes)
        tokens = [item.tokens for item in cut]
        assert not exact and tokens and len(set(tokens)) == len(tokens) and set(tokens) <= {item.tokens for item in whole}
        for item in cut:
            assert item.slots == joint[item.tokens].slots
            assert item.logprobs == pytest.approx(joint[item.tokens].logprobs, abs=1e-9)


def test_candidates_are_the_texts_that_their_holes_like_best_each_by_itself() -> None:
    budgets, ties = (3, 3), (0, 0)
    oracle = Oracle(5, length_for(budgets), vocabulary=4, concentration=0.8)
    sequence = sequence_with(budgets, oracle, 5)
    prefilled = prefill(oracle, sequence)
    found = candidate_texts(prefilled, unbound(ties), (0,), 12, lambda: None)
    scores: dict[tuple[int, ...], float] = {}
    for hole in (0, 1):
        # The joint of a sequence that has this hole alone; the other one's slots stay unknown.
        alone = replace(sequence, slots=(sequence.slots[hole],))
        for tokens, outcome in enumerate_joint(oracle, alone, PLAIN).items():
            scores[tokens] = scores.get(tokens, 0.0) + sum(outcome.logprobs)
    best = sorted(scores, key=lambda tokens: -scores[tokens])[:12]
    assert [one[0] for one in found] == best


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


@pytest.mark.parametrize("temperature", [0.0, 0.4, 1.0])
def test_the_model_writes_one_word_where_it_is_to(infiller: LocalInfiller, temperature: float) -> None:
    budgets, wordings = (6,) * 4, (Wording.WORD,) * 4
    result = infiller.fill(replace(PASSAGE, budgets=budgets, ties=(0, 0, 2, 0), wordings=wordings), FillOptions(3, temperature, seed=2))
    assert result.suggestions
    for suggestion in result.suggestions:
        assert all(text.isidentifier() for text in suggestion.texts)
        assert suggestion.texts[0] == suggestion.texts[1] == suggestion.texts[3]
    # Without a tie, too.
    alone = infiller.fill(replace(PASSAGE, budgets=budgets, ties=(), wordings=wordings), FillOptions(1, temperature, seed=2))
    assert all(text.isidentifier() for text in alone.suggestions[0].texts)


def test_what_may_be_part_of_a_word() -> None:
    words = WordTokens.of(["name", "_x", "9", "x9", " name", "", "\ufffd", "é", "if", "a b", "-"])
    assert words.starts.tolist() == [True, True, False, True, False, False, False, True, True, False, False]
    assert words.parts.tolist() == [True, True, True, True, False, False, False, True, True, False, False]


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


def test_wordings_that_make_no_sense() -> None:
    with pytest.raises(PassageError, match="2 holes need as many wordings, not 1"):
        Passage(("",) * 3, (2, 2), wordings=(Wording.WORD,))
    with pytest.raises(PassageError, match="holes 1 and 2 are tied, but differ in their wordings"):
        Passage(("",) * 3, (2, 2), ties=(0, 0), wordings=(Wording.WORD, Wording.ANY))
