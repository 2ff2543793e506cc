"""The model without a cache is the same model."""

from __future__ import annotations

import numpy as np

from benchmarks.recompute import RecomputingModel
from engine.local import load_infiller
from engine.model import Rows


def _rows(ids: list[int], first: int) -> Rows:
    """Content rows at positions from `first` on, each asking for the position after it."""
    places = np.arange(len(ids))[None]
    return Rows(
        ids=np.array([ids]),
        positions=first + places,
        counts=np.array([len(ids)]),
        sources=places,
        targets=first + places + 1,
        sees=places + 1,
    )


def test_it_answers_as_the_cached_one_does() -> None:
    model = load_infiller().model
    with_cache, without = model.open(), RecomputingModel(model).open()
    for ids, first, kept in (([1, 20, 30, 40, 50], 0, 5), ([60, 70, 80], 5, 2), ([90], 7, 1), ([21, 22], 8, 2)):
        rows = _rows(ids, first)
        np.testing.assert_allclose(without.run(rows), with_cache.run(rows), atol=1e-3)
        for state in (with_cache, without):
            state.keep(np.array([kept]))
    np.testing.assert_allclose(without.fork(2).run(_two(_rows([33], 10))), with_cache.fork(2).run(_two(_rows([33], 10))), atol=1e-3)


def _two(rows: Rows) -> Rows:
    parts = (rows.ids, rows.positions, rows.counts, rows.sources, rows.targets, rows.sees)
    ids, positions, counts, sources, targets, sees = (np.repeat(part, 2, axis=0) for part in parts)
    return Rows(ids, positions, counts, sources, targets, sees)
