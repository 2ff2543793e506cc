"""What followed what in a text: free drafts from what is there already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.sequence import IntArray, MaskedSequence

_BREAK = -1  # stands where a hole does; no token has this id
LONGEST = 6  # tokens that a match is told apart by


@dataclass(frozen=True)
class Following:
    """Distinct tokens `[N]` that stand behind an occurrence of `length` tokens, and how often each does, `counts` `[N]`."""

    tokens: IntArray
    counts: IntArray
    length: int


class NGrams:
    """The visible tokens of a sequence in the order of its text. Looked up by scanning: a prompt is too short to be worth an index."""

    def __init__(self, sequence: MaskedSequence) -> None:
        order = np.argsort(sequence.positions)
        positions = sequence.positions[order]
        gaps = np.flatnonzero(np.diff(positions) > 1) + 1
        self._text = np.append(np.insert(sequence.ids[order], gaps, _BREAK), _BREAK)
        starts = np.array([slots[0] if len(slots) else 0 for slots in sequence.slots])
        # Where the break stands that each hole left. Holes with nothing between them share one.
        self._breaks = np.searchsorted(positions, starts) + np.searchsorted(positions[gaps], starts)

    def before(self, hole: int) -> tuple[int, ...]:
        """The last visible tokens before a hole, at most `LONGEST`; fewer where another hole comes between."""
        end = int(self._breaks[hole])
        tokens = self._text[max(0, end - LONGEST) : end].tolist()
        while _BREAK in tokens:
            tokens = tokens[tokens.index(_BREAK) + 1 :]
        return tuple(tokens)

    def following(self, context: tuple[int, ...]) -> Following | None:
        """What stands, in the text or in `context` itself, behind the longest end of `context` that is found with something behind it.

        None where not even its last token is.
        """
        text = np.concatenate((self._text, np.array(context, dtype=np.int64)))
        ends = np.flatnonzero((text[:-1] == context[-1]) & (text[1:] != _BREAK))
        if len(ends) == 0:
            return None
        length = 1
        for back in range(1, min(LONGEST, len(context))):
            longer = ends[(ends >= back) & (text[ends - back] == context[-1 - back])]
            if len(longer) == 0:
                break
            ends, length = longer, back + 1
        return Following(*np.unique(text[ends + 1], return_counts=True), length)
