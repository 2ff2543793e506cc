"""What is told of the decoders: passes and tokens as the engine counts them, ratios of paired tasks, places in the hole."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.decoders import (
    ASSD,
    FUSED,
    MAIN,
    PLACES,
    SEQUENTIAL,
    TEMPERATURES,
    Run,
    Runs,
    Variant,
    cost_by_place,
    equal_to_sequential,
    fill,
    main,
    main_rows,
    measure,
    place_rows,
    pooled,
    ratio_per_token,
    ratios,
)
from benchmarks.intervals import bootstrap
from benchmarks.tasks import BUDGET, Task, load_sources, load_tasks
from engine.errors import LacunaError
from engine.local import LocalInfiller
from engine.options import FillOptions


@pytest.fixture(scope="module")
def tasks(infiller: LocalInfiller) -> list[Task]:
    """With few slots each, for speed."""
    found = load_sources(None, infiller, 2, seed=1)["own files"]
    return [replace(task, passage=replace(task.passage, budgets=(12,))) for task in found]


def run_of(*emitted: int, decoding_ms: float = 1.0, text: str = "") -> Run:
    return Run(text, emitted, decoding_ms + 1, decoding_ms)


@pytest.mark.parametrize("variant", [*MAIN, Variant(ASSD, 12), Variant(FUSED, 8)], ids=str)
def test_tokens_of_each_pass_add_up_to_what_the_engine_counts(variant: Variant, infiller: LocalInfiller, tasks: list[Task]) -> None:
    for temperature in (0.0, 0.8):
        run = fill(infiller, tasks[0], variant, temperature, seed=5)
        options = FillOptions(temperature=temperature, seed=5, method=variant.method, draft=variant.draft)
        result = infiller.fill(tasks[0].passage, options)
        assert (run.text, run.passes, run.tokens) == (result.suggestions[0].fills[0].text, result.passes, result.tokens)
        assert min(run.emitted) >= 1
        assert run.emitted[0] == 1  # the prompt's pass
        assert max(run.emitted) <= (1 if variant.method == SEQUENTIAL else (variant.draft or 16) + 1)
        assert run.fill_ms > run.decoding_ms > 0


def test_every_setting_meets_every_task_and_greedy_texts_agree(infiller: LocalInfiller, tasks: list[Task]) -> None:
    runs = measure(infiller, tasks, MAIN, seed=0, whole=True)
    assert set(runs) == {(temperature, variant) for temperature in TEMPERATURES for variant in MAIN}
    assert all(len(some) == len(tasks) for some in runs.values())
    assert equal_to_sequential(runs, runs[0.0, MAIN[0]]) == dict.fromkeys(MAIN, len(tasks))
    rows = main_rows("own files", runs)
    assert all(row.passes_per_token.value == 1 for row in rows if row.method == SEQUENTIAL)
    assert all(row.passes_per_token.high <= 1 for row in rows)


def test_prompts_are_paid_for_in_whole_fills_alone(infiller: LocalInfiller, tasks: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    reused: list[int] = []
    original = LocalInfiller.fill

    def watched(self: LocalInfiller, *arguments: object) -> object:
        result = original(self, *arguments)  # type: ignore[arg-type]
        reused.append(result.reused_rows)
        return result

    monkeypatch.setattr(LocalInfiller, "fill", watched)
    variants = (MAIN[0], Variant(FUSED, 2))
    fills = len(variants) * len(TEMPERATURES)
    measure(infiller, tasks[:1], variants, seed=0, whole=True)
    assert reused[-fills:] == [0] * fills
    measure(infiller, tasks[:1], variants, seed=0, whole=False)
    assert min(reused[-fills + 1 :]) > 0


def test_a_text_that_differs_is_counted_out() -> None:
    greedy: Runs = {(0.0, MAIN[1]): [run_of(1, text="a"), run_of(1, text="b")], (0.2, MAIN[1]): [run_of(1), run_of(1)]}
    assert equal_to_sequential(greedy, [run_of(1, text="a"), run_of(1, text="c")]) == {MAIN[1]: 1}


def test_a_pass_is_shared_out_among_the_slots_that_it_filled() -> None:
    costs = cost_by_place(run_of(1, 2, 4, 1, 12))
    assert costs.shape == (len(PLACES), 2)
    # Slots 1-4: passes of 1 and 2 tokens and one slot of the pass of 4. Slots 5-8: the rest of that, and a pass of its own.
    np.testing.assert_allclose(costs, [(4, 2.25), (4, 1.75), (8, 8 / 12), (4, 4 / 12), (0, 0)])


def test_places_leave_nothing_out() -> None:
    assert PLACES[0][0] == 1
    assert PLACES[-1][1] == BUDGET
    run = run_of(*[3] * 21, 1)
    np.testing.assert_allclose(cost_by_place(run).sum(axis=0), (run.tokens, run.passes))


def test_a_place_is_told_of_by_the_runs_that_got_there_if_these_are_enough() -> None:
    runs: Runs = {(0.2, Variant(FUSED, None)): [run_of(1, 3), *[run_of(2, 2, 2, 2)] * 5, run_of(8, 2)], (0.2, MAIN[0]): [run_of(1)]}
    rows = place_rows(runs)
    assert [(row.first, row.last) for row in rows] == list(PLACES)
    assert [row.tasks for row in rows] == [7, 6, 1, 0, 0]
    assert rows[0].tokens_per_pass and rows[0].tokens_per_pass.value == pytest.approx(28 / (2 + 10 + 0.5))
    assert rows[1].tokens_per_pass and rows[1].tokens_per_pass.value == pytest.approx(24 / (10 + 0.5))
    assert [row.tokens_per_pass for row in rows[2:]] == [None] * 3


def test_ratios_hold_together_what_one_task_gave() -> None:
    """Tasks differ tenfold in their cost, but on each of them `fused` takes half of it: no doubt is left about the ratio."""
    scales = (1, 2, 4, 10)
    half: Runs = {
        (temperature, variant): [
            Run("", (1,) * 2 * scale if variant.method == FUSED else (1,) * scale, 9.0, scale * 3.0) for scale in scales
        ]
        for temperature in TEMPERATURES
        for variant in MAIN
    }
    for row in ratios("some", half):
        time = row.decoding_ms_per_token
        assert (time.low, time.value, time.high) == pytest.approx((0.5, 0.5, 0.5))
    samples = np.array([(1.0, 4.0, 3.0, 4.0), (9.0, 16.0, 5.0, 8.0)])
    assert bootstrap(ratio_per_token, samples).value == pytest.approx((10 / 20) / (8 / 12))


def test_pooled_runs_follow_the_sources() -> None:
    key = (0.2, MAIN[0])
    assert pooled([{key: [run_of(1)]}, {key: [run_of(2), run_of(3)]}]) == {key: [run_of(1), run_of(2), run_of(3)]}


def test_a_folder_gives_random_spans_beside_single_lines(infiller: LocalInfiller, tmp_path: Path) -> None:
    def write(file: str, suffix: str) -> None:
        fields = {"entry_point": "f", "prompt": "def f(x):\n", "suffix": suffix, "canonical_solution": "    y = x\n", "test": ""}
        with gzip.open(tmp_path / file, "wt", encoding="utf-8") as lines:
            lines.write("\n".join(json.dumps({"task_id": f"{file[:15]}{number}", **fields}) for number in range(3)))

    write("HumanEval-SingleLineInfilling.jsonl.gz", "    return y\n")
    with pytest.raises(LacunaError, match="RandomSpan"):
        load_sources(tmp_path, infiller, 2, seed=0)
    write("HumanEval-RandomSpanInfillingLight.jsonl.gz", "y\n")
    sources = load_sources(tmp_path, infiller, 2, seed=0)
    assert {name: len(tasks) for name, tasks in sources.items()} == {"HumanEval single line": 2, "HumanEval random span": 2}
    assert {task.passage.pieces[1] for task in sources["HumanEval random span"]} == {"y\n"}
    assert sources["HumanEval random span"] == load_sources(tmp_path, infiller, 2, seed=0)["HumanEval random span"]


def test_tasks_that_do_not_fit_are_left_out_and_none_at_all_are_refused(infiller: LocalInfiller, tmp_path: Path) -> None:
    too_long, short = "x = 1\n" * 2000, "y = 2\n"
    for file, prompts in (
        ("HumanEval-SingleLineInfilling.jsonl.gz", (too_long, short)),
        ("HumanEval-RandomSpanInfillingLight.jsonl.gz", (too_long,)),
    ):
        fields = {"task_id": "long", "entry_point": "f", "suffix": "", "canonical_solution": "x", "test": ""}
        with gzip.open(tmp_path / file, "wt", encoding="utf-8") as lines:
            lines.write("\n".join(json.dumps({**fields, "prompt": prompt}) for prompt in prompts))
    assert [task.passage.pieces[0] for task in load_tasks(tmp_path, infiller, 2, seed=0)[1]] == [short]
    with pytest.raises(LacunaError, match=r"none of the tasks \(HumanEval random span\) fits"):
        load_sources(tmp_path, infiller, 2, seed=0)


def test_a_sweep_over_no_tasks_is_refused() -> None:
    with pytest.raises(LacunaError, match="--sweep-tasks must be at least 1, not 0"):
        main(["--sweep-tasks", "0"])
