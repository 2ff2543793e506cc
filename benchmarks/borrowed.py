"""Passes of a trained model, taken by one of random weights: how often drafts are accepted hangs on weights, what a pass costs does not.

The trained model's logits are written down while it draws. The other model runs all of its own passes, but each logit that it computes
gives way to the one written down, so that the decoder drafts, accepts and refuses as with the trained model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.hooked_model import Hook, HookedDraftHead, HookedState
from engine.decoders import DECODERS
from engine.decoders.base import Draw, Prefilled
from engine.infiller import ignore_progress
from engine.model import FloatArray
from engine.sampling import Sampler


@dataclass(frozen=True)
class Tape:
    """Logits in the order of the calls: those of the prompt, then those of each pass and of each step of the draft head."""

    prompt: FloatArray
    later: tuple[FloatArray, ...]


def record(prefilled: Prefilled, method: str, copies: int, sampler: Sampler, seed: int) -> Tape:
    """Draw from the trained model, and write down what it draws from."""
    later: list[FloatArray] = []

    def written(logits: FloatArray) -> FloatArray:
        later.append(logits.copy())
        return logits

    _draw(_hooked(prefilled, written), method, copies, sampler, seed)
    return Tape(prefilled.logits.copy(), tuple(later))


def replay(prefilled: Prefilled, tape: Tape, method: str, copies: int, sampler: Sampler, seed: int) -> list[Draw]:
    """Draw from another model the same way. It may have the larger vocabulary: tokens that the tape lacks are never drawn."""
    left: Iterator[FloatArray] = iter(tape.later)

    def borrowed(logits: FloatArray) -> FloatArray:
        return _in_place_of(logits, next(left))

    hooked = _hooked(replace(prefilled, logits=_in_place_of(prefilled.logits, tape.prompt)), borrowed)
    return _draw(hooked, method, copies, sampler, seed)


def _hooked(prefilled: Prefilled, hook: Hook) -> Prefilled:
    head = prefilled.draft_head
    return replace(prefilled, state=HookedState(prefilled.state, hook), draft_head=None if head is None else HookedDraftHead(head, hook))


def _in_place_of(logits: FloatArray, others: FloatArray) -> FloatArray:
    logits[..., : others.shape[-1]] = others
    logits[..., others.shape[-1] :] = -np.inf
    return logits


def _draw(prefilled: Prefilled, method: str, copies: int, sampler: Sampler, seed: int) -> list[Draw]:
    return DECODERS[method](prefilled, copies, sampler, None, np.random.default_rng(seed), ignore_progress)
