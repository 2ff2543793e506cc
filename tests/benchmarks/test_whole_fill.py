"""Whole fills are timed in full windows, and on every precision that there is."""

from __future__ import annotations

import pytest

from benchmarks.tasks import BUDGET, OwnLine, own_lines
from benchmarks.whole_fill import in_full_context, load_full_tasks, measure, summarise
from engine.errors import LacunaError
from engine.local import LocalInfiller


def test_tasks_fill_the_window_and_are_cut_out_of_their_files(infiller: LocalInfiller) -> None:
    tasks = load_full_tasks(infiller, 12, seed=2)
    texts = {line.name: line.text for line in own_lines()}
    assert len({task.name for task in tasks}) == 12
    for task in tasks:
        head, tail = task.passage.pieces
        assert infiller.window - BUDGET - 4 <= infiller.count_tokens(head) + infiller.count_tokens(tail) <= infiller.window - BUDGET
        text = texts[task.name]
        assert head in text and tail in text
        assert task.passage.at_start is text.startswith(head) and task.passage.at_end is text.endswith(tail)
        infiller.sequence(task.passage)
    assert load_full_tasks(infiller, 12, seed=2) == tasks


@pytest.mark.parametrize("place", [0, 1, 2])
def test_context_is_taken_where_there_is_some(infiller: LocalInfiller, place: int) -> None:
    text = "".join(f"value_{number} = {number}\n" for number in range(300))
    start = text.index(("value_0 ", "value_150 ", "value_299 ")[place])
    line = OwnLine("x.py:1", text, start, text.index("\n", start) + 1)
    task = in_full_context(line, infiller)
    assert task is not None
    head, tail = map(len, task.passage.pieces)
    assert (head == 0, tail == 0) == ((True, False), (False, False), (False, True))[place]
    assert (task.passage.at_start, task.passage.at_end) == ((True, False), (False, False), (False, True))[place]
    if place == 1:
        assert 0.8 < head / tail < 1.25


def test_a_small_file_gives_no_task(infiller: LocalInfiller) -> None:
    assert in_full_context(OwnLine("x.py:1", "a = 1\nb = 2\n", 0, 6), infiller) is None


def test_every_fill_is_measured_on_every_precision(infiller: LocalInfiller) -> None:
    tasks = load_full_tasks(infiller, 2, seed=0)
    runs = measure({"one": infiller, "other": infiller}, tasks, temperature=0.4, seed=5)
    assert [(run.passes, run.tokens) for run in runs["one"]] == [(run.passes, run.tokens) for run in runs["other"]]
    assert all(0 < run.prefill_ms < run.elapsed_ms for some in runs.values() for run in some)
    row = summarise("one", runs["one"])
    assert row.passes.value == sum(run.passes for run in runs["one"]) / 2


def test_no_tasks_are_refused(infiller: LocalInfiller) -> None:
    with pytest.raises(LacunaError, match="at least 1"):
        load_full_tasks(infiller, 0, seed=0)
