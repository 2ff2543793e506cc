"""Prompts paid for once: contexts of earlier requests, for those that begin with the same rows.

A prompt row sees the rows before it in sigma and nothing else, so what it leaves behind depends on these alone: where two
prompts begin with the same (token, position) rows, the context of one serves the other. With the suffix first, typing
before a hole only appends rows. Where all rows of a prompt see each other (`MaskedSequence.mutual`), every one of them depends on
all, and a context serves the very same prompt alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.model import Model, State
from engine.sequence import IntArray, MaskedSequence

# Ten full windows of the default model, or three of one of 25M parameters: some buffers to go back and forth between,
# and about as much memory as the rest of the process takes.
_MOST_BYTES = 64 * 2**20
# A prompt takes the place of one with which it shares all but this many rows: it is that one, some typing later. To run
# so few rows again, after an undo, costs little more than the one row that is always run.
_TYPED = 32


@dataclass(frozen=True, eq=False)
class _Entry:
    ids: IntArray
    positions: IntArray
    state: State

    def shared(self, sequence: MaskedSequence) -> int:
        """How many of this prompt's first rows stand in a context of `sequence` as they stand here."""
        rows = min(len(self.ids), len(sequence.ids))
        differ = (self.ids[:rows] != sequence.ids[:rows]) | (self.positions[:rows] != sequence.positions[:rows])
        if sequence.mutual:
            return 0 if differ.any() or len(self.ids) != len(sequence.ids) else rows
        return int(differ.argmax()) if differ.any() else rows


class PromptCache:
    """Contexts of one model's latest prompts; the oldest go first. Not safe for use from two threads at once."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._entries: list[_Entry] = []  # the latest last

    @property
    def nbytes(self) -> int:
        """Bytes that the kept contexts take."""
        return sum(entry.state.nbytes for entry in self._entries)

    def start(self, model: Model, sequence: MaskedSequence) -> tuple[State, int]:
        """A context (B = 1) that holds the prompt's first rows as far as they are known, and how many these are.

        The last row is never among them, as its slots are still to be asked from it. Contexts that earlier requests got from
        here are not to be used any more.
        """
        last = len(sequence.ids) - 1
        best = max(self._entries, key=lambda entry: entry.shared(sequence), default=None)
        known = 0 if best is None else min(best.shared(sequence), last)
        if best is None or known == 0:
            return model.open(), 0
        if len(best.ids) - known > _TYPED:
            return best.state.fork(1, known), known
        # Copying a context costs a third of running a row. Should the pass fail, what is left here is still a prompt's beginning.
        best.state.cut(known)
        if sequence.mutual:
            self._entries.remove(best)  # its rows have seen the one that is run again, so they are no prompt without it
            return best.state, known
        self._entries[self._entries.index(best)] = _Entry(best.ids[:known], best.positions[:known], best.state)
        return best.state, known

    def keep(self, sequence: MaskedSequence, state: State) -> None:
        """Keep `state`, which holds all rows of the prompt and nothing else. It may be forked from now on, not appended to."""
        alike = 0 if sequence.mutual else _TYPED  # a prompt that another one can't begin with is still good after an undo
        kept = [entry for entry in self._entries if len(entry.ids) - entry.shared(sequence) > alike]
        self._entries = [*kept, _Entry(sequence.ids, sequence.positions, state)]
        while self.nbytes > self.most_bytes:
            del self._entries[0]
