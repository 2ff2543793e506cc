"""What calibration is measured on."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import AS_IT_IS, TEMPERATURES, Tokens, bits_per_byte, collect, draw, groups, judged, summarise, texts
from engine.errors import LacunaError
from engine.local import LocalInfiller
from engine.passage import Passage
from engine.scoring import conditionals


@pytest.fixture(scope="module")
def tokens(infiller: LocalInfiller) -> Tokens:
    return collect(infiller, texts(None), 6, seed=1)


def test_conditionals_are_judged_by_what_stands_there() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.795, 0.005]])
    with np.errstate(divide="ignore"):
        found = judged(np.log(probabilities) + 3, np.array([1, 2]), eoh=2)
    assert found["top"] == pytest.approx([0.5, 0.795])
    assert found["right"].tolist() == [False, True]
    assert found["end"] == pytest.approx([0.2, 0.795])
    assert found["ended"].tolist() == [False, True]
    assert found["brier"] == pytest.approx([0.5**2 + 0.7**2 + 0.2**2, 0.1**2 + 0.1**2 + 0.205**2 + 0.005**2])
    assert found["losses"][:, AS_IT_IS] == pytest.approx(-np.log([0.3, 0.795]))
    roots = np.sqrt(probabilities[0])
    assert found["losses"][0, -1] == pytest.approx(-np.log(roots[1] / roots.sum()))
    assert sorted(found["claims"]) == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.5, 0.795])
    assert sorted(found["claims"][found["came_true"]]) == pytest.approx([0.3, 0.795])


def test_one_is_among_the_temperatures() -> None:
    assert TEMPERATURES[AS_IT_IS] == 1


def test_a_window_fits_the_model_and_its_holes_are_whole(infiller: LocalInfiller) -> None:
    files = texts(None)
    sizes = np.cumsum([len(file) for file in files]).tolist()
    rng = random.Random(4)
    for _ in range(20):
        holed, sequence = draw(files, sizes, infiller, rng)
        assert any(holed.whole() in file for file in files)
        assert len(sequence.ids) + sum(map(infiller.count_tokens, holed.holes)) <= infiller.manifest.window
        assert sequence.slots[-1][-1] < infiller.manifest.longest_position
        assert all(infiller.count_tokens(hole) < len(slots) for hole, slots in zip(holed.holes, sequence.slots, strict=True))


def test_the_probabilities_are_those_that_a_score_has(infiller: LocalInfiller) -> None:
    passage = Passage(("def add(a, b):\n    return ", "\n\n\nprint(add(1, ", "))\n"), (8, 5))
    score = infiller.score(passage, ("a + b", "2"))
    fills = [[*infiller.text.encode(text), infiller.model.eoh] for text in ("a + b", "2")]
    logits = conditionals(infiller.model, infiller.sequence(passage), fills)
    found = judged(logits, np.concatenate(fills), infiller.model.eoh)
    assert -found["losses"][:, AS_IT_IS].sum() == pytest.approx(score.logprob, abs=1e-3)
    best = [token.alternatives[0][1] for hole in score.holes for token in hole]
    assert found["top"] == pytest.approx(best, abs=1e-4)


def test_every_token_is_counted_once_in_all_and_once_by_kind(tokens: Tokens) -> None:
    chosen = list(groups(tokens).values())
    assert chosen[0].all()
    assert (np.sum(chosen[1:], axis=0) == 1).all()
    assert len(tokens.hole_bytes) == 6
    assert set(tokens.window.tolist()) == set(range(6))
    row = summarise("all", tokens, chosen[0])
    assert row.tokens == len(tokens.top)
    assert row.nats_per_token.value == pytest.approx(tokens.losses[:, AS_IT_IS].mean())
    assert row.observed.value == pytest.approx(tokens.right.mean())


def test_bits_per_byte_gain_what_a_temperature_mends(tokens: Tokens) -> None:
    before, after, gain = bits_per_byte(tokens)
    assert before.value == pytest.approx(tokens.losses[:, AS_IT_IS].sum() / np.log(2) / tokens.hole_bytes.sum())
    assert gain.value == pytest.approx(before.value - after.value)
    shifted = np.roll(tokens.losses, 8, axis=1)  # as if the model were too sure of itself
    assert bits_per_byte(dataclasses.replace(tokens, losses=shifted))[2].value > gain.value + 0.005


def test_a_seed_gives_the_same_windows(infiller: LocalInfiller) -> None:
    first, second = (collect(infiller, texts(None), 2, seed=9) for _ in range(2))
    np.testing.assert_array_equal(first.top, second.top)


def test_one_window_is_refused() -> None:
    with pytest.raises(LacunaError, match="at least 2 windows"):
        calibration.main(["--windows", "1"])
