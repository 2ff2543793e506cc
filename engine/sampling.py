"""Distributions over tokens and draws from them, in float64.

Temperature and top-p change the target distribution itself: decoders apply one `Sampler` to the model's conditionals
and to their own proposals alike, before any accept test, so every decoder samples the same changed joint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.sequence import BoolArray, IntArray

Probabilities = NDArray[np.float64]


def log_softmax(logits: FloatArray) -> Probabilities:
    """Log-probabilities over the last axis, in float64 whatever the logits' type."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    normalised: Probabilities = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return normalised


def log_probability(logits: FloatArray, tokens: IntArray) -> Probabilities:
    """Of `tokens` `[B]` by `logits` `[B, V]`: natural logs `[B]`, in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    logs: Probabilities = wide[np.arange(len(tokens)), tokens] - np.log(np.exp(wide).sum(axis=-1))
    return logs


@dataclass(frozen=True)
class Sampler:
    """Temperature (0: all mass on the likeliest token) and top-p (the smallest set of tokens with that much mass)."""

    temperature: float = 1.0
    top_p: float = 1.0

    def probabilities(self, logits: FloatArray) -> Probabilities:
        """Logits `[..., V]` to probabilities `[..., V]`."""
        if self.temperature == 0:
            greedy = np.zeros(logits.shape, dtype=np.float64)
            np.put_along_axis(greedy, logits.argmax(axis=-1)[..., None], 1.0, axis=-1)
            return greedy
        wide = logits.astype(np.float64)
        wide -= wide.max(axis=-1, keepdims=True)
        with np.errstate(over="ignore"):  # near temperature 0 the unlikely go to -inf, which is right
            wide /= self.temperature
        probabilities: Probabilities = np.exp(wide)
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        return probabilities if self.top_p >= 1 else self._nucleus(probabilities)

    def _nucleus(self, probabilities: Probabilities) -> Probabilities:
        """Holtzman et al., arXiv 1904.09751: keep the likeliest tokens up to and including the one that reaches top-p."""
        vocabulary = probabilities.shape[-1]
        # Tokens below this have less than 1 - top-p together, so that the nucleus is full before the first of them: few need be sorted.
        least = (1 - self.top_p) / (2 * vocabulary)
        most = int((probabilities >= least).sum(axis=-1).max(initial=1))
        if most < vocabulary:
            tokens = np.sort(np.argpartition(probabilities, vocabulary - most, axis=-1)[..., vocabulary - most :], axis=-1)
        else:
            tokens = np.broadcast_to(np.arange(vocabulary), probabilities.shape)
        likely = np.take_along_axis(probabilities, tokens, axis=-1)
        order = np.argsort(-likely, axis=-1, kind="stable")
        ranked = np.take_along_axis(likely, order, axis=-1)
        before = np.cumsum(ranked, axis=-1) - ranked
        kept = np.where(before < self.top_p, ranked, 0.0)
        nucleus = np.zeros_like(probabilities)
        np.put_along_axis(nucleus, np.take_along_axis(tokens, order, axis=-1), kept / kept.sum(axis=-1, keepdims=True), axis=-1)
        return nucleus


def draw(weights: Probabilities, rng: np.random.Generator) -> IntArray:
    """One index per row of `weights` `[B, V]` (non-negative, not all zero), with probability proportional to its weight."""
    cumulative = np.cumsum(weights, axis=-1)
    thresholds = rng.random(len(weights)) * cumulative[:, -1]
    # Strictly above: an entry of weight 0 never exceeds the threshold first.
    drawn: IntArray = (cumulative > thresholds[:, None]).argmax(axis=-1)
    return drawn


def accept(target: Probabilities, proposal: Probabilities, drafts: IntArray, rng: np.random.Generator) -> tuple[IntArray, BoolArray]:
    """The accept test (Leviathan et al., arXiv 2211.17192, Algorithm 1): `(tokens [B], accepted bool [B])`.

    `target`, `proposal` `[B, V]`; a refused draft's token is drawn from the normalised (target - proposal)+.
    """
    rows = np.arange(len(drafts))
    accepted = rng.random(len(drafts)) * proposal[rows, drafts] < target[rows, drafts]
    tokens = drafts.copy()
    refused = np.flatnonzero(~accepted)
    if len(refused):
        residual = np.maximum(target[refused] - proposal[refused], 0.0)
        # Where both agree to rounding, a refusal has probability 0 all but for that rounding: the target itself serves.
        empty = residual.sum(axis=1) <= 0
        residual[empty] = target[refused][empty]
        tokens[refused] = draw(residual, rng)
    return tokens, accepted
