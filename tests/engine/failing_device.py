"""A model on a device that fails: the CPU's own passes, of which one is not answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from engine.devices import Device
from engine.errors import DeviceError
from engine.local import DEFAULT_MODEL, LocalInfiller
from engine.model import DraftHead, FloatArray, Model, Rows, State
from engine.onnx_model import OnnxModel
from engine.prompt_cache import PromptCache
from engine.sequence import IntArray

CARD = Device("cuda", "NVIDIA Test Card")


@dataclass
class FailingDevice:
    """Fails at the call with the number `at`, counted from 1 and over all contexts, and at no other; `lost`: at all from that one on."""

    model: Model
    at: int
    lost: bool = False
    calls: int = 0

    @property
    def eoh(self) -> int:
        return self.model.eoh

    @property
    def draft_head(self) -> DraftHead | None:
        return None if self.model.draft_head is None else _FailingHead(self, self.model.draft_head)

    @property
    def provider(self) -> str:
        return "CUDAExecutionProvider"

    def open(self) -> State:
        self.count()
        return _FailingState(self, self.model.open())

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.at or (self.lost and self.calls > self.at):
            raise DeviceError("it failed in a test", out_of_memory=not self.lost)


@dataclass
class _FailingHead:
    device: FailingDevice
    head: DraftHead

    def step(self, states: FloatArray, ids: IntArray) -> tuple[FloatArray, FloatArray]:
        self.device.count()
        return self.head.step(states, ids)


@dataclass
class _FailingState:
    device: FailingDevice
    state: State

    @property
    def states(self) -> FloatArray:
        return self.state.states

    @property
    def nbytes(self) -> int:
        return self.state.nbytes

    def run(self, rows: Rows) -> FloatArray:
        self.device.count()
        return self.state.run(rows)

    def keep(self, counts: IntArray) -> None:
        self.device.count()
        self.state.keep(counts)

    def fork(self, copies: int, rows: int | None = None) -> State:
        self.device.count()
        return _FailingState(self.device, self.state.fork(copies, rows))

    def cut(self, rows: int) -> None:
        self.state.cut(rows)


def failing_infiller(at: int, lost: bool = False) -> tuple[LocalInfiller, FailingDevice]:
    """An infiller that takes such a device for its graphics card."""
    infiller = LocalInfiller(DEFAULT_MODEL)
    device = FailingDevice(infiller.model, at, lost)
    put_on(device, infiller)
    return infiller, device


def put_on(device: FailingDevice, infiller: LocalInfiller) -> None:
    """Let an infiller be as if it had just been loaded onto this device."""
    infiller.model, infiller.device, infiller.prompts = cast(OnnxModel, device), CARD, PromptCache()
