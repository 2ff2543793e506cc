"""The infiller's way between a model folder's graph for GPUs and the ordinary one, with a driver of the tests' own and the GPU's path on
the CPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from engine import cuda_driver, device_choice
from engine.default_model import DEFAULT_MODEL
from engine.device_model import DeviceModel
from engine.devices import Device
from engine.errors import DeviceError
from engine.local import LocalInfiller, load_infiller
from engine.manifest import MANIFEST, Manifest, bytes_of, load_manifest
from engine.options import FillOptions
from engine.passage import Passage
from export.device_graph import device_graph
from export.graph_file import write_graph
from export.source import read_source
from tests.engine.fake_driver import fake_driver

PASSAGE = Passage(("def add(a, b):\n    return a", "\n"), (6,))
CARD = Device("cuda", "NVIDIA Test Card")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's, with a graph for GPUs in it."""
    folder = tmp_path_factory.mktemp("model") / "default"
    shutil.copytree(DEFAULT_MODEL, folder)
    source, manifest = read_source(DEFAULT_MODEL), load_manifest(DEFAULT_MODEL)
    made = write_graph(device_graph(source.model, manifest.longest_position), folder / "model.gpu.onnx")
    (folder / MANIFEST).write_text(replace(manifest, device_graph=made).as_json(), encoding="utf-8")
    return folder


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that shows a card, and all libraries."""
    monkeypatch.setattr(cuda_driver, "DRIVER_LIBRARY", str(fake_driver(tmp_path)))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(device_choice, "missing_libraries", list)


@pytest.fixture
def working_card(card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    load = DeviceModel.__init__

    def load_on_the_cpu(model: DeviceModel, folder: Path, manifest: Manifest, device: str) -> None:
        assert device == "cuda"
        load(model, folder, manifest, "cpu")

    monkeypatch.setattr(DeviceModel, "__init__", load_on_the_cpu)


def greedy(infiller: LocalInfiller) -> tuple[str, ...]:
    return infiller.fill(PASSAGE, FillOptions(temperature=0)).suggestions[0].texts


@pytest.mark.usefixtures("working_card")
def test_the_card_s_graph_runs_where_there_is_a_card(folder: Path, infiller: LocalInfiller) -> None:
    for wanted in ("auto", "cuda"):
        loaded = load_infiller(folder, device=wanted)
        assert (loaded.device, loaded.precision, loaded.model.path.name) == (CARD, "float16", "model.gpu.onnx")
        assert greedy(loaded) == greedy(infiller)


@pytest.mark.usefixtures("working_card")
def test_the_ordinary_graph_runs_where_the_cpu_is_wanted_or_there_is_no_other(folder: Path) -> None:
    cpu = load_infiller(folder, device="cpu")
    assert (cpu.device, cpu.precision, cpu.model.path.name) == (Device("cpu", "CPU"), "float32", "model.onnx")
    # The model that comes with Lacuna might have such a graph one day: this one has none.
    manifest = load_manifest(folder)
    assert bytes_of(folder, manifest.graphs["float32"]) == (folder / "model.onnx").stat().st_size
    (folder.parent / "without").mkdir()
    for file in folder.iterdir():
        shutil.copy(file, folder.parent / "without")
    (folder.parent / "without" / MANIFEST).write_text(replace(manifest, device_graph=None).as_json(), encoding="utf-8")
    without = load_infiller(folder.parent / "without", device="auto")
    assert "no graph for GPUs" in without.device.sentence and without.model.path.name == "model.onnx"


def test_a_card_that_is_too_small_for_the_graph(folder: Path, tmp_path: Path, card: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "DRIVER_LIBRARY", str(fake_driver(tmp_path, mebibytes=8)))
    infiller = load_infiller(folder, device="auto")
    assert "MiB of the card's memory at least, but the NVIDIA Test Card has 8" in infiller.device.sentence


@pytest.mark.usefixtures("card")
def test_a_card_that_cuda_can_not_be_had_on_after_all(folder: Path, infiller: LocalInfiller, capfd: pytest.CaptureFixture[str]) -> None:
    """ONNX Runtime is really asked, and finds no such card, nor perhaps CUDA's libraries."""
    loaded = load_infiller(folder, device="auto")
    assert loaded.device.kind == "cpu" and loaded.device.is_news and loaded.precision == "float32"
    assert loaded.device.sentence.startswith("the CPU runs the model: the NVIDIA Test Card can't be used (")
    assert greedy(loaded) == greedy(infiller)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("working_card")
@pytest.mark.parametrize(
    ("said", "out_of_memory"),
    [
        ("Non-zero status code returned while running MatMul node. Status Message: Failed to allocate memory for requested buffer", True),
        ("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", True),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", False),
        ("CUDA failure 999: unknown error", False),
    ],
)
def test_what_fails_in_onnx_runtime_is_answered_by_the_cpu(
    folder: Path, infiller: LocalInfiller, monkeypatch: pytest.MonkeyPatch, said: str, out_of_memory: bool
) -> None:
    loaded = load_infiller(folder, device="cuda")
    device_model, runs = loaded.model, 0
    run = onnxruntime.InferenceSession.run_with_iobinding

    def fail_at_the_third(session: Any, *arguments: Any) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            raise onnxruntime.capi.onnxruntime_pybind11_state.Fail(said)
        run(session, *arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run_with_iobinding", fail_at_the_third)
    assert greedy(loaded) == greedy(infiller) and runs == 3
    assert loaded.device.is_news and (loaded.device.kind == "cuda") == out_of_memory
    assert (loaded.model is device_model) == out_of_memory
    assert greedy(loaded) == greedy(infiller)
    assert (runs > 3) == out_of_memory
    # Nothing of the failed request is left on the card.
    assert isinstance(device_model, DeviceModel)
    loaded.prompts = type(loaded.prompts)()
    assert device_model.places.free == device_model.places.capacity - 1


@pytest.mark.usefixtures("card")
def test_a_card_that_is_full_already_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise DeviceError("cuda failed while running model.gpu.onnx (out of memory); free memory on it", out_of_memory=True)

    monkeypatch.setattr(DeviceModel, "__init__", full)
    assert "(out of memory); free memory on it" in load_infiller(folder, device="auto").device.sentence
