"""Made holes: any text comes back whole, and budgets hold what they must."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import LacunaError
from export.holes import BUDGETS, KINDS, LARGEST_SURPLUS, HoleMix, draw_budget, make_holes, only
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
@given(st.text(max_size=300), st.integers(0, 2**32), st.integers(1, 8), st.sampled_from(KINDS))
def test_every_kind_comes_back_whole(text: str, seed: int, count: int, kind: str) -> None:
    holed = make_holes(text, random.Random(seed), count, only(kind))
    assert holed.whole() == text
    assert 1 <= len(holed.holes) <= count
    assert set(holed.kinds) <= {kind, "empty"}
    for piece in holed.pieces[1:-1]:
        assert piece  # holes never touch


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(0, 2**32), st.sampled_from(BUDGETS))
def test_a_budget_holds_the_fill_and_a_bounded_surplus(length: int, seed: int, budgets: str) -> None:
    assert length <= draw_budget(length, random.Random(seed), budgets) <= length + (0 if budgets == "exact" else LARGEST_SURPLUS)


def test_a_free_budget_tells_next_to_nothing_of_the_length() -> None:
    # Lengths 4 and 40 are made equally often; given any budget that both fit, neither may be much likelier.
    rng = random.Random(0)
    drawn = {length: [draw_budget(length, rng) for _ in range(40_000)] for length in (4, 40)}
    for low, high in ((50, 90), (90, 120), (120, 160)):
        short, long = (sum(low < budget <= high for budget in drawn[length]) for length in (4, 40))
        assert 0.7 < short / long < 1.0  # Bayes: P(4 | budget) / P(40 | budget); its standard error is below 0.02
    tight = sum(budget == 40 for budget in drawn[40]) / 40_000
    assert 0.09 < tight < 0.12


def test_every_kind_of_hole_is_made() -> None:
    kinds = {kind for seed in range(200) for kind in make_holes(source("box"), random.Random(seed)).kinds}
    assert kinds == set(KINDS)


def test_a_near_total_mask_leaves_a_fifth_visible_at_most() -> None:
    text = source("box")
    counts = set()
    for seed in range(200):
        holed = make_holes(text, random.Random(seed), 8, only("near-total"))
        assert sum(map(len, holed.pieces)) <= len(text) / 5
        counts.add(len(holed.holes))
    assert max(counts) == 8


@pytest.mark.parametrize(
    "changes", [{"line": -1.0}, dict.fromkeys(("node", "line", "block", "characters", "empty", "long", "near_total"), 0.0)]
)
def test_impossible_weights_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(LacunaError, match="weights of the kinds"):
        HoleMix(**changes)  # type: ignore[arg-type]


def test_unknown_budgets_are_refused() -> None:
    with pytest.raises(LacunaError, match="one of free, surplus, exact"):
        HoleMix(budgets="wide")


@pytest.mark.parametrize("seed", range(20))
def test_the_seed_decides(seed: int) -> None:
    assert make_holes(source("box"), random.Random(seed)) == make_holes(source("box"), random.Random(seed))


def test_a_node_hole_is_a_whole_syntax_node() -> None:
    text = "total = left + right\n"
    nodes = {"total = left + right", "total", "left + right", "left", "right"}
    made = [make_holes(text, random.Random(seed), 1) for seed in range(300)]
    found = {holed.holes[0] for holed in made if holed.kinds == ("node",)}
    assert found and found <= nodes
