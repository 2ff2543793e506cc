"""Near copies by MinHash and locality-sensitive hashing (Broder 1997, "On the resemblance and containment of documents").

A file is the set of its shingles: SHINGLE lexical tokens in a row. Two files whose sets have an estimated Jaccard similarity of
SIMILARITY or more are near copies. With 128 hash functions the estimate has a standard error of about 0.04; with 32 bands of four a
pair at the threshold is looked at with probability 0.9998.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rensa import RMinHash

SIMILARITY = 0.7
SHINGLE = 7
_FUNCTIONS, _BANDS, _SEED = 128, 32, 0


def fingerprint(tokens: Sequence[str]) -> RMinHash:
    """The MinHash of a file's lexical tokens; of a file shorter than one shingle, that of all its tokens."""
    from rensa import RMinHash  # reading a corpus does without it

    minhash = RMinHash(_FUNCTIONS, _SEED)
    minhash.update([" ".join(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1))])
    return minhash


class NearCopies:
    """The files kept so far, to be asked whether another nearly copies one of them."""

    def __init__(self) -> None:
        from rensa import RMinHashDeduplicator

        self._kept = RMinHashDeduplicator(SIMILARITY, _FUNCTIONS, use_lsh=True, num_bands=_BANDS, seed=_SEED)

    def has(self, minhash: RMinHash) -> bool:
        return bool(self._kept.get_duplicates(minhash))

    def add(self, key: str, minhash: RMinHash) -> None:
        """Remember a kept file under a key that no other file has."""
        self._kept.add(key, minhash)
