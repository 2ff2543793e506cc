"""Near copies: what is found lies beside the exact Jaccard similarity of shingles."""

from __future__ import annotations

import random

import pytest

from export.corpus.lexical import lexical_tokens
from export.corpus.near_copies import SHINGLE, SIMILARITY, NearCopies, fingerprint


def jaccard(first: list[str], second: list[str]) -> float:
    sets = [{tuple(tokens[i : i + SHINGLE]) for i in range(len(tokens) - SHINGLE + 1)} for tokens in (first, second)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def changed(tokens: list[str], changes: int, rng: random.Random) -> list[str]:
    copy = list(tokens)
    for place in rng.sample(range(len(copy)), changes):
        copy[place] = f"other{place}"
    return copy


def test_copies_are_found_on_their_side_of_the_threshold() -> None:
    rng = random.Random(0)
    near = far = 0
    for number in range(300):
        tokens = [f"w{rng.randrange(200)}" for _ in range(400)]
        copy = changed(tokens, rng.randrange(40), rng)
        exact = jaccard(tokens, copy)
        kept = NearCopies()
        kept.add(str(number), fingerprint(tokens))
        # Four standard errors of the estimate to each side.
        if exact >= SIMILARITY + 0.15:
            assert kept.has(fingerprint(copy))
            near += 1
        elif exact <= SIMILARITY - 0.16:
            assert not kept.has(fingerprint(copy))
            far += 1
    assert near > 25 and far > 25


def test_many_kept_files_answer_for_their_own_copies_alone() -> None:
    rng = random.Random(1)
    files = [[f"w{rng.randrange(5000)}" for _ in range(200)] for _ in range(500)]
    kept = NearCopies()
    for number, tokens in enumerate(files[:250]):
        assert not kept.has(fingerprint(tokens))
        kept.add(str(number), fingerprint(tokens))
    assert all(kept.has(fingerprint(changed(tokens, 2, rng))) for tokens in files[:250])
    assert not any(kept.has(fingerprint(tokens)) for tokens in files[250:])


@pytest.mark.parametrize("tokens", [[], ["x"], ["a"] * SHINGLE])
def test_short_files_have_fingerprints(tokens: list[str]) -> None:
    kept = NearCopies()
    kept.add("first", fingerprint(tokens))
    assert kept.has(fingerprint(list(tokens)))
    assert not kept.has(fingerprint([*tokens, "other"]))


def test_white_space_does_not_count() -> None:
    assert lexical_tokens("f(a,b)  # ü_1\n") == lexical_tokens("f( a, b )\t#\nü_1") == ["f", "(", "a", ",", "b", ")", "#", "ü_1"]
