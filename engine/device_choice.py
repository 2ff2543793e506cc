"""On which device a model is to run, and why not on the GPU where it doesn't.

ONNX Runtime asked for CUDA where it can't be had says so on stderr, at length, and goes on without it. So that is found out first, from
what costs least to ask to what costs most: the driver, the build, the folder, the card, the libraries.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePath

import onnxruntime

from engine.cuda_driver import BrokenDriver, NoCard, first_card
from engine.devices import CPU, Device, on_the_cpu
from engine.manifest import TWO_STREAM, Manifest, bytes_of

CUDA_PROVIDER = "CUDAExecutionProvider"

_MIB = 2**20
_SILENT, _WARNINGS = 4, 2  # severities of ONNX Runtime; the second is its default


def choose_device(wanted: str, folder: Path, manifest: Manifest) -> Device:
    """The device for the model in `folder`. `wanted` is one of DEVICES: "auto" is CUDA where that can be had.

    That there is no card, or no way for such a model to run on one, is news only to those who asked for it.
    """
    if wanted == "cpu":
        return CPU
    try:
        card = first_card()
    except NoCard as error:
        return on_the_cpu(str(error), is_news=wanted == "cuda")
    except BrokenDriver as error:
        return on_the_cpu(str(error))
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        return on_the_cpu(
            f"ONNX Runtime {onnxruntime.__version__} is built without CUDA; pip uninstall onnxruntime, then pip install onnxruntime-gpu"
        )
    built = _built_with()
    if built > card.cuda:
        return on_the_cpu(
            f"the NVIDIA driver knows CUDA up to {'.'.join(map(str, card.cuda))}, but ONNX Runtime {onnxruntime.__version__} is built for "
            f"{built[0]}; install a newer driver"
        )
    if manifest.architecture == TWO_STREAM:
        return on_the_cpu("XLNet models have no graph for GPUs, and run on the CPU alone", is_news=wanted == "cuda")
    if manifest.device_graph is None:
        return on_the_cpu("the model folder has no graph for GPUs; lacuna-export onnx --precision gpu writes one")
    least = bytes_of(folder, manifest.device_graph)
    if least > card.memory:
        return on_the_cpu(
            f"the model takes {least // _MIB:,} MiB of the card's memory at least, but the {card.name} has {card.memory // _MIB:,}; "
            "choose a smaller model"
        )
    missing = missing_libraries()
    if missing:
        return on_the_cpu(f"CUDA's {', '.join(missing)} can't be loaded; pip install 'lacuna-lsp[gpu]' brings all such libraries")
    return Device("cuda", card.name)


def _built_with() -> tuple[int, int]:
    """The oldest CUDA version that serves this build of ONNX Runtime: its own major version, as its later ones can do with less."""
    major = str(getattr(onnxruntime, "cuda_version", "")).partition(".")[0]
    return (int(major), 0) if major.isdigit() else (0, 0)


def missing_libraries() -> list[str]:
    """The CUDA libraries that ONNX Runtime needs and that can't be loaded. Those that can, from pip's packages or the system, are.

    Which it needs it alone knows, and says so on stdout, which may carry a protocol. Where it should put that into other words one day,
    nothing is missing here, and loading the graph tells.
    """
    with contextlib.redirect_stdout(io.StringIO()) as said:
        onnxruntime.preload_dlls()
    failed = dict.fromkeys(PurePath(path).name for path in re.findall(r"^Failed to load (.+?): ", said.getvalue(), re.MULTILINE))
    return [name for name in failed if not _loads(name)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keep ONNX Runtime from writing to stderr what its exceptions and its choice of providers tell as well."""
    onnxruntime.set_default_logger_severity(_SILENT)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNINGS)
