"""The benchmark for GPUs, every part of it at a tiny size on the CPU: what it measures, what it says of what it couldn't, and the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_report, gpu_setup, report
from benchmarks.gpu_fills import METHODS, PUBLISHED, passages
from benchmarks.gpu_floor import PREFILL, Rates, work_on
from benchmarks.gpu_report import NOT_MEASURED
from benchmarks.gpu_setup import BASE, FULL, PAPER, QUICK, Part, Setup
from benchmarks.pass_shape import Work
from engine.default_model import DEFAULT_MODEL
from engine.errors import DeviceError, LacunaError
from engine.manifest import load_manifest
from engine.model import Model
from export.model import AsArm, parameter_count

PAGE = Path(__file__).parents[2] / "docs" / "gpu.md"


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup("cpu", QUICK, DEFAULT_MODEL, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def measured(setup: Setup) -> Iterator[list[dict[str, Any]]]:
    """All parts, but that torch compiles nothing: that takes it minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda module, **options: module)
        yield [gpu.measure(setup, name, 300) for name in gpu.PARTS]


def part_of(measured: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(part for part in measured if part["part"] == name)


def a_part(name: str = "passes", **changes: Any) -> dict[str, Any]:
    machine = {"packages": {"torch": "2.0"}, "date": "2026-01-02"}
    part = {"part": name, "device": "cuda", "card": "Some Card", "driver": "1.2", "quick": False, "machine": machine}
    return {**part, "missing": {}, "figures": [], **changes}


def test_help_tells_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        gpu.main(["--help"])
    text = capsys.readouterr().out
    assert (gpu.__doc__ or "?").splitlines()[0] in text
    assert "--quick" in text


@pytest.mark.slow
def test_every_part_measures_all_that_needs_no_gpu(measured: list[dict[str, Any]]) -> None:
    assert [part["part"] for part in measured] == list(gpu.PARTS)
    assert {what for part in measured for what in part["missing"]} == {"CUDA graphs"}
    shown = gpu_report.tables(gpu_report.figures(measured), QUICK)
    missing = {row[0] for table in shown[1:] for row in table.rows if NOT_MEASURED in row[1:3]}
    assert missing == {
        "a CUDA graph of one kernel, waited for, µs",
        "a kernel among many in a CUDA graph, µs",
        # In the precision of the CPU alone.
        "largest difference of logits from torch's in float32: tiny, passes over 16 rows",
    }
    # Torch compiles the smallest pass alone.
    passes = next(table for table in shown if "torch compiled" in table.columns)
    assert [row[-1] == NOT_MEASURED for row in passes.rows] == [True, False, True]
    assert all(NOT_MEASURED not in row[:-1] for row in passes.rows)


@pytest.mark.slow
def test_what_it_finds_on_the_cpu_is_right(measured: list[dict[str, Any]]) -> None:
    """Fills of both paths are the same, and figures fit together."""
    trained, beside_torch = (
        [row for row in part_of(measured, "same")["figures"] if ("shape" in row) == of_shapes] for of_shapes in (False, True)
    )
    assert [row["context"] for row in beside_torch] == list(QUICK.contexts)
    assert all(row["largest_logit_difference"] < 1e-4 for row in beside_torch)
    for row in trained:
        assert row["passages"] == QUICK.compared
        assert row["largest_logit_difference"] < (1e-3 if row["precision"] == "float32" else 0.3)
        assert row["one_pass_and_chain_rule"] < (1e-4 if row["precision"] == "float32" else 0.1)
        assert row["cached_and_uncached"] < (1e-4 if row["precision"] == "float32" else 0.1)
        if row["precision"] == "float32":
            assert all(row[f"{method}_equal"]["value"] == 1 for method in METHODS)
            assert row["uncached_fills_equal"] == QUICK.compared
    fills = {row["side"]: row for row in part_of(measured, "fills")["figures"]}
    assert fills[PUBLISHED]["times_faster"]["value"] == pytest.approx(1)
    for row in fills.values():
        assert row["ms_per_token"]["value"] * row["tokens_per_s"]["value"] == pytest.approx(1000)
        assert row["prompt_ms"]["value"] < row["fill_ms"]["value"]
        assert 1 / (QUICK.tokens + 1) <= row["passes_per_token"] <= 1
    passes = [row for row in part_of(measured, "passes")["figures"] if "pass" in row]
    assert len(passes) == 2 * len(QUICK.contexts) * (1 + len(QUICK.rows))
    for row in passes:
        assert row["times_floor"]["value"] == pytest.approx(row["ms"]["value"] / row["floor_ms"])


@pytest.mark.slow
def test_each_part_is_told_and_kept_when_it_ends(
    measured: list[dict[str, Any]], setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, part in enumerate(measured, 1):
        gpu.tell(setup, tmp_path, part)
        record = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
        assert [row["part"] for row in record["rows"]] == list(gpu.PARTS)[:number]
        assert "| ---" in capsys.readouterr().out
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")
    assert gpu_report.load(tmp_path) == json.loads(json.dumps(measured))


@pytest.mark.slow
def test_the_command_gives_each_part_a_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--quick", "--parts", "floor", "same", "--out", str(tmp_path)]) == 0
    assert [part["part"] for part in gpu_report.load(tmp_path / "quick")] == ["floor", "same"]
    told = capfd.readouterr().out
    assert told.index("== floor") < told.index("The device's rates, from") < told.index("== same") < told.index("The trained model")


def test_an_engine_that_cannot_run_leaves_torchs_figures(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Setup, folder: Path, *, captured: bool = True) -> Model:
        raise DeviceError("there is no such device; run it on the CPU")

    monkeypatch.setattr(Setup, "engine_model", refuse)
    fills = gpu.measure(setup, "fills", 300)
    assert {row["side"].split(",")[0] for row in fills["figures"]} == {"torch eager"}
    assert fills["missing"] == {"tiny, engine sides": "there is no such device; run it on the CPU"}
    assert not gpu.measure(setup, "batches", 300)["figures"]
    section = gpu_report.section([{**fills, "device": "cuda", "quick": False}], FULL)
    assert "- fills: tiny, engine sides: there is no such device; run it on the CPU" in section


def test_a_side_that_breaks_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"figure": 1}
        raise RuntimeError("out of memory\nlong story")

    part = Part("x")
    part.attempt("the large one", rows)
    part.attempt("the small one", lambda: [{"figure": 2}])
    assert part.rows == [{"figure": 1}, {"figure": 2}]
    assert part.missing == {"the large one": "RuntimeError: out of memory"}
    assert capsys.readouterr().out == "not measured: the large one: RuntimeError: out of memory\n"


def test_time_that_runs_out_leaves_what_was_measured(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(setup: Setup, part: Part) -> None:
        part.rows.append({"figure": 1})
        while True:
            pass

    monkeypatch.setattr("benchmarks.gpu_floor.floors", endless)
    found = gpu.measure(setup, "floor", 1)
    assert found["figures"] == [{"figure": 1}]
    assert found["missing"] == {"the rest": "1 s were not enough; give it more with --limit"}


def test_shapes_are_those_that_are_named() -> None:
    with torch.device("meta"):
        assert parameter_count(AsArm(FULL.shapes[BASE])) == pytest.approx(29.3e6, rel=0.01)
        assert parameter_count(AsArm(FULL.shapes[PAPER])) == pytest.approx(117e6, rel=0.01)


def test_models_of_random_weights_are_made_once_and_alike(setup: Setup) -> None:
    folder = setup.random_folder("tiny")
    manifest, made = load_manifest(folder), (folder / "manifest.json").stat().st_mtime_ns
    assert manifest.device_graph is not None and manifest.draft_head is not None
    assert setup.random_folder("tiny") == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == made
    one, other = setup.random_weights("tiny"), setup.random_weights("tiny")
    assert torch.equal(one.embedding.weight, other.embedding.weight)
    assert parameter_count(one) == manifest.parameters


def test_passages_have_a_hole_of_known_length(setup: Setup) -> None:
    found = passages(setup, 3)
    assert all(len(sequence.slots) == 1 and len(sequence.slots[0]) == QUICK.tokens for sequence in found)
    assert all(abs(len(sequence.ids) - QUICK.around) <= 4 and sequence.fixed_lengths == (True,) for sequence in found)


def test_a_floor_is_the_longer_of_reading_and_computing_and_a_launch() -> None:
    rates, work = Rates(products_per_s=1e9, launch_ms=0.5), Work(bytes=1e6, products=2e6, attention=1e6)
    assert rates.floor_ms(work, 1e9) == pytest.approx(3 + 0.5)
    assert rates.floor_ms(work, 1e8) == pytest.approx(10 + 0.5)


def test_prefill_and_decoding_differ_in_what_is_there_before(setup: Setup) -> None:
    prompt, step = work_on(setup, "tiny", PREFILL, 100), work_on(setup, "tiny", "1 + 1", 100)
    config = QUICK.shapes["tiny"]
    assert step.bytes - prompt.bytes == 2 * (config.layers + 1) * 100 * config.width * 4
    assert prompt.products > step.products


def test_without_a_gpu_nothing_is_started(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert report.run(lambda: gpu.main(["--out", str(tmp_path)])) == 2
    assert "finds no CUDA GPU here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_part_takes_the_place_of_its_former_figures_and_of_other_cards() -> None:
    before = [a_part("floor"), a_part("passes", figures=[{"old": 1}]), a_part("same", card="Another"), a_part("fills", device="cpu")]
    assert gpu_report.merged(before, a_part("passes")) == [a_part("floor"), a_part("passes")]


def test_results_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text("[]", encoding="utf-8")
    with pytest.raises(LacunaError, match="holds no results"):
        gpu_report.load(tmp_path)


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value, "high": value}


def test_targets_are_met_or_missed_by_what_was_measured() -> None:
    passing = {"shape": BASE, "context": 512, "pass": "1 + 1", "side": "CUDA graphs", "ms": figure(1.0)}
    passes = a_part("passes", figures=[{**passing, "times_floor": figure(1.9)}])
    filled = {"shape": BASE, "side": "engine, fused", "fill_ms": figure(15.5), "times_faster": figure(12), "passes_per_token": 0.5}
    fills = a_part("fills", figures=[{**filled, "tokens_per_s": figure(1), "ms_per_token": figure(1)}])
    rows = {row[0]: row[2:] for row in gpu_report.tables(gpu_report.figures([passes, fills]), FULL)[0].rows}
    assert rows["a pass of 1 + 1 rows over 512, in times of its floor"] == ("1.9 [1.9, 1.9]", "met")
    assert rows["a pass of 6 + 6 rows over 512, in times of its floor"] == (NOT_MEASURED, NOT_MEASURED)
    assert rows["a line of 12 tokens in a context of 512, by fused, ms"] == ("15.5 [15.5, 15.5]", "missed")
    assert rows["time of the published algorithm in torch eager over that of fused"] == ("12 [12, 12]", "met")


def test_a_page_tells_the_card_and_nothing_of_a_cpu() -> None:
    floor = {"kind": "products", "figure": "", "per_s": figure(7e14)}
    on_gpu, on_cpu = (gpu_report.section([a_part("floor", figures=[floor], device=device)], FULL) for device in ("cuda", "cpu"))
    assert on_gpu.startswith("Some Card, driver 1.2; torch 2.0; 2026-01-02.")
    assert "| product of two float16 matrices of 8192 x 8192, TFLOP/s | 700 [700, 700] |" in on_gpu
    assert on_cpu == gpu_report.section([], FULL)
    assert on_cpu.startswith("No GPU has been at hand yet")
    cells = [cell for table in gpu_report.tables({}, FULL) for row in table.rows for cell in row]
    assert not any("[" in cell for cell in cells)


def test_pages_are_filled_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = "before\n<!-- benchmarks/results/gpu.json{0}: begin -->\nold\n<!-- benchmarks/results/gpu.json{0}: end -->\nafter\n"
    pages = [tmp_path / name for name in ("all.md", "targets.md", "none.md")]
    for page, text in zip(pages, (marks.format(""), marks.format(", targets"), "no marks\n"), strict=True):
        page.write_text(text, encoding="utf-8")
    monkeypatch.setattr(gpu_report, "_PAGES", pages)
    assert gpu.main(["--table", "--out", str(tmp_path)]) == 0
    everything, targets, none = (page.read_text(encoding="utf-8") for page in pages)
    assert everything == marks.format("").replace("old", gpu_report.section([], FULL))
    assert targets == marks.format(", targets").replace("old", gpu_report.section([], FULL, targets_alone=True))
    assert none == "no marks\n"
    assert gpu_report.fill_pages(tmp_path, FULL) == []


def test_the_page_quotes_the_results_that_are_there() -> None:
    assert f": begin -->\n{gpu_report.section(gpu_report.load(report.RESULTS), FULL)}\n<!--" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_a_machine_lacks_is_told(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "which", lambda name: None)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    found = gpu.lacks(device)
    assert found[:2] == ["no onnxruntime: nothing of the engine can be measured", "no C compiler: torch can't compile"]
    assert ("no triton: torch can't compile" in found) == (device == "cuda")


def test_the_precision_is_that_of_the_device(setup: Setup) -> None:
    on_gpu = Setup("cuda:0", QUICK, DEFAULT_MODEL, setup.work)
    assert (setup.precision, on_gpu.precision, on_gpu.kind) == ("float32", "float16", torch.float16)
    assert gpu_setup.QUICK.shapes.keys() == {"tiny"}
