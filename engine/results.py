"""What the engine answers: fills, suggestions and scores, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Handed to the `on_pass` hook after each pass; the hook may raise `Cancelled` to stop.

    `passes` model passes so far (the prompt's prefill included), `tokens` emitted so far over all alternatives,
    `most` tokens that could still come at the worst (every budget used up, all alternatives).
    """

    passes: int
    tokens: int
    most: int


@dataclass(frozen=True)
class HoleFill:
    """One hole's text. `logprobs` has one natural-log probability a token, the closing `<eoh>` included.

    The probabilities are the model's own (temperature 1, no top-p), whatever the sampling options were; in a hole of fixed
    length, which has no `<eoh>`, they are renormalised over the tokens that may stand there.
    `complete` is False where the budget ran out before `<eoh>` came.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    complete: bool

    @property
    def logprob(self) -> float:
        """Natural log of this hole's probability given all that comes before it in sigma."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True)
class Suggestion:
    """A joint fill of all the passage's holes, in their order. `passes` counts those this suggestion took part in."""

    fills: tuple[HoleFill, ...]
    passes: int

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(fill.text for fill in self.fills)

    @property
    def logprob(self) -> float:
        """Exact joint log-likelihood (nats) of all the fills given the passage."""
        return math.fsum(fill.logprob for fill in self.fills)

    @property
    def tokens(self) -> int:
        """Number of tokens in all fills, `<eoh>` marks included."""
        return sum(len(fill.logprobs) for fill in self.fills)

    @property
    def bits_per_token(self) -> float:
        """Mean surprise in bits; 0 is certain."""
        return -self.logprob / math.log(2) / max(1, self.tokens)


@dataclass(frozen=True)
class FillResult:
    """Distinct suggestions, the likeliest first, and what they cost.

    `passes` counts every model pass of the request, the prefill included; `tokens` those of all the drawn
    alternatives (duplicates included). Times are wall-clock milliseconds. Of the prompt's rows, `prompt_rows` were run
    and `reused_rows` were there from earlier requests.

    `exact` is False where the search for bound holes (tied ones, or ones with a wording) reached its limit: the suggestions are then drawn
    by the joint among candidates alone. For all other passages it is always True.
    """

    suggestions: tuple[Suggestion, ...]
    passes: int
    tokens: int
    prefill_ms: float
    prompt_rows: int
    reused_rows: int
    elapsed_ms: float
    exact: bool = True


@dataclass(frozen=True)
class TokenScore:
    """One token of a scored text: its id, surface, natural-log probability, rank (1 = the likeliest) and the alternatives.

    `alternatives` are the model's likeliest (text, probability) pairs at this place. The end mark has text ''; where the model has none,
    a text's likelihood is that given its length, and its end, of id -1, is certain.
    """

    token: int
    text: str
    logprob: float
    rank: int
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Score:
    """Joint log-likelihood of given texts in a passage's holes, by one pass. One tuple of tokens a hole."""

    holes: tuple[tuple[TokenScore, ...], ...]
    elapsed_ms: float

    @property
    def logprob(self) -> float:
        return math.fsum(token.logprob for hole in self.holes for token in hole)

    @property
    def tokens(self) -> int:
        return sum(len(hole) for hole in self.holes)

    @property
    def bits_per_token(self) -> float:
        return -self.logprob / math.log(2) / max(1, self.tokens)
