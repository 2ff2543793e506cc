"""An AS-ARM that stays on a device: weights, cache and arithmetic; a pass sends row numbers there and gets logits back.

The graph (a model folder's `device_graph`) writes its cache in place: every pass says at which *places*, rows of one cache a layer, its
content rows are to stand, and which places each row sees. So drafts that were refused, contexts of one prompt and prompts of earlier
requests need no copying: their places are shared, or free again (`engine.places`).

Passes are padded to few shapes, each with buffers at addresses of its own, bound to the graph once. On CUDA the first pass of a shape is
captured as a CUDA graph and every later one is a single launch. What goes in is one copy, what comes out another: a pass's S slot rows
answer with S * V logits, and sampling and the accept test stay on the host, in float64, where the decoders' exactness is settled. That
is one copy a pass, of some hundred kilobytes for the slot rows of a decoding pass, and no round trip for each of its tokens.

`device` "cpu" runs the same path without a GPU, but for graph capture: slower than `OnnxModel` there, and how the tests hold it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.device_draft_head import DeviceDraftHead
from engine.device_session import BoundPass, bucket, device_session, on_device, reported
from engine.errors import ModelError, PassageError
from engine.finite import refuse_broken
from engine.laid_rows import LaidRows
from engine.manifest import Manifest, checked_file
from engine.model import DraftHead, Rows
from engine.onnx_draft_head import load_draft_head
from engine.places import Places
from engine.sequence import IntArray

_COMMON = -1  # owner of places that all contexts of a state see
# Keys of rows, and of which rows see a place. Those of context b lie from 1 + b * _KEYS on, in the order of what they see of their pass:
# nothing first. 0 is padding's, and padding sees places that no row does.
_KEYS = 2**32
_LAST_KEY = 2**63 - 1
_ROWS = 256  # the fewest cache rows that a pass reads; larger passes read twice as many, and so on
# Content and slot rows of a pass whose buffers are kept, and its CUDA graph. More slot rows would keep megabytes of logits each.
_MOST_CAPTURED = 256, 64
# (content rows, slot rows) that are made ready at load: a prompt's passes, and tokens with drafts of one fill or of a few together.
_WARM = (*((1 << power, 1) for power in range(9)), *((1 << power, 1 << power) for power in range(1, 7)))

_INPUTS = (
    "content_ids",
    "content_positions",
    "content_places",
    "content_keys",
    "slot_sources",
    "slot_targets",
    "slot_offsets",
    "slot_keys",
    "seen_from",
    "seen_to",
)


class DeviceModel:
    """Loads a model folder's device graph on `device`, "cuda" or "cpu", and makes the commonest passes ready. `captured` False launches
    every op by itself even on CUDA, to see what CUDA graphs save.

    Raises ModelError when the folder has no such graph or it breaks the manifest's promises, DeviceError when the device can't be used or
    has no memory left, then and at every pass. Passes are to be run by the thread that loads the model: ONNX Runtime keeps CUDA graphs by
    thread, and in another one all would be captured again.
    """

    def __init__(self, folder: Path, manifest: Manifest, device: str = "cuda", *, captured: bool = True) -> None:
        if manifest.device_graph is None:
            raise ModelError(f"{folder} has no graph for a GPU; export the model again with --precision gpu, or run it on the CPU")
        self.path = checked_file(folder, manifest.device_graph)
        self.sha256 = manifest.device_graph.sha256
        self.manifest = manifest
        self.device = device
        self.session = device_session(self.path, device)
        self.caches = 2 * manifest.cached_layers
        self.width = manifest.heads * manifest.head_size
        self._check()
        half = self.session.get_inputs()[len(_INPUTS)].type == "tensor(float16)"
        self.cache_type = np.dtype(np.float16 if half else np.float32)
        self.never = manifest.never
        self._buckets: dict[tuple[int, int, int], BoundPass] = {}
        self._captured = captured
        self._graphs = 0
        self.draft_head: DraftHead | None
        with reported(device, self.path):
            if manifest.device_draft_head is None:
                self.draft_head = load_draft_head(folder, manifest)
            else:
                self.draft_head = DeviceDraftHead(folder, manifest.device_draft_head, manifest, device)
            # One prompt of the longest kind, and as many rows for what is drawn and for another prompt.
            self.places = Places(max(_ROWS, bucket(2 * manifest.window)))
            # A place that was never written must not hold NaN: it is hidden, and 0 * NaN would come out of that.
            shape = (1, self.places.capacity, self.width)
            self._cache = [on_device(np.zeros(shape, dtype=self.cache_type), device) for _ in range(self.caches)]
            for content, slots in _WARM:
                rows = _ROWS
                while rows <= self.places.capacity:
                    self.run(self.prepared(content, slots, rows), 0)
                    rows *= 2

    def _check(self) -> None:
        manifest, width = self.manifest, self.width
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
        return self.caches * self.width * self.cache_type.itemsize

    def open(self) -> DeviceState:
        return DeviceState(self, np.zeros(0, dtype=np.int64), 1)

    def take(self, count: int) -> IntArray:
        """Free places `[count]`; the caches grow where there are too few. Raises DeviceError."""
        while self.places.free < count:
            self._grow(2 * self.places.capacity)
        return self.places.take(count)

    def prepared(self, content: int, slots: int, rows: int) -> BoundPass:
        """A pass over the first `rows` rows of the caches, its inputs the graph's but for these. They are at least as long as asked for,
        and 0: what is not written to is padding, which writes to the spare place. Raises DeviceError."""
        with reported(self.device, self.path):
            bound = self._bucket(bucket(content), bucket(slots), max(_ROWS, bucket(rows)))
        bound.clear()
        return bound

    def run(self, bound: BoundPass, slots: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits `[slots, V]` and states `[slots, width]` of a prepared pass. Raises DeviceError."""
        with reported(self.device, self.path):
            outputs = bound.run()
        return outputs["logits"][0, :slots].copy(), outputs["states"][0, :slots].copy()

    def _bucket(self, content: int, slots: int, rows: int) -> BoundPass:
        shape = (content, slots, rows)
        if content > _MOST_CAPTURED[0] or slots > _MOST_CAPTURED[1]:
            return self._bound(*shape, None)
        if shape not in self._buckets:
            self._graphs += 1
            self._buckets[shape] = self._bound(*shape, self._graphs if self._captured else None)
        return self._buckets[shape]

    def _bound(self, content: int, slots: int, rows: int, graph: int | None) -> BoundPass:
        """A pass over the first `rows` rows of the caches, which are what it reads and where it writes."""
        inputs: dict[str, tuple[type, tuple[int, ...]]] = {
            "content_ids": (np.int64, (1, content)),
            "content_positions": (np.int64, (1, content)),
            "content_places": (np.int64, (1, content, 2)),
            "content_keys": (np.int64, (content, 1)),
            "slot_sources": (np.int64, (slots,)),
            "slot_targets": (np.int64, (1, slots)),
            "slot_offsets": (np.int64, (1, slots)),
            "slot_keys": (np.int64, (slots, 1)),
            "seen_from": (np.int64, (rows,)),
            "seen_to": (np.int64, (rows,)),
        }
        outputs = {"logits": (1, slots, self.manifest.vocabulary), "states": (1, slots, self.width)}
        bound = BoundPass(self.session, self.device, inputs, outputs, graph)
        for index, cache in enumerate(self._cache):
            for bind, name in ((bound.binding.bind_input, f"past_{index}"), (bound.binding.bind_output, f"new_{index}")):
                bind(name, self.device, 0, self.cache_type.type, (1, rows, self.width), cache.data_ptr())
        return bound

    def _grow(self, capacity: int) -> None:
        # By way of the host: what ONNX Runtime copies on the device is whole tensors alone, and this is rare.
        before = self.places.capacity
        with reported(self.device, self.path):
            grown = []
            for cache in self._cache:
                larger = np.zeros((1, capacity, self.width), dtype=self.cache_type)
                larger[:, :before] = cache.numpy()
                grown.append(on_device(larger, self.device))
        self._cache = grown
        self._buckets.clear()  # their addresses are those of the old caches
        self.places.grow(capacity)


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
        self.model.places.give_back(self.places)
        self.model.places.give_back(self._new)

    def run(self, rows: Rows) -> NDArray[np.float32]:
        laid, model = LaidRows.of(rows), self.model
        self._let_go()
        positions, targets = laid.positions, laid.targets
        longest = model.manifest.longest_position
        if max(positions.max(initial=0), targets.max(initial=0)) >= longest:
            raise PassageError(f"a row stands beyond the {longest} positions that {model.manifest.name} knows; shorten the passage")
        count, asked, sources = len(positions), len(targets), laid.sources
        self._new, self._laid = model.take(count), laid
        bound = model.prepared(count, asked, 1 + int(max(self.places.max(initial=0), self._new.max(initial=0))))
        inputs = bound.inputs
        inputs["content_ids"][0, :count] = laid.ids
        inputs["content_positions"][0, :count] = positions
        inputs["content_places"][0, :count, 1] = self._new
        inputs["content_keys"][:count, 0] = 1 + laid.context * _KEYS + laid.reach
        inputs["slot_sources"][:asked] = sources
        inputs["slot_targets"][0, :asked] = targets
        inputs["slot_offsets"][0, :asked] = targets - positions[sources] + longest - 1
        inputs["slot_keys"][:asked, 0] = 1 + laid.slot_context * _KEYS + laid.slot_reach
        common = self.owners == _COMMON
        inputs["seen_from"][self.places] = np.where(common, 1, 1 + self.owners * _KEYS)
        inputs["seen_to"][self.places] = np.where(common, _LAST_KEY, (1 + self.owners) * _KEYS)
        inputs["seen_from"][self._new] = 1 + laid.context * _KEYS + 1 + laid.index
        inputs["seen_to"][self._new] = (1 + laid.context) * _KEYS
        logits, states = model.run(bound, asked)
        refuse_broken(logits, model.path)
        logits[:, model.never] = -np.inf
        self.states = laid.apart(states)
        return laid.apart(logits)

    def keep(self, counts: IntArray) -> None:
        assert self._laid is not None
        kept = np.zeros(len(self._new), dtype=np.bool_)
        kept[self._laid.kept(counts)] = True
        owners = self._laid.context[kept] if self.contexts > 1 else np.full(kept.sum(), _COMMON)
        self.owners = np.concatenate((self.owners, owners))
        self.places = np.concatenate((self.places, self._new[kept]))
        self._new = self._new[~kept]
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
