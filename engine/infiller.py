"""The engine's one door: an `Infiller` fills passages and scores texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from engine.devices import Device
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult, Progress, Score

OnPass = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The hook for callers that neither show progress nor cancel."""


class Infiller(Protocol):
    """Implemented by `engine.local.LocalInfiller`. Not safe for use from two threads at once."""

    @property
    def model_name(self) -> str:
        """The model's name from its manifest."""

    @property
    def model_id(self) -> str:
        """The same for the same weights in the same precision, and for no others: two models may have one name."""

    @property
    def provider(self) -> str:
        """What runs the model, such as 'CPUExecutionProvider'."""

    @property
    def device(self) -> Device:
        """Where the model runs, or where the last request ran for want of that."""

    @property
    def window(self) -> int:
        """Most tokens that one passage may take: those of its pieces and all its hole budgets, added up."""

    @property
    def max_holes(self) -> int:
        """Most holes in one passage that the model was trained on; more are taken, with less skill."""

    def count_tokens(self, text: str) -> int:
        """Number of tokens of one piece of text, which pieces pay towards `window`."""

    def fill(self, passage: Passage, options: FillOptions, on_pass: OnPass = ignore_progress) -> FillResult:
        """Fill all holes jointly. Raises PassageError when the passage exceeds `window`, and whatever `on_pass` raises."""

    def score(self, passage: Passage, texts: Sequence[str], alternatives: int = 5) -> Score:
        """Joint log-likelihood of `texts`, one per hole, in one pass.

        Raises PassageError when a text exceeds its budget, has another number of tokens than its hole's fixed length, or differs from
        the one it is tied to. Ties don't change the likelihood, which is that of these texts among all.
        """
