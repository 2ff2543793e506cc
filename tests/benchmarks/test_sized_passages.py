"""Passages cut to size have that size."""

from __future__ import annotations

import pytest

from benchmarks.sized_passages import Cutter, Size
from engine.errors import LacunaError
from engine.local import load_infiller


@pytest.fixture(scope="module")
def cutter() -> Cutter:
    return Cutter(load_infiller().text)


@pytest.mark.parametrize("size", [Size(128), Size(500, holes=1, tokens=60), Size(512, holes=16), Size(2048, tokens=256)])
def test_a_passage_holds_as_many_tokens_as_asked_for(cutter: Cutter, size: Size) -> None:
    for passage in cutter.cut(size, 4, seed=1):
        counts = [len(cutter.text.encode(piece)) for piece in passage.pieces]
        assert len(counts) == size.holes + 1
        assert passage.budgets == (size.tokens,) * size.holes
        assert all(passage.fixed_lengths)
        # Cut through a word, a piece may take a token more or less than it was cut to.
        assert sum(counts) == pytest.approx(size.context, abs=2 * len(counts))
        assert all(count == pytest.approx(size.context / len(counts), abs=2 + size.holes) for count in counts)


def test_holes_stand_at_the_start_of_a_line(cutter: Cutter) -> None:
    for passage in cutter.cut(Size(200, holes=3), 4, seed=2):
        assert all(piece.endswith("\n") for piece in passage.pieces[:-1])


def test_passages_come_from_different_places_and_again_with_the_same_seed(cutter: Cutter) -> None:
    passages = cutter.cut(Size(128), 20, seed=3)
    assert len({passage.pieces for passage in passages}) == 20
    assert cutter.cut(Size(128), 20, seed=3) == passages


def test_too_much_is_refused(cutter: Cutter) -> None:
    with pytest.raises(LacunaError, match="10000000 tokens; ask for smaller or fewer ones"):
        cutter.cut(Size(9_999_984), 1, seed=0)
