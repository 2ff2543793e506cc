"""A small trial of a model: whoever passes it can fill and score."""

from __future__ import annotations

import math

from engine.errors import ModelError
from engine.infiller import Infiller
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult

_PASSAGE = Passage(("def add(a, b):\n    return a", "\n"), (8,))
_TEXT = " + b"


def self_check(infiller: Infiller) -> FillResult:
    """Fill a hole and score a text. Returns the fill; raises LacunaError where something is wrong with either."""
    result = infiller.fill(_PASSAGE, FillOptions(temperature=0))
    score = infiller.score(_PASSAGE, (_TEXT,), 0)
    fills = [fill for suggestion in result.suggestions for fill in suggestion.fills]
    logprobs = [logprob for fill in fills for logprob in fill.logprobs] + [token.logprob for hole in score.holes for token in hole]
    if len(fills) != 1 or not all(math.isfinite(logprob) and logprob <= 0 for logprob in logprobs):
        raise ModelError(f"the model {infiller.model_name} fails its trial: what it gives are no probabilities")
    return result
