"""The order in which a passage's slots are decoded, and which slots a draft may ask for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model import FloatArray
from engine.sampling import Probabilities, Sampler
from engine.sequence import NO_MARK, BoolArray, IntArray, MaskedSequence


@dataclass(frozen=True)
class SlotChain:
    """All slots of all holes, numbered 0..N-1 in sigma; N stands for "done". `eoh` is `NO_MARK` where the model has no end mark.

    `positions[s]` is slot s's position; `holes[s]` its hole. `after_token[s]` is the slot that follows when slot s got
    an ordinary token, `after_end[s]` when it got `<eoh>`: the next hole's first slot, its own later slots being absent.
    `endless[s]` where slot s belongs to a hole of fixed length, in which no `<eoh>` stands; `begins[s]` where it is the first of a
    hole that must not be empty.
    """

    eoh: int
    positions: IntArray
    holes: IntArray
    after_token: IntArray
    after_end: IntArray
    endless: BoolArray
    begins: BoolArray

    @classmethod
    def of(cls, sequence: MaskedSequence, eoh: int) -> SlotChain:
        lengths = np.array([len(slots) for slots in sequence.slots], dtype=np.int64)
        total = int(lengths.sum())
        holes = np.repeat(np.arange(len(lengths)), lengths)
        after_end = np.append(np.cumsum(lengths)[holes], total)
        after_token = np.append(np.arange(1, total + 1), total)
        positions = np.append(np.concatenate(sequence.slots), 0)
        endless = np.append(sequence.fixed_rows(lengths.tolist()), False)
        begins = np.zeros(total + 1, dtype=bool)
        begins[(np.cumsum(lengths) - lengths)[np.flatnonzero(sequence.nonempty)]] = True
        return cls(eoh, positions, np.append(holes, len(lengths)), after_token, after_end, endless, begins)

    @property
    def done(self) -> int:
        return len(self.positions) - 1

    def advance(self, slots: IntArray, tokens: IntArray) -> IntArray:
        """The slots that follow `slots` once these hold `tokens`."""
        return np.where(tokens == self.eoh, self.after_end[slots], self.after_token[slots])

    def bar_end_marks(self, logits: FloatArray, slots: IntArray) -> FloatArray:
        """Write -inf for `<eoh>` into the `logits` `[B, S, V]` of those `slots` `[B, S]` where none may stand; returns `logits`.

        All conditionals and proposals of a decoder pass through here, so that both are renormalised over the other tokens.
        """
        if self.eoh != NO_MARK:
            logits[..., self.eoh][self.endless[slots]] = -np.inf
        return logits

    def chances(self, sampler: Sampler, logits: FloatArray, slots: IntArray) -> Probabilities:
        """What `sampler` makes of the conditionals `logits` `[N, V]` of `slots` `[N]`.

        At the first slot of a hole that must not be empty it gets them without `<eoh>`. This belongs to the sampler, as top-p does: the
        log-probabilities of what is drawn stay the model's own.
        """
        barred = self.begins[slots]
        if self.eoh != NO_MARK and barred.any():
            logits = logits.copy()
            logits[barred, self.eoh] = -np.inf
        return sampler.probabilities(logits)

    def window(self, slots: IntArray, width: int) -> IntArray:
        """The slots a draft from the frontier `slots` `[B]` asks for, `[B, 2 * width]`; `done` is padding.

        The next `width` slots of the frontier's hole, and the first `width` of the hole after it, which are reached
        when a draft ends its hole early.
        """
        steps = np.arange(width)
        ends = self.after_end[slots][:, None]
        here = slots[:, None] + steps
        following = ends + steps
        here = np.where(here < ends, here, self.done)
        following = np.where(following < self.after_end[np.minimum(ends, self.done)], following, self.done)
        return np.concatenate((here, following), axis=1)


def column_of(window: IntArray, slots: IntArray) -> tuple[IntArray, BoolArray]:
    """Which column of `window` `[B, W]` holds `slots` `[B]`, and whether any does (bool `[B]`)."""
    matches = window == slots[:, None]
    return matches.argmax(axis=1), matches.any(axis=1)
