"""Temperature, top-p and draws from weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.sampling import Probabilities, Sampler, draw, log_softmax

logit_rows = arrays(np.float32, (3, 6), elements=st.floats(-20, 20, width=32))


@given(logit_rows)
def test_log_softmax_normalises_in_float64(logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    logs = log_softmax(logits)
    assert logs.dtype == np.float64
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(logs - logs[:, :1], (logits - logits[:, :1]).astype(np.float64), atol=1e-4)


def test_a_token_with_logit_minus_infinity_never_stands_in_a_hole() -> None:
    logits = np.array([[0.0, -np.inf, 1.0]])
    assert log_softmax(logits)[0, 1] == -np.inf
    for sampler in (Sampler(), Sampler(5.0), Sampler(0), Sampler(1.0, 0.99)):
        assert sampler.probabilities(logits)[0, 1] == 0


@given(logit_rows, st.floats(0.1, 5))
def test_temperature_raises_the_probabilities_to_its_inverse(
    logits: np.ndarray[tuple[int, int], np.dtype[np.float32]], temperature: float
) -> None:
    plain = Sampler().probabilities(logits)
    np.testing.assert_allclose(plain, np.exp(log_softmax(logits)), atol=1e-12)
    powers = np.exp(log_softmax(logits) / temperature)
    np.testing.assert_allclose(Sampler(temperature).probabilities(logits), powers / powers.sum(axis=1, keepdims=True), atol=1e-9)


@given(logit_rows)
def test_temperature_zero_is_the_likeliest_token_alone(logits: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
    greedy = Sampler(0).probabilities(logits)
    assert (greedy.sum(axis=1) == 1).all()
    assert (greedy.argmax(axis=1) == logits.argmax(axis=1)).all()
    np.testing.assert_array_equal(Sampler(0, 0.1).probabilities(logits), greedy)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.1, [0.5]), (0.5, [0.5]), (0.51, [0.5, 0.25]), (0.8, [0.5, 0.25, 0.125]), (1.0, [0.5, 0.25, 0.125, 0.125])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: list[float]) -> None:
    logits = np.log(np.array([[0.125, 0.5, 0.125, 0.25]]))
    probabilities = Sampler(1.0, top_p).probabilities(logits)
    assert sorted(probabilities[0][probabilities[0] > 0], reverse=True) == pytest.approx([weight / sum(kept) for weight in kept])
    if len(kept) == 3:
        assert probabilities[0, 2] == 0, "of two equally likely tokens the first is kept"


@given(logit_rows, st.floats(0.001, 1, exclude_max=True))
def test_top_p_keeps_what_sorting_all_tokens_keeps(logits: np.ndarray[tuple[int, int], np.dtype[np.float32]], top_p: float) -> None:
    for row, kept in zip(Sampler().probabilities(logits), Sampler(1.0, top_p).probabilities(logits), strict=True):
        expected, reached = np.zeros(len(row)), 0.0
        for token in sorted(range(len(row)), key=lambda token: -row[token]):
            if reached < top_p:
                expected[token] = row[token]
            reached += row[token]
        np.testing.assert_allclose(kept, expected / expected.sum(), rtol=1e-12)


def test_no_rows_have_no_nucleus() -> None:
    assert Sampler(1.0, 0.5).probabilities(np.zeros((0, 6))).shape == (0, 6)


def test_top_p_acts_on_the_tempered_distribution() -> None:
    logits = np.log(np.array([[0.6, 0.3, 0.1]]))
    assert (Sampler(1.0, 0.65).probabilities(logits) > 0).sum() == 2
    assert (Sampler(0.5, 0.65).probabilities(logits) > 0).sum() == 1


class Extreme(np.random.Generator):
    """Numbers at a border of [0, 1), where a sloppy comparison picks a neighbour."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size: int) -> Probabilities:  # type: ignore[override]
        return np.full(size, self.value)


weight_rows = arrays(np.float64, (4, 5), elements=st.one_of(st.just(0.0), st.floats(1e-6, 10)))


@given(weight_rows, st.sampled_from([0.0, 0.25, 0.5, float(np.nextafter(1, 0))]))
def test_a_draw_never_takes_a_token_of_weight_zero(weights: Probabilities, value: float) -> None:
    weights = weights[weights.sum(axis=1) > 0]
    drawn = draw(weights, Extreme(value))
    assert (weights[np.arange(len(weights)), drawn] > 0).all()


def test_draws_follow_their_weights() -> None:
    weights = np.tile([1.0, 0.0, 2.0, 5.0], (80_000, 1))
    counts = np.bincount(draw(weights, np.random.default_rng(0)), minlength=4)
    np.testing.assert_allclose(counts / 80_000, [1 / 8, 0, 2 / 8, 5 / 8], atol=0.01)
