"""Made holes: any text comes back whole, and budgets hold what they must."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.holes import KINDS, draw_budget, make_holes
from tests.export.workshop import source


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(0, 2**32), st.none() | st.integers(1, 8))
def test_any_text_comes_back_whole(text: str, seed: int, count: int | None) -> None:
    holed = make_holes(text, random.Random(seed), count)
    assert holed.whole() == text
    assert 1 <= len(holed.holes) <= (count or 8)
    assert len(holed.pieces) == len(holed.holes) + 1
    assert len(holed.kinds) == len(holed.holes)
    assert set(holed.kinds) <= set(KINDS)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_source_with_wide_characters_comes_back_whole(seed: int) -> None:
    text = source("größe").replace("area", "面積🙂")
    assert make_holes(text, random.Random(seed)).whole() == text


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(0, 2**32))
def test_a_budget_holds_the_fill_and_at_most_96_slots_more(length: int, seed: int) -> None:
    assert length <= draw_budget(length, random.Random(seed)) <= length + 96


def test_every_kind_of_hole_is_made() -> None:
    kinds = {kind for seed in range(60) for kind in make_holes(source("box"), random.Random(seed)).kinds}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("seed", range(20))
def test_the_seed_decides(seed: int) -> None:
    assert make_holes(source("box"), random.Random(seed)) == make_holes(source("box"), random.Random(seed))


def test_a_node_hole_is_a_whole_syntax_node() -> None:
    text = "total = left + right\n"
    nodes = {"total = left + right", "total", "left + right", "left", "right"}
    made = [make_holes(text, random.Random(seed), 1) for seed in range(300)]
    found = {holed.holes[0] for holed in made if holed.kinds == ("node",)}
    assert found and found <= nodes
