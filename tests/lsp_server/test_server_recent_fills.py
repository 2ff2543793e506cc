"""What is offered again without running the model."""

from __future__ import annotations

from lsprotocol import types

from engine.results import HoleFill
from lsp_server.candidate import Candidate
from lsp_server.documents import Document
from lsp_server.edits import Edit, apply_edits
from lsp_server.recent_fills import RecentFills, describe, preview

SOURCE = "a = ___; é = ___\n"
FIRST, SECOND = SOURCE.encode().index(b"___"), SOURCE.encode().rindex(b"___")


def document(text: str, version: int = 1) -> Document:
    return Document.opened(types.TextDocumentItem("untitled:sample", "python", version, text))


def candidate(*texts: str, logprob: float = -1.0) -> Candidate:
    edits = tuple(Edit(start, start + 3, text) for start, text in zip((FIRST, SECOND), texts, strict=True))
    return Candidate(edits, tuple(HoleFill(text, (1,), (logprob, logprob), True) for text in texts))


CANDIDATES = (candidate("ü", "long_name"), candidate("", "[\n]", logprob=-2.5), candidate("1", "2", logprob=-3.0))


def test_the_same_text_is_offered_all_candidates_at_its_holes_only() -> None:
    fills = RecentFills()
    fills.remember(document(SOURCE), CANDIDATES)
    again = document(SOURCE, version=9)
    offered = fills.alternatives(again, FIRST, FIRST)
    assert [alternative.candidate for alternative in offered] == list(CANDIDATES)
    assert not any(alternative.replaces for alternative in offered)
    assert fills.alternatives(again, 0, 1) == ()
    assert fills.alternatives(document("b" + SOURCE), FIRST, FIRST) == ()
    fills.forget(again.uri)
    assert fills.alternatives(again, FIRST, FIRST) == ()


def test_after_one_was_applied_the_others_can_take_its_place() -> None:
    fills = RecentFills()
    fills.remember(document(SOURCE), CANDIDATES)
    for chosen in CANDIDATES:
        filled = document(apply_edits(SOURCE.encode(), chosen.edits).decode(), version=2)
        offered = fills.alternatives(filled, FIRST, FIRST)
        assert [alternative.candidate for alternative in offered] == [one for one in CANDIDATES if one is not chosen]
        for alternative in offered:
            assert alternative.replaces
            swapped = apply_edits(filled.buffer.source, alternative.edits)
            assert swapped == apply_edits(SOURCE.encode(), alternative.candidate.edits)


def test_a_preview_is_one_short_line() -> None:
    assert preview(CANDIDATES[1]) == "(nothing) · [ ]"
    assert preview(candidate("x" * 80, "y")) == "x" * 47 + "…"
    assert describe(CANDIDATES[0]) == "ü · long_name  (log-likelihood -4.00, 1.44 bits/token)"
