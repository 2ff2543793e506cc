"""What a caller may ask of a fill."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import LacunaError

METHODS = ("fused", "assd", "assd-ngram", "sequential")


@dataclass(frozen=True)
class FillOptions:
    """How to draw. `temperature` 0 is greedy: the likeliest token at every slot.

    `count` distinct suggestions are asked for (fewer come back when the model repeats itself). `top_p` keeps the
    smallest set of tokens with that much probability. `seed` None takes fresh entropy. `draft` is the number of
    slots drafted a round (the paper's k); None: as many as pay for `fused`, 5 for published ASSD. It never changes what
    may come, only how fast. Tied holes are searched for, whatever the method and the draft; temperature 0 gives their likeliest joint
    fill, by the model's own probabilities. Raises LacunaError for values out of range.
    """

    count: int = 1
    temperature: float = 0.4
    top_p: float = 1.0
    seed: int | None = None
    method: str = "fused"
    draft: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 64:
            raise LacunaError(f"the number of suggestions must lie between 1 and 64, not {self.count}")
        if not 0 <= self.temperature <= 10:
            raise LacunaError(f"the temperature must lie between 0 and 10, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise LacunaError(f"top-p must be above 0 and at most 1, not {self.top_p}")
        if self.seed is not None and self.seed < 0:
            raise LacunaError(f"the seed must be at least 0, not {self.seed}")
        if self.method not in METHODS:
            raise LacunaError(f"the method must be one of {', '.join(METHODS)}, not {self.method!r}")
        if self.draft is not None and not 1 <= self.draft <= 64:
            raise LacunaError(f"the number of drafted slots must lie between 1 and 64, not {self.draft}")
