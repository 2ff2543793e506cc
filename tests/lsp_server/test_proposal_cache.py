"""What was proposed serves for as long as what is typed agrees with it."""

from __future__ import annotations

import pytest

from lsp_server.buffer import Buffer
from lsp_server.proposal_cache import ProposalCache
from lsp_server.proposals import Place, Proposal

URI = "file:///project/sample.py"
BEFORE, AFTER = "x = '😀'\r\n", "\r\nprint(x)\r\n"


def place(typed: str, *, before: str = BEFORE, after: str = AFTER, back: int = 0) -> Place:
    """The cursor `back` bytes before the end of `typed`."""
    return Place(Buffer((before + typed + after).encode()), None, len((before + typed).encode()) - back)


def cache_with(*texts: str) -> ProposalCache:
    cache = ProposalCache()
    cache.remember(URI, place(""), tuple(Proposal(text, -1.0, 4) for text in texts))
    return cache


def rests(cache: ProposalCache, at: Place) -> list[str]:
    return [proposal.text for proposal in cache.recall(URI, at)]


@pytest.mark.parametrize("typed", ["", "y", "y = ", "y = 'é", "y = 'é😀"])
def test_the_rest_is_served_while_what_is_typed_agrees(typed: str) -> None:
    text = "y = 'é😀'"
    cache = cache_with(text, "z = 1")
    assert rests(cache, place(typed))[0] == text.removeprefix(typed)
    (proposal, *_) = cache.recall(URI, place(typed))
    assert (proposal.logprob, proposal.tokens) == (-1.0, 4)


def test_only_those_that_agree_are_served() -> None:
    cache = cache_with("y = 1", "y = 2", "z = 1")
    assert rests(cache, place("y")) == [" = 1", " = 2"]
    assert rests(cache, place("y = 2")) == []


def test_taking_a_typed_character_back_is_agreement_too() -> None:
    cache = cache_with("y = 1")
    assert rests(cache, place("y = ")) == ["1"]
    assert rests(cache, place("y")) == [" = 1"]


@pytest.mark.parametrize(
    "elsewhere",
    [
        place("y = 1"),  # nothing is left
        place("y = 1\r\n"),
        place("z"),
        place("Y"),
        place("y", back=1),  # typed, and the cursor put back
        place("y", after=AFTER + "#"),
        place("y", after=AFTER.upper()),
        place("y", before=BEFORE.upper()),
        place("", before=BEFORE[:-1]),
        place("", after=""),
        Place(Buffer(b""), None, 0),
    ],
)
def test_nothing_is_served_where_anything_else_differs(elsewhere: Place) -> None:
    assert rests(cache_with("y = 1"), elsewhere) == []


def test_other_documents_have_their_own_and_a_closed_one_none() -> None:
    cache = cache_with("y = 1")
    cache.remember("other", place(""), (Proposal("z = 2", -1.0, 4),))
    assert rests(cache, place("")) == ["y = 1"]
    cache.forget(URI)
    cache.forget(URI)
    assert rests(cache, place("")) == []
    assert [proposal.text for proposal in cache.recall("other", place(""))] == ["z = 2"]


def test_only_the_last_documents_are_remembered() -> None:
    cache = cache_with("y = 1")
    for number in range(15):
        cache.remember(f"{number}", place(""), (Proposal("z", -1.0, 1),))
    assert rests(cache, place("")) == ["y = 1"]
    cache.remember(URI, place(""), (Proposal("y = 2", -1.0, 4),))
    cache.remember("15", place(""), (Proposal("z", -1.0, 1),))
    assert rests(cache, place("")) == ["y = 2"]
    assert cache.recall("0", place("")) == ()
