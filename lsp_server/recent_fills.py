"""The last fill of each document, kept so that its alternatives can be offered without running the model again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lsp_server.candidate import Candidate
from lsp_server.documents import Document
from lsp_server.edits import Edit, apply_edits

LONGEST_PREVIEW = 48


def preview(candidate: Candidate) -> str:
    """All of a candidate's texts on one short line; holes are set apart by a dot, cut text ends in an ellipsis. A text that comes in all
    of several holes is shown once."""
    texts = [" ".join(fill.text.split()) or "(nothing)" for fill in candidate.fills]
    same = len(texts) > 1 and len(set(texts)) == 1
    line = f"{texts[0]} ×{len(texts)}" if same else " · ".join(texts)
    return line if len(line) <= LONGEST_PREVIEW else line[: LONGEST_PREVIEW - 1] + "…"


def describe(candidate: Candidate) -> str:
    """A candidate's preview and likelihood, for titles."""
    return f"{preview(candidate)}  (log-likelihood {candidate.logprob:.2f}, {candidate.bits_per_token:.2f} bits/token)"


@dataclass(frozen=True)
class Alternative:
    """A candidate, and the edits that bring it into the document's present text. `replaces`: another fill stands there now."""

    candidate: Candidate
    edits: tuple[Edit, ...]
    replaces: bool


@dataclass(frozen=True)
class RecentFill:
    """The candidates for one text. They are tied to the text and not to its version: undo brings them back."""

    source: bytes
    candidates: tuple[Candidate, ...]

    def alternatives(self, source: bytes, start: int, end: int) -> tuple[Alternative, ...]:
        """What can be offered at bytes `start` to `end` of `source`: all candidates where it is still the text that was asked
        about, the others where it is that text with one candidate in it, and nothing where it is any other text."""
        if source == self.source:
            if not _touches(self.candidates[0].edits, start, end):
                return ()
            return tuple(Alternative(candidate, candidate.edits, False) for candidate in self.candidates)
        for chosen in self.candidates:
            growth = sum(len(edit.text.encode()) - (edit.end - edit.start) for edit in chosen.edits)
            if len(source) == len(self.source) + growth and source == apply_edits(self.source, chosen.edits):
                return self._others(chosen, start, end)
        return ()

    def _others(self, chosen: Candidate, start: int, end: int) -> tuple[Alternative, ...]:
        placed = _placed(chosen.edits)
        if not _touches(placed, start, end):
            return ()
        return tuple(
            Alternative(other, tuple(Edit(at.start, at.end, edit.text) for at, edit in zip(placed, other.edits, strict=True)), True)
            for other in self.candidates
            # A rule may have narrowed an edit; only edits of the same bytes can be exchanged for each other.
            if other is not chosen and [(e.start, e.end) for e in other.edits] == [(e.start, e.end) for e in chosen.edits]
        )


def _placed(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Where the texts of `edits` stand once all of them were made."""
    placed, shift = [], 0
    for edit in edits:
        size = len(edit.text.encode())
        placed.append(Edit(edit.start + shift, edit.start + shift + size, edit.text))
        shift += size - (edit.end - edit.start)
    return tuple(placed)


def _touches(edits: Sequence[Edit], start: int, end: int) -> bool:
    return any(edit.start <= end and start <= edit.end for edit in edits)


class RecentFills:
    """The last fill of each open document, by URI."""

    def __init__(self) -> None:
        self._fills: dict[str, RecentFill] = {}

    def remember(self, document: Document, candidates: tuple[Candidate, ...]) -> None:
        """Keep the candidates for this text of a document; there must be at least one."""
        self._fills[document.uri] = RecentFill(document.buffer.source, candidates)

    def alternatives(self, document: Document, start: int, end: int) -> tuple[Alternative, ...]:
        """What can be offered for bytes `start` to `end` without the model; see `RecentFill.alternatives`."""
        recent = self._fills.get(document.uri)
        return recent.alternatives(document.buffer.source, start, end) if recent else ()

    def forget(self, uri: str) -> None:
        """Drop what is kept for a document."""
        self._fills.pop(uri, None)
