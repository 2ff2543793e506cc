"""The last proposals of each document, which serve for as long as what is typed agrees with them.

Somebody who types what was proposed, or takes it in word by word, needs no model to be shown the rest of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lsp_server.proposals import Place, Proposal

_MOST_DOCUMENTS = 16


@dataclass(frozen=True)
class _Remembered:
    """What was proposed at a place, and the text it was proposed for."""

    source: bytes
    offset: int
    proposals: tuple[Proposal, ...]

    def rest(self, place: Place) -> Iterator[Proposal]:
        """What is left of the proposals at `place`: nothing unless its text is the one they were made for with the
        beginning of a proposal typed in, and the cursor right after that."""
        source, typed = place.buffer.source, place.buffer.source[self.offset : place.offset]
        if place.offset < self.offset or len(source) != len(self.source) + len(typed):
            return
        agreeing = [proposal for proposal in self.proposals if _goes_on(proposal, typed)]
        # Comparing the whole text comes last, as it may be large.
        if agreeing and source.startswith(self.source[: self.offset]) and source.endswith(self.source[self.offset :]):
            for proposal in agreeing:
                yield replace(proposal, text=proposal.text.encode("utf-8")[len(typed) :].decode("utf-8"))


def _goes_on(proposal: Proposal, typed: bytes) -> bool:
    text = proposal.text.encode("utf-8")
    return text.startswith(typed) and len(typed) < len(text)


class ProposalCache:
    """The last proposals by document, those of the sixteen documents that were used last."""

    def __init__(self) -> None:
        self._remembered: dict[str, _Remembered] = {}

    def remember(self, uri: str, place: Place, proposals: tuple[Proposal, ...]) -> None:
        """Keep what was proposed at a place, instead of what was before."""
        self.forget(uri)
        self._remembered[uri] = _Remembered(place.buffer.source, place.offset, proposals)
        while len(self._remembered) > _MOST_DOCUMENTS:
            del self._remembered[next(iter(self._remembered))]

    def recall(self, uri: str, place: Place) -> tuple[Proposal, ...]:
        """What is left at `place` of the last proposals. Their likelihoods stay those of the whole proposals."""
        remembered = self._remembered.get(uri)
        return tuple(remembered.rest(place)) if remembered else ()

    def forget(self, uri: str) -> None:
        """Drop what is kept for a document."""
        self._remembered.pop(uri, None)
