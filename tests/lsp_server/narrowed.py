"""The real model with tighter limits, to see what the editor's side does at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.devices import Device
from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult, Score


@dataclass
class Narrowed:
    """Passes everything on to `infiller`, and remembers the passages."""

    infiller: Infiller
    window: int
    max_holes: int = 8
    passages: list[Passage] = field(default_factory=list)

    @property
    def model_name(self) -> str:
        return self.infiller.model_name

    @property
    def model_id(self) -> str:
        return self.infiller.model_id

    @property
    def provider(self) -> str:
        return self.infiller.provider

    @property
    def device(self) -> Device:
        return self.infiller.device

    def count_tokens(self, text: str) -> int:
        return self.infiller.count_tokens(text)

    def fill(self, passage: Passage, options: FillOptions, on_pass: OnPass = ignore_progress) -> FillResult:
        self.passages.append(passage)
        return self.infiller.fill(passage, options, on_pass)

    def score(self, passage: Passage, texts: Sequence[str], alternatives: int = 5) -> Score:
        self.passages.append(passage)
        return self.infiller.score(passage, texts, alternatives)
