"""Places in a cache: taken from the lowest on, shared, given back, and free once nobody holds them."""

from __future__ import annotations

import numpy as np

from engine.places import SPARE, Places


def test_the_lowest_are_taken_and_the_spare_one_never_is() -> None:
    places = Places(6)
    assert (places.capacity, places.free) == (6, 5)
    assert places.take(2).tolist() == [1, 2] and SPARE == 0
    assert places.take(3).tolist() == [3, 4, 5] and places.free == 0


def test_what_is_given_back_by_its_last_holder_is_taken_again() -> None:
    places = Places(8)
    first, second = places.take(3), places.take(2)
    places.share(first[:2])
    places.give_back(first)
    assert places.free == 3 and places.take(1).tolist() == [3]
    places.give_back(first[:2])
    places.give_back(second[1:])
    assert places.take(4).tolist() == [1, 2, 5, 6]


def test_a_larger_pool_keeps_its_holders() -> None:
    places = Places(3)
    taken = places.take(2)
    places.give_back(taken[:1])
    places.grow(5)
    assert places.free == 3 and places.take(3).tolist() == [1, 3, 4]
    assert np.array_equal(taken, [1, 2])
