"""What the editor's side hands to the engine: text with holes in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.errors import PassageError


class Wording(StrEnum):
    """What the text of a hole has to be like, whatever the model would rather write.

    ANY: anything, nothing included. SOME: at least one token. WORD: one identifier: letters, digits and underscores, no digit first.
    Where fills are searched for (`Passage.is_searched`), SOME and WORD also want an end: a fill that ran out of its budget is none.
    """

    ANY = "any"
    SOME = "some"
    WORD = "word"


@dataclass(frozen=True)
class Passage:
    """Text pieces with a hole between each two neighbours.

    `pieces` holds one more entry than `budgets`; piece i stands before hole i, and the last one after the last
    hole. A piece may be empty. `budgets[i]` is the number of position slots that hole i owns: its fill may have at
    most that many tokens, its end mark `<eoh>` included. `at_start` and `at_end` tell whether the first piece
    begins, and the last piece ends, where the document does (a passage is often cut out of a longer document).

    `fixed_lengths[i]` says that the length of hole i's fill is known: it has exactly `budgets[i]` tokens and no end mark.
    Empty: no hole's length is known.

    `ties[i]` is the number of the first hole whose fill hole i must repeat, token by token; i itself where it repeats none.
    Empty: no two holes are tied. Tied holes have one budget, and agree on whether it is their length.

    `wordings[i]` says what hole i's text has to be like. Empty: ANY for all. Tied holes have one wording. Where fills are searched for,
    they are drawn from the joint given that all holes keep to theirs. Else the first token of a hole that is SOME is drawn given that it
    isn't the end mark: for one hole that is the same.

    Raises PassageError when the counts disagree, there is no hole, a tie is no earlier untied hole of the same budget, or a budget
    is below 1: a hole that may be empty still has a slot for its end mark, and one whose length is known to be 0 is none.
    """

    pieces: tuple[str, ...]
    budgets: tuple[int, ...]
    at_start: bool = True
    at_end: bool = True
    fixed_lengths: tuple[bool, ...] = ()
    ties: tuple[int, ...] = ()
    wordings: tuple[Wording, ...] = ()

    def __post_init__(self) -> None:
        if not self.budgets:
            raise PassageError("there is no hole in this passage; mark one with ___ or select some code")
        if len(self.pieces) != len(self.budgets) + 1:
            raise PassageError(f"{len(self.budgets)} holes need {len(self.budgets) + 1} pieces, not {len(self.pieces)}")
        for number, budget in enumerate(self.budgets, 1):
            if budget < 1:
                raise PassageError(f"hole {number} has a budget of {budget} tokens; give it at least 1, or leave the hole out")
        if self.fixed_lengths and len(self.fixed_lengths) != len(self.budgets):
            raise PassageError(
                f"{len(self.budgets)} holes need as many words on whether their lengths are fixed, not {len(self.fixed_lengths)}"
            )
        if self.wordings and len(self.wordings) != len(self.budgets):
            raise PassageError(f"{len(self.budgets)} holes need as many wordings, not {len(self.wordings)}")
        if self.ties:
            self._check_ties()

    @property
    def is_searched(self) -> bool:
        """Whether fills that will do are too rare to be drawn slot by slot, as holes are tied or must be words."""
        return bool(self.ties) or Wording.WORD in self.wordings

    @property
    def nonempty(self) -> tuple[bool, ...]:
        """For each hole whether it must hold something; empty: none must."""
        return tuple(wording != Wording.ANY for wording in self.wordings)

    def _check_ties(self) -> None:
        if len(self.ties) != len(self.budgets):
            raise PassageError(f"{len(self.budgets)} holes need as many ties, not {len(self.ties)}")
        for number, first in enumerate(self.ties):
            if not 0 <= first <= number or self.ties[first] != first:
                raise PassageError(f"hole {number + 1} is tied to hole {first + 1}, which is no earlier hole with a text of its own")
            if self.budgets[number] != self.budgets[first] or (
                self.fixed_lengths and self.fixed_lengths[number] != self.fixed_lengths[first]
            ):
                raise PassageError(f"holes {first + 1} and {number + 1} are tied, but differ in their budgets")
            if self.wordings and self.wordings[number] != self.wordings[first]:
                raise PassageError(f"holes {first + 1} and {number + 1} are tied, but differ in their wordings")
