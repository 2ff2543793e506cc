"""The oracle itself: its conditionals against a sum over every token string of a short chain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.model import Rows
from engine.sampling import Sampler
from tests.engine.oracle import Array, Oracle, enumerate_joint, length_for, sequence_with


def string_probabilities(oracle: Oracle) -> Array:
    """The joint of all positions, `[V] * L`, by pushing the hidden chain forward along every string."""
    joint = np.zeros((oracle.vocabulary,) * oracle.length)
    for string in itertools.product(range(oracle.vocabulary), repeat=oracle.length):
        message = oracle.start
        for position, token in enumerate(string):
            message = (message * oracle.emits[:, token]) @ oracle.steps[position]
        joint[string] = message.sum()
    return joint


@pytest.mark.parametrize("seed", range(3))
def test_conditionals_given_any_subset_equal_the_sum_over_all_strings(seed: int) -> None:
    oracle = Oracle(seed, length=5, vocabulary=3, hidden=3)
    joint = string_probabilities(oracle)
    assert joint.sum() == pytest.approx(1, abs=1e-12)
    rng = np.random.default_rng(seed)
    for size in range(oracle.length):
        for subset in itertools.combinations(range(oracle.length), size):
            tokens = rng.integers(0, oracle.vocabulary, size=size)
            fixed = dict(zip(subset, tokens, strict=True))
            context = int(oracle.digits(tokens, np.array(subset, dtype=np.int64)).sum())
            for target in set(range(oracle.length)) - set(subset):
                axes = [fixed.get(axis, slice(None)) for axis in range(oracle.length)]
                left = joint[tuple(axes)]
                free = [axis for axis in range(oracle.length) if axis not in fixed]
                expected = left.sum(axis=tuple(index for index, axis in enumerate(free) if axis != target))
                got = np.exp(oracle.log_conditionals(np.array([context]), np.array([target]))[0])
                np.testing.assert_allclose(got, expected / expected.sum(), atol=1e-12)


def test_a_slot_sees_the_kept_rows_and_the_first_rows_of_its_pass_alone() -> None:
    oracle = Oracle(0, length=6)
    state = oracle.open()

    def ask(ids: list[int], positions: list[int], target: int, sees: int) -> Array:
        rows = Rows(
            ids=np.array([ids]),
            positions=np.array([positions]),
            counts=np.array([len(ids)]),
            sources=np.array([[0]]),
            targets=np.array([[target]]),
            sees=np.array([[sees]]),
        )
        answer: Array = state.run(rows)[0, 0].astype(np.float64)
        return answer

    def exact(ids: list[int], positions: list[int], target: int) -> Array:
        context = oracle.digits(np.array(ids), np.array(positions)).sum()
        answer: Array = oracle.log_conditionals(np.array([context]), np.array([target]))[0]
        return answer

    np.testing.assert_array_equal(ask([1, 2], [0, 4], 2, sees=1), exact([1], [0], 2))
    state.keep(np.array([1]))
    np.testing.assert_array_equal(ask([0, 2], [1, 3], 2, sees=2), exact([1, 0, 2], [0, 1, 3], 2))
    np.testing.assert_array_equal(ask([0, 2], [1, 3], 2, sees=0), exact([1], [0], 2))

    with pytest.raises(AssertionError, match="repeats"):
        ask([0], [0], 2, sees=1)


def test_enumeration_covers_every_fill_of_holes_with_unknown_length() -> None:
    budgets = (2, 1)
    oracle = Oracle(1, length_for(budgets), vocabulary=3)
    joint = enumerate_joint(oracle, sequence_with(budgets, oracle), Sampler())
    # Hole one: <eoh>, or one of 2 tokens and then any of 3. Hole two: any of 3.
    assert len(joint) == (1 + 2 * 3) * 3
    assert {outcome.slots for outcome in joint.values()} == {(0, 2), (0, 1, 2)}
    assert sum(outcome.probability for outcome in joint.values()) == pytest.approx(1)
    narrowed = enumerate_joint(oracle, sequence_with(budgets, oracle), Sampler(0.7, 0.6))
    assert set(narrowed) < set(joint)
    assert all(narrowed[tokens].logprobs == joint[tokens].logprobs for tokens in narrowed)
