"""An AS-ARM that stays on a device: weights, cache and arithmetic; a pass sends row numbers there and gets logits back.

The graph (a model folder's `device_graph`) writes its cache in place: every pass says at which *places*, rows of one cache a layer, its
content rows are to stand, and which places each row sees. So drafts that were refused, contexts of one prompt and prompts of earlier
requests need no copying: their places are shared, or free again (`engine.places`).

Passes are padded to few shapes, each with buffers at addresses of its own, bound to the graph once. On CUDA the first pass of a shape is
captured as a CUDA graph and every later one is a single launch. What goes in is one copy, what comes out another: a pass's S slot rows
answer with S * V logits, and sampling and the accept test stay on the host, in float64, where the decoders' exactness is settled. The
copies cost microseconds for the few slot rows of a decoding pass, and nothing returns to the host in between.

`device` "cpu" runs the same path without a GPU, but for graph capture: slower than `OnnxModel` there, and how the tests hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.errors import DeviceError, ModelError, PassageError
from engine.finite import refuse_broken
from engine.laid_rows import LaidRows
from engine.manifest import Manifest, checked_file
from engine.model import Rows
from engine.onnx_draft_head import OnnxDraftHead, load_draft_head
from engine.places import SPARE, Places
from engine.sequence import BoolArray, IntArray

_COMMON = -1  # owner of places that all contexts of a state see
_ROWS = 256  # the fewest cache rows that a pass reads; larger passes read twice as many, and so on
_MOST_CAPTURED = 256  # content or slot rows of a pass whose buffers are kept, and whose CUDA graph
_ALIGNMENT = 256  # of what lies side by side in one buffer, in bytes
# (content rows, slot rows) that are made ready at load: tokens and drafts of one fill and of a few together, and a prompt's passes.
_WARM = ((1, 1), (2, 2), (4, 4), (8, 8), (16, 16), (32, 32), (4, 1), (8, 1), (256, 1))

_INPUTS = (
    "content_ids",
    "content_positions",
    "content_places",
    "content_visibility",
    "slot_sources",
    "slot_targets",
    "slot_offsets",
    "slot_visibility",
)


def bucket(count: int) -> int:
    """The power of two that a number of rows is padded to."""
    return 1 << max(0, count - 1).bit_length()


class DeviceModel:
    """Loads a model folder's device graph on `device`, "cuda" or "cpu", and makes the commonest passes ready. `captured` False launches
    every op by itself even on CUDA, to see what CUDA graphs save.

    Raises ModelError when the folder has no such graph or it breaks the manifest's promises, DeviceError when the device can't be used or
    has no memory left, then and at every pass. Passes are to be run by the thread that loads the model: CUDA graphs belong to a thread, and
    another one's first passes would be captured again.
    """

    def __init__(self, folder: Path, manifest: Manifest, device: str = "cuda", *, captured: bool = True) -> None:
        if manifest.device_graph is None:
            raise ModelError(f"{folder} has no graph for a GPU; export the model again with --precision gpu, or run it on the CPU")
        self.path = checked_file(folder, manifest.device_graph)
        self.manifest = manifest
        self.device = device
        self.session = _session(self.path, device)
        self.caches = 2 * manifest.cached_layers
        self._check()
        half = self.session.get_inputs()[len(_INPUTS)].type == "tensor(float16)"
        self.cache_type = np.dtype(np.float16 if half else np.float32)
        self.never = manifest.never
        self.draft_head: OnnxDraftHead | None = load_draft_head(folder, manifest)
        self._buckets: dict[tuple[int, int, int], _Bucket] = {}
        self._captured = captured
        self._graphs = 0
        with self.reported():
            # One prompt of the longest kind, and as many rows for what is drawn and for another prompt.
            self.places = Places(max(_ROWS, bucket(2 * manifest.window)))
            self._cache = [self._zeros() for _ in range(self.caches)]
            for content, slots in _WARM:
                rows = _ROWS
                while rows <= self.places.capacity:
                    self._bucket(content, slots, rows).run({})
                    rows *= 2

    def _check(self) -> None:
        manifest, width = self.manifest, self.manifest.heads * self.manifest.head_size
        wanted = [*_INPUTS, *(f"past_{index}" for index in range(self.caches))]
        given = {entry.name: entry for entry in self.session.get_inputs()}
        outputs = {entry.name: entry for entry in self.session.get_outputs()}
        if list(given) != wanted or list(outputs) != ["logits", "states", *(f"new_{index}" for index in range(self.caches))]:
            raise ModelError(f"{self.path} takes or gives other things than Lacuna's graphs for a GPU; export the model again")
        found = [given["past_0"].shape[2], outputs["states"].shape[2], outputs["logits"].shape[2]]
        if found != [width, width, manifest.vocabulary]:
            raise ModelError(
                f"{self.path} has caches and states of {found[0]} and {found[1]} numbers and a vocabulary of {found[2]}, its manifest says "
                f"{width} and {manifest.vocabulary}; export the model again"
            )

    @property
    def eoh(self) -> int:
        return self.manifest.special_ids.eoh

    @property
    def provider(self) -> str:
        """The execution provider that came first, such as 'CUDAExecutionProvider'."""
        return str(self.session.get_providers()[0])

    @property
    def threads(self) -> int:
        """How many threads of the CPU a pass runs on."""
        return int(self.session.get_session_options().intra_op_num_threads)

    @property
    def row_bytes(self) -> int:
        """Bytes of the device's memory that a content row takes in the cache."""
        return self.caches * self.manifest.heads * self.manifest.head_size * self.cache_type.itemsize

    def open(self) -> DeviceState:
        return DeviceState(self, np.zeros(0, dtype=np.int64), 1)

    def take(self, count: int) -> IntArray:
        """Free places `[count]`; the caches grow where there are too few. Raises DeviceError."""
        while self.places.free < count:
            self._grow(2 * self.places.capacity)
        return self.places.take(count)

    def run(self, inputs: Mapping[str, NDArray[Any]], rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits `[S, V]` and states `[S, width]` of a pass over the first `rows` rows of the caches.

        `inputs` are the graph's, but for the caches; visibility has at most `rows` columns.
        """
        content, slots = len(inputs["content_visibility"]), len(inputs["slot_visibility"])
        with self.reported():
            logits, states = self._bucket(bucket(content), bucket(slots), max(_ROWS, bucket(rows))).run(inputs)
        # On the CPU they lie in the buffer that the next pass writes to.
        return logits[:slots].copy(), states[:slots].copy()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """What fails in ONNX Runtime is raised as DeviceError."""
        try:
            yield
        except Exception as error:
            if not _of_onnxruntime(error):
                raise
            raise DeviceError(
                f"{self.device} failed while running {self.path.name} ({_first_line(error)}); free memory on it or run the model on the CPU"
            ) from None

    def _bucket(self, content: int, slots: int, rows: int) -> _Bucket:
        shape = (content, slots, rows)
        if max(content, slots) > _MOST_CAPTURED:
            return _Bucket(self, *shape, graph=None)
        if shape not in self._buckets:
            self._graphs += 1
            self._buckets[shape] = _Bucket(self, *shape, graph=self._graphs if self._captured else None)
        return self._buckets[shape]

    def bind_caches(self, binding: Any, rows: int) -> None:
        """Bind the first `rows` rows of the caches to a pass, as what it reads and where it writes."""
        shape = [1, rows, self._cache[0].shape()[2]]
        for index, cache in enumerate(self._cache):
            for bind, name in ((binding.bind_input, f"past_{index}"), (binding.bind_output, f"new_{index}")):
                bind(name, self.device, 0, self.cache_type.type, shape, cache.data_ptr())

    def _zeros(self) -> Any:
        # A place that was never written must not hold NaN: it is hidden, and 0 * NaN would come out of that.
        shape = (1, self.places.capacity, self.manifest.heads * self.manifest.head_size)
        return onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(shape, dtype=self.cache_type), self.device, 0)

    def _grow(self, capacity: int) -> None:
        # By way of the host: a copy of part of a tensor is all that ONNX Runtime doesn't offer on the device, and this is rare.
        width = self.manifest.heads * self.manifest.head_size
        with self.reported():
            grown = []
            for cache in self._cache:
                larger = np.zeros((1, capacity, width), dtype=self.cache_type)
                larger[:, : self.places.capacity] = cache.numpy()
                grown.append(onnxruntime.OrtValue.ortvalue_from_numpy(larger, self.device, 0))
        self._cache = grown
        self._buckets.clear()  # their addresses are those of the old caches
        self.places.grow(capacity)


class _Bucket:
    """Passes of one shape, through buffers at fixed addresses. `graph`: the number of its CUDA graph; None: it is not captured."""

    def __init__(self, model: DeviceModel, content: int, slots: int, rows: int, graph: int | None) -> None:
        self.model = model
        manifest = model.manifest
        width = manifest.heads * manifest.head_size
        shapes: dict[str, tuple[type, tuple[int, ...]]] = {
            "content_ids": (np.int64, (1, content)),
            "content_positions": (np.int64, (1, content)),
            "content_places": (np.int64, (1, content, 2)),
            "content_visibility": (np.bool_, (content, rows)),
            "slot_sources": (np.int64, (slots,)),
            "slot_targets": (np.int64, (1, slots)),
            "slot_offsets": (np.int64, (1, slots)),
            "slot_visibility": (np.bool_, (slots, rows)),
        }
        starts, self._size = _side_by_side([prod(shape) * np.dtype(kind).itemsize for kind, shape in shapes.values()])
        self._host = np.zeros(self._size, dtype=np.uint8)
        self._inputs: dict[str, NDArray[Any]] = {
            name: self._host[start : start + prod(shape) * np.dtype(kind).itemsize].view(kind).reshape(shape)
            for start, (name, (kind, shape)) in zip(starts, shapes.items(), strict=True)
        }
        self._device = _buffer(self._size, np.uint8, model.device)
        self._binding = model.session.io_binding()
        for start, (name, (kind, shape)) in zip(starts, shapes.items(), strict=True):
            self._binding.bind_input(name, model.device, 0, kind, shape, self._device.data_ptr() + start)
        model.bind_caches(self._binding, rows)
        (_, self._states), size = _side_by_side([4 * slots * manifest.vocabulary, 4 * slots * width])
        self._answers = _buffer(size // 4, np.float32, model.device)
        self._logits_shape, self._states_shape = (slots, manifest.vocabulary), (slots, width)
        for name, shape, start in (("logits", self._logits_shape, 0), ("states", self._states_shape, self._states)):
            self._binding.bind_output(name, model.device, 0, np.float32, (1, *shape), self._answers.data_ptr() + start)
        self._options = onnxruntime.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(-1 if graph is None else graph))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits `[slots, V]` and states `[slots, width]`; the rows behind those of `inputs` mean nothing."""
        self._host.fill(0)
        # Padding writes to the spare place and sees it, so that its softmax is one.
        for name in ("content_visibility", "slot_visibility"):
            self._inputs[name][len(inputs.get(name, ())) :, SPARE] = True
        for name, values in inputs.items():
            self._inputs[name][tuple(map(slice, values.shape))] = values
        self._device.update_inplace(self._host)
        self.model.session.run_with_iobinding(self._binding, self._options)
        answers = self._answers.numpy()
        logits = answers[: prod(self._logits_shape)].reshape(self._logits_shape)
        return logits, answers[self._states // 4 :][: prod(self._states_shape)].reshape(self._states_shape)


def _side_by_side(sizes: list[int]) -> tuple[list[int], int]:
    """Where things of these sizes in bytes begin in one buffer, and its size."""
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end += -(-size // _ALIGNMENT) * _ALIGNMENT
    return starts, end


def _buffer(size: int, kind: type, device: str) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type([size], kind, device, 0)


def _session(path: Path, device: str) -> onnxruntime.InferenceSession:
    """Raises ModelError for a graph that can't be run anywhere, DeviceError for a device."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if device == "cuda":
        # A node that ran on the CPU would cost copies at every pass, and a graph with one can't be captured.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        provider: Any = ("CUDAExecutionProvider", {"device_id": "0", "enable_cuda_graph": "1", "use_tf32": "0"})
    else:
        provider = "CPUExecutionProvider"
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # onnxruntime's exceptions share no base class of their own
        why = _first_line(error)
        if "fallback to CPU EP has been explicitly disabled" in why:
            why = "CUDA can't be loaded, or has no kernel for one of its ops"
        said = f"{path} can't be loaded by ONNX Runtime {onnxruntime.__version__} on {device} ({why})"
        if device == "cpu":
            raise ModelError(f"{said}; export the model again") from None
        raise DeviceError(f"{said}; run it on the CPU") from None
    return session


def _of_onnxruntime(error: Exception) -> bool:
    """Whether it comes from there: its exceptions share no base class of their own, and some are plain RuntimeErrors."""
    return isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class DeviceState:
    """Contexts that begin with the same rows, all in the model's caches: `places` `[R]` has the row's places there, in the order in which
    they were kept, `owners` `[R]` says whose each is, of all contexts or of one of them."""

    def __init__(self, model: DeviceModel, places: IntArray, contexts: int) -> None:
        """A state that all its contexts begin with these places, which it holds from now on."""
        self.model = model
        self.contexts = contexts
        self.places = places
        self.owners = np.full(len(places), _COMMON)
        self.states: NDArray[np.float32] = np.zeros((contexts, 0, 0), dtype=np.float32)
        self._new = np.zeros(0, dtype=np.int64)  # places of the last pass's rows, until it is known which are kept
        self._laid: LaidRows | None = None

    def __del__(self) -> None:
        self.model.places.give_back(np.concatenate((self.places, self._new)))

    def run(self, rows: Rows) -> NDArray[np.float32]:
        laid, model = LaidRows.of(rows), self.model
        self._let_go()
        positions, targets = laid.positions, laid.targets
        longest = model.manifest.longest_position
        if max(positions.max(initial=0), targets.max(initial=0)) >= longest:
            raise PassageError(f"a row stands beyond the {longest} positions that {model.manifest.name} knows; shorten the passage")
        self._new, self._laid = model.take(len(positions)), laid
        highest = int(max(self.places.max(initial=0), self._new.max(initial=0)))
        logits, states = model.run(
            {
                "content_ids": laid.ids[None],
                "content_positions": positions[None],
                "content_places": np.stack((np.zeros_like(self._new), self._new), axis=1)[None],
                "content_visibility": self._visible(highest + 1, laid.context, laid.visible),
                "slot_sources": laid.sources,
                "slot_targets": targets[None],
                "slot_offsets": (targets - positions[laid.sources] + longest - 1)[None],
                "slot_visibility": self._visible(highest + 1, laid.slot_context, laid.slot_visible),
            },
            highest + 1,
        )
        refuse_broken(logits, model.path)
        logits[:, model.never] = -np.inf
        self.states = laid.apart(states)
        return laid.apart(logits)

    def _visible(self, rows: int, contexts: IntArray, new: BoolArray) -> BoolArray:
        """Which of the caches' first `rows` rows those of `contexts` `[R]` see: kept ones of all or their own, and of this pass's the `new`
        ones."""
        visible = np.zeros((len(contexts), rows), dtype=np.bool_)
        visible[:, self.places] = (self.owners == _COMMON) | (self.owners == contexts[:, None])
        visible[:, self._new] = new
        return visible

    def keep(self, counts: IntArray) -> None:
        assert self._laid is not None
        chosen = self._laid.kept(counts)
        owners = np.full(len(chosen), _COMMON) if self.contexts == 1 else self._laid.context[chosen]
        self.owners = np.concatenate((self.owners, owners))
        self.places = np.concatenate((self.places, self._new[chosen]))
        self._new = np.delete(self._new, chosen)
        self._let_go()

    def _let_go(self) -> None:
        self.model.places.give_back(self._new)
        self._new, self._laid = self._new[:0], None

    def fork(self, copies: int, rows: int | None = None) -> DeviceState:
        assert self.contexts == 1
        places = self.places[:rows].copy()
        self.model.places.share(places)
        return DeviceState(self.model, places, copies)

    def cut(self, rows: int) -> None:
        assert self.contexts == 1
        self.model.places.give_back(self.places[rows:])
        self.places, self.owners = self.places[:rows], self.owners[:rows]

    @property
    def nbytes(self) -> int:
        return (len(self.places) + len(self._new)) * self.model.row_bytes
