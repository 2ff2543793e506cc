"""Independent decoding is exact at one slot a pass, and drifts from the joint the further the fewer its passes are."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.independent import BUDGETS, ORDERS, independent, oracle_case, sampling_noise, told_passages, total_variation
from engine.decoders import DECODERS
from engine.decoders.base import prefill
from engine.errors import LacunaError
from engine.infiller import ignore_progress
from engine.local import LocalInfiller
from engine.sampling import Sampler
from tests.engine.oracle import Joint, enumerate_joint, sequence_with

DRAWS = 200_000
SLOTS = sum(BUDGETS)


def variation(passes: int, order: str, joint: Joint) -> float:
    oracle, sequence = oracle_case(seed=0)
    tokens = independent(oracle, sequence, passes, order, DRAWS, Sampler(), np.random.default_rng(0))
    return total_variation(map(tuple, tokens.tolist()), joint)


@pytest.fixture(scope="module")
def joint() -> Joint:
    return enumerate_joint(*oracle_case(seed=0), Sampler())


@pytest.mark.parametrize("order", ORDERS)
def test_its_total_variation_grows_as_its_passes_shrink(order: str, joint: Joint) -> None:
    """Exact draws stay within 5 standard deviations of their mean but for a chance of 1e-6; independent ones leave by far."""
    noise = sampling_noise(joint, DRAWS, seed=0)
    drifts = [variation(passes, order, joint) for passes in (SLOTS, SLOTS // 2, SLOTS // 4, 1)]
    assert drifts[0] < noise.mean + 5 * noise.deviation
    assert drifts[1] > noise.mean + 20 * noise.deviation
    # Halving the passes adds more than the noise could.
    assert all(fewer > more + 5 * noise.deviation for more, fewer in pairwise(drifts)), drifts


def test_total_variation_is_half_the_l1_distance(joint: Joint) -> None:
    likeliest = max(joint, key=lambda tokens: joint[tokens].probability)
    assert total_variation([likeliest] * 3, joint) == pytest.approx(1 - joint[likeliest].probability)
    impossible = (oracle_case(seed=0)[0].eoh,) * SLOTS
    assert total_variation([impossible], joint) == pytest.approx(1)


def test_it_has_to_be_told_lengths_and_a_number_of_passes_that_can_be() -> None:
    oracle, sequence = oracle_case(seed=0)
    for passes in (0, SLOTS + 1):
        with pytest.raises(LacunaError, match=f"1 to {SLOTS} passes"):
            independent(oracle, sequence, passes, "random", 1, Sampler(), np.random.default_rng(0))
    with pytest.raises(LacunaError, match="length of every hole"):
        independent(oracle, sequence_with(BUDGETS, oracle), 2, "random", 1, Sampler(), np.random.default_rng(0))


def test_one_slot_a_pass_from_the_left_is_sequential_decoding(infiller: LocalInfiller) -> None:
    """On the real model too: all that is decoded stands in its place in sigma."""
    _, (passage,) = told_passages(None, infiller, 1, seed=3)
    sequence = infiller.sequence(passage)
    greedy, rng = Sampler(0), np.random.default_rng(0)
    (exact,) = DECODERS["sequential"](prefill(infiller.model, sequence, 1), 1, greedy, 1, rng, ignore_progress)
    (tokens,) = independent(infiller.model, sequence, passage.budgets[0], "leftmost", 1, greedy, rng).tolist()
    assert tuple(tokens) == exact.tokens


def test_passages_are_told_the_length_of_the_missing_line(infiller: LocalInfiller, tmp_path: Path) -> None:
    source, passages = told_passages(None, infiller, 5, seed=0)
    assert (source, len(passages)) == ("own files", 5)
    assert all(passage.fixed_lengths == (True,) for passage in passages)
    with pytest.raises(LacunaError, match="at least 1"):
        told_passages(None, infiller, 0, seed=0)
    with pytest.raises(LacunaError, match="SingleLine"):
        told_passages(tmp_path, infiller, 1, seed=0)
