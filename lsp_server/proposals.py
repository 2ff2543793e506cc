"""What the model would write at the cursor, as far as it may be shown.

One fill is asked for, cut where the extent ends, and shown only where the rules of `lsp_server.postprocess` accept it. Unlike the
fill of a hole, a proposal may be the beginning of what the model wrote: a beginning has a likelihood of its own, which is
exact: the probability that a fill begins with these tokens, the product of their conditionals without an end mark. So what
repeats the text behind the cursor need not be refused as a whole. The proposal may end before that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tree_sitter import Tree

from engine.infiller import Infiller, OnPass, ignore_progress
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import HoleFill
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.context import OtherFile, largest_budget, passage_for
from lsp_server.edits import Edit
from lsp_server.extent import Extent, cuts
from lsp_server.holes import MARKER, Hole
from lsp_server.line_ends import to_buffer
from lsp_server.postprocess import judge
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.proposal_repeats import repeats

_NOTHING = "the model would write nothing here"


@dataclass(frozen=True)
class Place:
    """A cursor at byte `offset` of a text; `tree` is None for plain text."""

    buffer: Buffer
    tree: Tree | None
    offset: int


@dataclass(frozen=True)
class Proposal:
    """Text to be inserted at the cursor, its line ends the buffer's.

    `logprob` (nats) is the exact log-probability that a fill begins with these `tokens` tokens; where the text is a whole fill the
    end mark is one of them, so that it is the probability of just this fill. Where the text's layout was mended it is that of the text
    as the model wrote it.
    """

    text: str
    logprob: float
    tokens: int

    @property
    def mean_probability(self) -> float:
        """The geometric mean of the tokens' probabilities."""
        return math.exp(self.logprob / self.tokens)

    @property
    def bits_per_token(self) -> float:
        """Mean surprise in bits; 0 is certain."""
        return -self.logprob / math.log(2) / self.tokens


@dataclass(frozen=True)
class Proposals:
    """Distinct proposals, the likeliest first, and what they cost. `refused`: one reason for each fill that gave none."""

    found: tuple[Proposal, ...]
    refused: tuple[str, ...]
    passes: int
    prompt_rows: int
    reused_rows: int
    elapsed_ms: float


def propose(
    place: Place,
    extent: Extent,
    infiller: Infiller,
    options: FillOptions,
    on_pass: OnPass = ignore_progress,
    marker: str = MARKER,
    others: Sequence[OtherFile] = (),
) -> Proposals:
    """At most `options.count` proposals at a place. `others` are files whose definitions the model may be shown.

    Raises whatever `on_pass` raises, and LacunaError where the engine refuses.
    """
    hole = Hole(place.offset, place.offset, "range", min(extent.budget, largest_budget(infiller)))
    passage = passage_for(place.buffer, place.tree, (hole,), infiller, others)
    result = infiller.fill(passage, options, on_pass)
    surroundings = Surroundings(place.buffer, place.tree, (hole,), marker)
    found: dict[str, Proposal] = {}
    refused: list[str] = []
    passes, elapsed = result.passes, result.elapsed_ms
    for suggestion in result.suggestions:
        (fill,) = suggestion.fills
        sound, reason = _soundest(fill, extent, surroundings, infiller)
        if sound is None:
            refused.append(reason)
        elif (shown := sound.edits[0].text) not in found:
            text = sound.fills[0].text
            if text == fill.text and fill.complete:
                found[shown] = Proposal(shown, fill.logprob, len(fill.logprobs))
            else:
                logprobs, milliseconds = _beginning(passage, text, infiller)
                passes, elapsed = passes + 1, elapsed + milliseconds
                found[shown] = Proposal(shown, math.fsum(logprobs), len(logprobs))
    return Proposals(
        found=tuple(sorted(found.values(), key=lambda proposal: -proposal.logprob)),
        refused=tuple(refused),
        passes=passes,
        prompt_rows=result.prompt_rows,
        reused_rows=result.reused_rows,
        elapsed_ms=elapsed,
    )


def _soundest(fill: HoleFill, extent: Extent, surroundings: Surroundings, infiller: Infiller) -> tuple[Candidate | None, str]:
    """The first cut of the fill that the rules accept, as a candidate without a likelihood, else the reason against the first."""
    (hole,) = surroundings.holes
    reason = _NOTHING
    for number, text in enumerate(cuts(fill.text, extent, complete=fill.complete)):
        # Cut inside a token, a beginning may take more tokens than the fill did; one without room for an end mark can't be scored.
        if infiller.count_tokens(text) >= hole.budget and text != fill.text:
            continue
        against = repeats(text, surroundings)
        if against is None:
            edit = Edit(hole.start, hole.end, to_buffer(text, surroundings.buffer.newline))
            verdict = judge(Candidate((edit,), (replace(fill, text=text, complete=True),)), surroundings)
            if verdict.reason is None:
                return verdict.candidate, ""
            against = verdict.reason
        if number == 0:
            reason = against
    return None, reason


def _beginning(passage: Passage, text: str, infiller: Infiller) -> tuple[Sequence[float], float]:
    """The log-probabilities of the tokens of a text that a fill may begin with, and the milliseconds that took."""
    score = infiller.score(passage, (text,), 0)
    return tuple(token.logprob for token in score.holes[0][:-1]), score.elapsed_ms
