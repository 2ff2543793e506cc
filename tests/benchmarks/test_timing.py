"""Interleaved timing gives every case the same share of every round."""

from __future__ import annotations

from benchmarks.timing import interleave


def test_cases_take_turns_and_every_other_round_runs_backwards() -> None:
    order: list[str] = []
    times = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warmup=1)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    assert all(value >= 0 for values in times.values() for value in values)
