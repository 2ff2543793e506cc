"""The choice of a device, and the reason for it, by what a driver's library really answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from engine import cuda_driver, device_choice
from engine.cuda_driver import BrokenDriver, Card, NoCard, first_card
from engine.default_model import DEFAULT_MODEL
from engine.device_choice import choose_device, missing_libraries, quiet_runtime
from engine.devices import CPU, Device
from engine.manifest import TWO_STREAM, FileEntry, Manifest, load_manifest
from tests.engine.fake_driver import fake_driver
from tests.engine.no_driver import loads, needs_no_driver

CARD = Card("NVIDIA Test Card", 8192 * 2**20, (13, 0))
GRAPH = FileEntry("model.gpu.onnx", "")
MODEL = replace(load_manifest(DEFAULT_MODEL), device_graph=GRAPH)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Puts a driver's library with the given answers in the place of the machine's."""

    def install(**answers: Any) -> None:
        monkeypatch.setattr(cuda_driver, "DRIVER_LIBRARY", str(fake_driver(tmp_path, **answers)))

    return install


@pytest.fixture
def usable(driver: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """As `driver`, with a build of ONNX Runtime for CUDA 13 and with all libraries."""

    def install(**answers: Any) -> None:
        driver(**answers)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
        monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)

    return install


def choice(wanted: str, model: Manifest = MODEL, folder: Path = DEFAULT_MODEL) -> Device:
    return choose_device(wanted, folder, model)


def reason(wanted: str = "auto", model: Manifest = MODEL, folder: Path = DEFAULT_MODEL) -> str:
    """Why it is the CPU, which has to be news."""
    device = choice(wanted, model, folder)
    assert (device.kind, device.name, device.is_news) == ("cpu", "CPU", True)
    assert device.reason is not None
    return device.reason


@needs_no_driver
def test_without_a_driver_it_is_the_cpu_and_no_news() -> None:
    device = choice("auto")
    assert device.kind == "cpu" and not device.is_news
    assert device.reason is not None and device.reason.startswith(f"no NVIDIA driver was found ({cuda_driver.DRIVER_LIBRARY} ")
    # But to somebody who wanted it, it is.
    assert reason("cuda") == device.reason


@needs_no_driver
def test_a_driver_in_the_current_folder_is_nobody_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which may be a workspace that somebody only looks at."""
    monkeypatch.chdir(fake_driver(tmp_path).parent)
    assert reason("cuda").startswith("no NVIDIA driver was found")


def test_the_cpu_is_taken_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_choice, "first_card", lambda: pytest.fail("the driver was asked"))
    assert choice("cpu") == CPU == Device("cpu", "CPU", None, False)


def test_the_card_is_named_as_its_driver_names_it(driver: Any) -> None:
    driver(name="NVIDIA Test Card", mebibytes=8192, version=13000)
    assert first_card() == CARD
    driver(name="Größe", mebibytes=80_000, version=12090)
    assert first_card() == Card("Größe", 80_000 * 2**20, (12, 9))


def test_a_usable_card_is_taken(usable: Any) -> None:
    usable()
    for wanted in ("auto", "cuda"):
        assert choice(wanted) == Device("cuda", "NVIDIA Test Card")


@pytest.mark.parametrize("answers", [{"count": 0}, {"code": 100}])
def test_a_driver_without_a_card_is_no_news(driver: Any, monkeypatch: pytest.MonkeyPatch, answers: dict[str, int]) -> None:
    driver(**answers)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    device = choice("auto")
    assert device.reason == "the NVIDIA driver shows no card, and CUDA_VISIBLE_DEVICES is '-1'; see what nvidia-smi says"
    assert device.kind == "cpu" and not device.is_news
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(NoCard, match="shows no card; see"):
        first_card()


def test_a_driver_that_does_not_work_is_quoted(driver: Any) -> None:
    driver(code=803)
    assert "system has unsupported display driver / cuda driver combination, error 803" in reason()
    driver(code=777)
    assert "(cuInit: error 777)" in reason()


def test_a_driver_of_long_ago(driver: Any) -> None:
    driver(old=True)
    with pytest.raises(BrokenDriver, match="too old"):
        first_card()
    assert "install a newer one" in reason()


def test_a_build_without_cuda(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    driver()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "is built without CUDA; pip uninstall onnxruntime, then pip install onnxruntime-gpu" in reason()


def test_a_driver_that_is_older_than_the_build(usable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usable(version=12040)
    assert reason().startswith("the NVIDIA driver knows CUDA up to 12.4, but ONNX Runtime ")
    # Within a major version the older driver serves.
    monkeypatch.setattr(onnxruntime, "cuda_version", "12.9")
    assert choice("auto").kind == "cuda"


def test_a_folder_without_a_graph_for_gpus(usable: Any) -> None:
    usable()
    assert "no graph for GPUs; lacuna-export onnx --precision gpu writes one" in reason(model=replace(MODEL, device_graph=None))


def test_an_xlnet_model_is_for_the_cpu_which_nobody_can_mend(usable: Any) -> None:
    usable()
    xlnet = replace(MODEL, architecture=TWO_STREAM, device_graph=None)
    assert choice("auto", xlnet) == Device("cpu", "CPU", "XLNet models have no graph for GPUs, and run on the CPU alone")
    assert reason("cuda", xlnet) == choice("auto", xlnet).reason


def test_a_card_that_is_too_small(usable: Any, tmp_path: Path) -> None:
    usable(mebibytes=2048)
    with (tmp_path / GRAPH.file).open("wb") as graph:
        graph.truncate(3000 * 2**20)  # which takes no room on the disk
    assert "takes 3,000 MiB of the card's memory at least, but the NVIDIA Test Card has 2,048" in reason(folder=tmp_path)


def test_libraries_that_are_not_there_are_named(usable: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    usable()

    def preload() -> None:
        # One that wasn't where pip puts it, but is found in the system, and two that are nowhere.
        print("Failed to load /site-packages/nvidia/cu13/lib/libc.so.6: no such file")
        print("Failed to load libnowhere.so.13: libnowhere.so.13: cannot open shared object file: No such file or directory")
        print("Failed to load libnowhere.so.13: libnowhere.so.13: cannot open shared object file: No such file or directory")
        print("Failed to load libnever.so.10: it is broken\nPlease follow https://example.org to install CUDA.")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    if sys.platform == "linux":
        assert missing_libraries() == ["libnowhere.so.13", "libnever.so.10"]
    assert "libnowhere.so.13, libnever.so.10 can't be loaded; pip install 'lacuna-lsp[gpu]' brings" in reason()
    assert capfd.readouterr() == ("", "")


def test_what_onnx_runtime_misses_here_can_really_not_be_loaded(capfd: pytest.CaptureFixture[str]) -> None:
    missing = missing_libraries()
    assert not [name for name in missing if loads(name)]
    assert capfd.readouterr() == ("", "")


_ASKS_FOR_CUDA = """
import sys
import onnxruntime
from engine.device_choice import missing_libraries, quiet_runtime
missing = missing_libraries()
with quiet_runtime():
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CUDAExecutionProvider", "CPUExecutionProvider"], enable_fallback=0)
print(len(missing), *session.get_providers())
"""


@needs_no_driver
@pytest.mark.skipif("CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="ONNX Runtime is built without CUDA")
def test_onnx_runtime_says_nothing_of_a_provider_that_it_leaves_out() -> None:
    """In a process of its own, since it speaks of a library once."""
    graph = DEFAULT_MODEL / "model.onnx"
    asked = subprocess.run([sys.executable, "-c", _ASKS_FOR_CUDA, graph], capture_output=True, text=True, timeout=60, check=True)
    assert asked.stdout.split()[1:] == ["CPUExecutionProvider"] and asked.stderr == ""
    # It would say something else: the test looks in the right place.
    loud = _ASKS_FOR_CUDA.replace("with quiet_runtime():", "if True:")
    asked = subprocess.run([sys.executable, "-c", loud, graph], capture_output=True, text=True, timeout=60, check=True)
    assert "CUDAExecutionProvider" in asked.stderr


def test_the_runtime_is_no_longer_quiet_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    severities: list[int] = []
    monkeypatch.setattr(onnxruntime, "set_default_logger_severity", severities.append)
    with pytest.raises(RuntimeError), quiet_runtime():
        raise RuntimeError
    assert severities == [4, 2]
