"""What a fill offers to a person: edits of the buffer with their likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.results import HoleFill
from lsp_server.edits import Edit


@dataclass(frozen=True)
class Candidate:
    """A joint fill of all holes: `edits[i]` and `fills[i]` belong to hole i, in the order of the text.

    Edits do not overlap and refer to the source as it was asked about. `logprob` is the exact joint log-likelihood
    in nats of all the fills. `passes` counts the model passes that this candidate took part in. `mended` names the rules
    that changed the layout of an edit: the likelihood is still that of `fills`, the text as the model wrote it.
    """

    edits: tuple[Edit, ...]
    fills: tuple[HoleFill, ...]
    passes: int = 0
    mended: tuple[str, ...] = ()

    @property
    def logprob(self) -> float:
        return math.fsum(fill.logprob for fill in self.fills)

    @property
    def tokens(self) -> int:
        """Number of tokens in all fills, their end marks included."""
        return sum(len(fill.logprobs) for fill in self.fills)

    @property
    def bits_per_token(self) -> float:
        """Mean surprise in bits; 0 is certain."""
        return -self.logprob / math.log(2) / max(1, self.tokens)

    @property
    def preview(self) -> str:
        """The fills in one line of at most 60 characters."""
        line = " … ".join(" ".join(fill.text.split()) for fill in self.fills)
        return line if len(line) <= 60 else line[:59] + "…"
