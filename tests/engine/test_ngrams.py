"""What followed what in a prompt, against a search that any reader can follow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.decoders.ngrams import LONGEST, NGrams
from engine.sequence import SpecialIds, mask

SPECIALS = SpecialIds(0, 1, 2, 3, 4)
tokens = st.integers(5, 8)
texts = st.lists(st.lists(tokens, max_size=12), min_size=2, max_size=4)


def ngrams_of(pieces: list[list[int]], order: str = "suffix-first") -> NGrams:
    return NGrams(mask(pieces, [3] * (len(pieces) - 1), SPECIALS, at_start=False, at_end=False, order=order))


def followers(runs: list[list[int]], context: tuple[int, ...]) -> tuple[dict[int, int], int]:
    """By counting: what follows the longest end of `context` that occurs in the runs, and that end's length."""
    for length in range(min(LONGEST, len(context)), 0, -1):
        end, counts = list(context[-length:]), dict[int, int]()
        for run in runs:
            for at in range(len(run) - length):
                if run[at : at + length] == end:
                    counts[run[at + length]] = counts.get(run[at + length], 0) + 1
        if counts:
            return counts, length
    return {}, 0


@given(pieces=texts, context=st.lists(tokens, min_size=1, max_size=9), order=st.sampled_from(["suffix-first", "prefix-first"]))
def test_what_follows_is_what_a_plain_search_finds(pieces: list[list[int]], context: list[int], order: str) -> None:
    # A sequence begins with its own mark, which stands right before the first piece.
    counts, length = followers([[SPECIALS.bos, *pieces[0]], *pieces[1:], context], tuple(context))
    found = ngrams_of(pieces, order).following(tuple(context))
    if found is None:
        assert length == 0
    else:
        assert dict(zip(found.tokens.tolist(), found.counts.tolist(), strict=True)) == counts
        assert found.length == length


@given(pieces=texts)
def test_before_a_hole_stands_the_end_of_its_piece(pieces: list[list[int]]) -> None:
    found = ngrams_of(pieces)
    first = [SPECIALS.bos, *pieces[0]]
    assert found.before(0) == tuple(first[-LONGEST:])
    for hole in range(1, len(pieces) - 1):
        if pieces[hole]:
            assert found.before(hole) == tuple(pieces[hole][-LONGEST:])


def test_a_hole_cuts_what_stands_around_it() -> None:
    found = ngrams_of([[5, 6], [7, 5, 6]])
    assert found.following((6,)) is None, "6 stands before the hole and at the end, with nothing behind it"
    after = found.following((7,))
    assert after is not None and after.tokens.tolist() == [5]


def test_a_hole_s_own_tokens_count_too() -> None:
    found = ngrams_of([[5], [6]])
    repeated = found.following((8, 7, 8))
    assert repeated is not None and repeated.tokens.tolist() == [7] and repeated.length == 1
