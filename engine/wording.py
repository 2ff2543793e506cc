"""Which tokens the wording that a hole is bound to leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.decoders.slots import SlotChain
from engine.passage import Wording
from engine.sequence import BoolArray


@dataclass(frozen=True)
class WordTokens:
    """Which tokens may begin an identifier, and which may go on with one; `[V]` each, no end mark among them."""

    starts: BoolArray
    parts: BoolArray

    @classmethod
    def of(cls, surfaces: Sequence[str]) -> WordTokens:
        """By the text of each token; one that holds only a part of a character is in neither."""
        starts = np.array([surface.isidentifier() for surface in surfaces])
        parts = np.array([bool(surface) and f"a{surface}".isidentifier() for surface in surfaces])
        return cls(starts, parts)


def allowed_tokens(chain: SlotChain, wordings: Sequence[Wording], words: Sequence[WordTokens]) -> tuple[BoolArray | None, ...]:
    """For each slot the tokens `[V]` that may stand there; None: all of them. `words` are what makes up an identifier in each hole.

    `wordings` are the holes', empty: all of them ANY.
    """
    if not wordings:
        return (None,) * chain.done
    holes = chain.holes[:-1].tolist()
    return tuple(_allowed(chain, slot, Wording(wordings[hole]), words[hole]) for slot, hole in enumerate(holes))


def _allowed(chain: SlotChain, slot: int, wording: Wording, words: WordTokens) -> BoolArray | None:
    if wording == Wording.ANY:
        return None
    first = slot == 0 or chain.holes[slot - 1] != chain.holes[slot]
    last = chain.holes[slot + 1] != chain.holes[slot]
    allowed = np.ones_like(words.parts)
    if wording == Wording.WORD:
        allowed = (words.starts if first else words.parts).copy()
    if not chain.endless[slot]:
        if last:
            allowed[:] = False
        allowed[chain.eoh] = not first
    return allowed
