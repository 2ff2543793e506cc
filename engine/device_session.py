"""ONNX Runtime on a device: sessions, passes through buffers that stay where they are, and what may go wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import DeviceError, ModelError

_ALIGNMENT = 256  # of what lies side by side in one buffer, in bytes
_NOT_CAPTURED = -1  # the number by which ONNX Runtime knows that a pass is to be run as it is
_CUDA_OPTIONS = {
    "device_id": "0",
    "enable_cuda_graph": "1",
    "use_tf32": "0",  # or float32 would have the precision of 10 bits in products
    "enable_skip_layer_norm_strict_mode": "1",  # or the squares of a norm would be added up in float16
}
# What ONNX Runtime's arena, CUDA and its libraries say where memory runs out.
_OUT_OF_MEMORY = re.compile("failed to allocate|out of memory|ALLOC_FAILED|smaller than requested", re.IGNORECASE)
_NO_FALLBACK = "fallback to CPU EP has been explicitly disabled"


def device_session(path: Path, device: str) -> onnxruntime.InferenceSession:
    """A session on "cuda" or "cpu". Raises ModelError for a graph that can't be run anywhere, DeviceError where CUDA can't run it."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is raised, and told once
    options.intra_op_num_threads = 1
    if device == "cuda":
        # A node that ran on the CPU would cost copies at every pass, and a graph with one can't be captured.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        provider: Any = ("CUDAExecutionProvider", _CUDA_OPTIONS)
    else:
        provider = "CPUExecutionProvider"
    try:
        # Without its own fallback: that prints to stdout, which may carry a protocol.
        return onnxruntime.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        why = _first_line(error)
        if _NO_FALLBACK in why:
            why = "CUDA can't be loaded, or has no kernel for one of its ops"
        said = f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__} on {device} ({why})"
        if device == "cpu":
            raise ModelError(f"{said}; export the model again") from None
        raise DeviceError(f"{said}; run it on the CPU") from None


@contextmanager
def reported(device: str, path: Path) -> Iterator[None]:
    """What fails in ONNX Runtime is raised as DeviceError."""
    try:
        yield
    except Exception as error:
        # Its exceptions share no base class of their own, and some are plain RuntimeErrors.
        if not isinstance(error, RuntimeError) and not type(error).__module__.startswith("onnxruntime"):
            raise
        raise DeviceError(
            f"{device} failed while running {path.name} ({_first_line(error)}); free memory on it or use the CPU",
            out_of_memory=bool(_OUT_OF_MEMORY.search(str(error))),
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def bucket(count: int) -> int:
    """The power of two that a number of rows is padded to."""
    return 1 << max(0, count - 1).bit_length()


def on_device(values: NDArray[Any], device: str) -> Any:
    """An OrtValue there that holds them."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(values, device, 0)


class BoundPass:
    """Passes of one shape through buffers at fixed addresses, bound to a graph's inputs and float32 outputs once.

    `inputs` tells the type and shape of each, `outputs` the shape. All inputs go there as one copy, all outputs come back as another.
    `graph` is the number under which CUDA keeps the pass as a graph, captured the first time; None: it is run op by op. A pass is run
    more than once when it is captured, so it must not matter how often.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        device: str,
        inputs: Mapping[str, tuple[type, tuple[int, ...]]],
        outputs: Mapping[str, tuple[int, ...]],
        graph: int | None,
    ) -> None:
        self._session = session
        self.binding = session.io_binding()
        sizes = [prod(shape) * np.dtype(kind).itemsize for kind, shape in inputs.values()]
        starts, size = _side_by_side(sizes)
        self._host = np.zeros(size, dtype=np.uint8)
        self._given = onnxruntime.OrtValue.ortvalue_from_shape_and_type([size], np.uint8, device, 0)
        self.inputs: dict[str, NDArray[Any]] = {}  # to be written before a pass
        for (name, (kind, shape)), start, length in zip(inputs.items(), starts, sizes, strict=True):
            self.inputs[name] = self._host[start : start + length].view(kind).reshape(shape)
            self.binding.bind_input(name, device, 0, kind, shape, self._given.data_ptr() + start)
        starts, size = _side_by_side([4 * prod(shape) for shape in outputs.values()])
        self._answers = onnxruntime.OrtValue.ortvalue_from_shape_and_type([size // 4], np.float32, device, 0)
        self._outputs = {name: (start // 4, shape) for (name, shape), start in zip(outputs.items(), starts, strict=True)}
        for name, (start, shape) in self._outputs.items():
            self.binding.bind_output(name, device, 0, np.float32, shape, self._answers.data_ptr() + 4 * start)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(_NOT_CAPTURED if graph is None else graph))

    def clear(self) -> None:
        """Zeros to all inputs."""
        self._host.fill(0)

    def run(self) -> dict[str, NDArray[np.float32]]:
        """The outputs, by name. On the CPU they lie in the buffer that the next pass writes to."""
        self._given.update_inplace(self._host)
        self._session.run_with_iobinding(self.binding, self._options)
        answers = self._answers.numpy()
        return {name: answers[start : start + prod(shape)].reshape(shape) for name, (start, shape) in self._outputs.items()}


def _side_by_side(sizes: list[int]) -> tuple[list[int], int]:
    """Where things of these sizes in bytes begin in one buffer, and its size."""
    *starts, size = accumulate((-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes), initial=0)
    return starts, size
