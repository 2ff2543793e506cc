"""Precisions: what each computes in, how near it stays, and which one is chosen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from tqdm import tqdm

from engine.errors import LacunaError
from engine.local import load_infiller
from engine.manifest import load_manifest
from export import cli, compare_precisions, onnx_graph, quantise, room
from export.compare_precisions import DECODING, MOST_LOSS, TIMED_PASSES, Graph, Report
from export.corpus import SourceFile
from export.held_out import held_out
from export.onnx_graph import PRECISIONS, export_model
from export.quantise import BLOCK_4, blockwise_4
from tests.export.graphs import graph_of
from tests.export.workshop import TINY


@pytest.fixture(scope="module")
def folder(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All precisions; tests must leave it as it is."""
    out = tmp_path_factory.mktemp("models") / "tiny"
    export_model(tiny_run, out, "tiny", {}, {}, PRECISIONS)
    return out


@pytest.fixture(scope="module")
def report(folder: Path, tiny_corpus: Path) -> Report:
    return compare_precisions.compare_precisions(folder, tiny_corpus)


@pytest.mark.parametrize("inner", [BLOCK_4, 2 * BLOCK_4, BLOCK_4 + 6, 5])
def test_a_weight_of_4_bits_is_off_by_less_than_round_to_nearest_makes_it(inner: int) -> None:
    weight = np.random.default_rng(0).normal(size=(inner, 7)).astype(np.float32)
    weight[:, 2] = 0
    pairs, scales = blockwise_4(weight)
    blocks = -(-inner // BLOCK_4)
    assert pairs.shape == (7, blocks, BLOCK_4 // 2) and scales.shape == (7 * blocks,)
    steps = np.stack((pairs & 15, pairs >> 4), axis=-1).reshape(7, blocks, BLOCK_4).astype(np.int64) - 8
    back = (steps * scales.reshape(7, blocks, 1)).reshape(7, -1)
    assert not back[2].any() and not back[:, inner:].any()
    padded = np.zeros((7, blocks * BLOCK_4), dtype=np.float32)
    padded[:, :inner] = weight.T
    plain = np.abs(padded.reshape(7, blocks, BLOCK_4)).max(axis=-1, keepdims=True) / 7
    plain[plain == 0] = 1
    nearest = (np.rint(padded.reshape(7, blocks, BLOCK_4) / plain) * plain).reshape(7, -1)
    assert 0 < np.square(back - padded).sum() < np.square(nearest - padded).sum()


def test_4_bit_graphs_read_logits_in_8() -> None:
    products = [node for node in graph_of("int4").graph.node if node.op_type == "MatMulNBits"]
    bits = {node.output[0]: {each.name: each.i for each in node.attribute}["bits"] for node in products}
    assert Counter(bits.values()) == {4: 5 * (TINY.layers + 1) + 1, 8: 1} and bits["logits"] == 8


def test_a_float16_graph_computes_in_float16_but_for_angles_and_offsets() -> None:
    graph = graph_of("float16").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT} == {"inverse"}
    outputs = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    assert outputs.pop("logits") == outputs.pop("states") == onnx.TensorProto.FLOAT
    assert set(outputs.values()) == {onnx.TensorProto.FLOAT16}
    onnx.checker.check_model(graph_of("float16"), full_check=True)


def test_every_precision_is_near_float32_and_nearer_the_more_bits_it_has(report: Report) -> None:
    exact, half, eight, four = report.graphs
    assert [graph.precision for graph in report.graphs] == list(PRECISIONS)
    assert (exact.largest_logit_difference, exact.divergence, exact.same_top, exact.loss) == (0, 0, 1, 0)
    assert 0 < half.divergence < eight.divergence < four.divergence < 0.05
    assert 0 < half.mean_logit_difference < eight.mean_logit_difference < four.mean_logit_difference
    assert all(graph.mean_logit_difference < graph.largest_logit_difference for graph in (half, eight, four))
    assert half.same_top > 0.98 and four.same_top > 0.7
    assert all(abs(graph.bits_per_byte - exact.bits_per_byte * (1 + graph.loss)) < 1e-9 for graph in report.graphs)
    assert abs(four.loss) < 0.1
    assert four.megabytes < eight.megabytes
    assert all(set(graph.pass_ms) == set(TIMED_PASSES) for graph in report.graphs)
    assert all(0 < graph.decoding_ms <= graph.pass_ms[DECODING] for graph in report.graphs)


def test_bits_per_byte_are_those_of_the_text(folder: Path, tiny_corpus: Path, report: Report) -> None:
    """Beside the engine's own scores of the same stretches."""
    infiller = load_infiller(folder)
    text = held_out(folder, infiller.manifest, tiny_corpus)
    bits = 0.0
    for ids, tokens in zip(text.sequences, text.tokens, strict=True):
        logits = compare_precisions._logits(infiller.model, ids).astype(np.float64)
        chances = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        bits -= sum(np.log2(chances[row - 1, ids[row]]) for row in range(len(ids) - tokens, len(ids)))
    assert report.graphs[0].bits_per_byte == pytest.approx(bits / text.bytes, rel=1e-6)


def test_text_is_the_corpus_s_held_out_files_or_lacuna_s_own(folder: Path, tiny_corpus: Path) -> None:
    manifest, text = load_manifest(folder), load_infiller(folder).text
    held, own = held_out(folder, manifest, tiny_corpus), held_out(folder, manifest, None)
    assert own.source == "Lacuna's own code" and str(tiny_corpus) in held.source
    for found in (held, own):
        assert max(map(len, found.sequences)) == manifest.window
        pieces = [text.decode(ids[-tokens:].tolist()) for ids, tokens in zip(found.sequences, found.tokens, strict=True)]
        assert found.bytes == sum(len(piece.encode()) for piece in pieces)
        marks = [ids[:-tokens].tolist() for ids, tokens in zip(found.sequences, found.tokens, strict=True)]
        assert [manifest.special_ids.bos, manifest.special_ids.sof] in marks
        assert all(mark[0] == manifest.special_ids.bos and len(mark) <= 2 for mark in marks)
    again = held_out(folder, manifest, tiny_corpus)
    assert all((one == other).all() for one, other in zip(held.sequences, again.sequences, strict=True))


def test_a_corpus_without_text_is_refused(folder: Path, tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Split:
        sizes = np.array([1])

        def __getitem__(self, index: int) -> SourceFile:
            return SourceFile("project", "empty.py", "")

    monkeypatch.setattr("export.corpus.load", lambda folder, split: Split())
    with pytest.raises(LacunaError, match="hold no text to measure on"):
        held_out(folder, load_manifest(folder), tiny_corpus)


def figures(precision: str, loss: float, milliseconds: float) -> Graph:
    return Graph(precision, 1.0, 0.1, 0.01, 0.9, 0.001, 2 * (1 + loss), loss, dict.fromkeys(TIMED_PASSES, 5.0), milliseconds)


@pytest.mark.parametrize(
    ("half", "eight", "four", "chosen"),
    [
        ((0.0, 3.0), (0.001, 2.0), (MOST_LOSS, 1.0), "int4"),
        ((0.0, 3.0), (0.001, 2.0), (MOST_LOSS * 1.01, 1.0), "int8"),
        ((0.0, 1.5), (0.001, 2.0), (0.5, 1.0), "float16"),
        ((0.0, 5.0), (0.001, 4.5), (-0.1, 4.4), "float32"),
        ((float("nan"), 1.0), (0.001, 4.5), (0.5, 1.0), "float32"),
    ],
)
def test_the_fastest_within_the_loss_is_chosen(
    half: tuple[float, float], eight: tuple[float, float], four: tuple[float, float], chosen: str
) -> None:
    others = [figures(name, *each) for name, each in zip(("float16", "int8", "int4"), (half, eight, four), strict=True)]
    report = Report("tiny", "some text", 100, 50, (figures("float32", 0.0, 4.0), *others))
    assert report.fastest().precision == chosen


def test_the_command_reports_and_the_first_precision_is_run(
    tiny_run: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    arguments = ["onnx", str(tiny_run), str(out), "--corpus", str(tiny_corpus), "--precision", "int8", "--precision", "fp32", "int8"]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    for figure in ("file, MB", "largest logit difference", "same likeliest token", "bits per byte", *TIMED_PASSES, str(tiny_corpus)):
        assert figure in told
    assert list(load_manifest(out).graphs) == ["int8", "float32"]
    assert load_infiller(out).model.path.name == "model.int8.onnx"
    assert load_infiller(out, "float32").model.path.name == "model.onnx"


def test_a_precision_asked_for_alone_is_written_alone_but_reported_beside_float32(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "model"), "--precision", "int4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == ["int4"] and sorted(told["differences_from_torch"]) == ["float32", "int4"]
    assert [graph["precision"] for graph in told["report"]["graphs"]] == ["float32", "int4"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["manifest.json", "model.int4.onnx", "tokenizer.json"]


def test_auto_writes_the_chosen_one_and_says_why(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = compare_precisions.compare_precisions

    def int8_is_fastest(folder: Path, corpus: Path | None) -> Report:
        report = measured(folder, corpus)
        graphs = [dataclasses.replace(each, decoding_ms=float(each.precision != "int8")) for each in report.graphs]
        return dataclasses.replace(report, graphs=tuple(graphs))

    monkeypatch.setattr(compare_precisions, "compare_precisions", int8_is_fastest)
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "model"), "--precision", "auto"]) == 0
    assert "chosen: int8, the fastest that takes at most 1% more bits per byte than float32" in capsys.readouterr().out
    assert list(load_manifest(tmp_path / "model").graphs) == ["int8"]


def test_the_loss_that_the_help_tells_is_the_one_that_counts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["onnx", "--help"])
    assert f"at most {MOST_LOSS:.0%} more bits per byte" in " ".join(capsys.readouterr().out.split())
    assert tuple(cli.PRECISIONS.values()) == PRECISIONS


def test_a_full_disk_is_told_before_anything_is_written(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free = SimpleNamespace(total=1 << 40, used=0, free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "models" / "mine")]) == 2
    error = capsys.readouterr().err
    assert "its disk has only 1 MB free; make room" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_told_before_anything_is_written(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       8000000 kB\nMemFree:          10000 kB\nMemAvailable:    100000 kB\n", encoding="ascii")
    monkeypatch.setattr(room, "_MEMINFO", meminfo)
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "mine")]) == 2
    error = capsys.readouterr().err
    assert "but only 102 MB are left" in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [meminfo]
    for unknown in ("", "MemAvailable: plenty\n"):
        meminfo.write_text(unknown, encoding="ascii")
        assert room.available_memory() is None


def test_a_long_export_shows_how_far_it_is(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second after it began; the tiny one's bars are made to come at once."""
    for module in (onnx_graph, compare_precisions, quantise):
        monkeypatch.setattr(module, "tqdm", lambda *arguments, **options: tqdm(*arguments, **{**options, "delay": 0, "mininterval": 0}))
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "mine"), "--precision", "int4"]) == 0
    told = capsys.readouterr()
    for bar in ("model.onnx beside torch", "model.int4.onnx beside torch", "weights in 4 bits", "held-out text", "passes timed"):
        assert f"{bar}: 100%" in told.err and bar not in told.out


def test_room_is_asked_for_in_plenty(folder: Path) -> None:
    """The bound that a disk is held against is one."""
    manifest = load_manifest(folder)
    for precision, entry in manifest.graphs.items():
        overhead = 64 << 10  # nodes and small tensors, beside which a tiny model's weights are little
        assert (folder / entry.file).stat().st_size < room.PARAMETER_BYTES[precision] * manifest.parameters + overhead


def test_a_disk_that_fills_up_meanwhile_gets_one_sentence(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(graph: onnx.ModelProto, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_graph, "write_graph", full)
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "mine")]) == 2
    assert "can't be written beside" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_graph_whose_numbers_overflow_is_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = onnx_graph.largest_difference

    def overflow(graph: Path, *others: object) -> onnx_graph.Difference:
        return onnx_graph.Difference(float("inf"), 0) if "float16" in graph.name else measure(graph, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(onnx_graph, "largest_difference", overflow)
    assert cli.main(["onnx", str(tiny_run), str(tmp_path / "mine"), "--precision", "fp16"]) == 2
    assert "the float16 graph answers with numbers that are NaN or infinite" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
