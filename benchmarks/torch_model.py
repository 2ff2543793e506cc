"""The torch model behind the engine's model interface, so that the engine's decoders draw from it: eager, or compiled.

One context at a time. Eager, its keys and values grow by concatenation, which is how the model is written. Compiled
programs are for fixed sizes: rows are padded to `Buckets`, and keys and values lie in a cache of fixed capacity.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.model import DraftHead, Rows
from engine.sequence import NO_MARK, IntArray
from export.model import AsArm


@dataclass(frozen=True)
class Buckets:
    """What a compiled program is made for: cached rows, and content and slot rows, ascending. Passes of more content rows run eagerly."""

    capacity: int
    content: tuple[int, ...]
    slots: tuple[int, ...]


class TorchModel:
    """`weights`, which stay as they are, on `device` in the type `kind`. `never` are tokens whose logits are to be -inf.

    With `buckets` passes are compiled, as the torch manual says to where launches count: on a GPU as CUDA graphs.
    """

    def __init__(
        self,
        weights: AsArm,
        never: Sequence[int] = (),
        *,
        device: str = "cpu",
        kind: torch.dtype = torch.float32,
        buckets: Buckets | None = None,
        eoh: int = NO_MARK,
        draft_head: DraftHead | None = None,
    ) -> None:
        inverse = weights.rotary.inverse
        self.module = copy.deepcopy(weights).to(device, kind).eval().requires_grad_(False)
        self.module.rotary.inverse = inverse.to(device)  # angles are computed in float32 whatever the type
        self.never = list(never)
        self.device, self.kind, self.buckets = device, kind, buckets
        self.eoh = eoh
        self.draft_head = draft_head
        self.compiled: Callable[..., tuple[Tensor, ...]] | None = None
        if buckets is not None:
            mode = "reduce-overhead" if device.startswith("cuda") else "default"
            self.compiled = torch.compile(self.module, dynamic=False, fullgraph=True, mode=mode)

    def open(self) -> TorchState:
        config = self.module.config
        capacity = self.buckets.capacity if self.buckets else 0
        shape = (1, config.heads, capacity, config.head_size)
        past = [torch.zeros(shape, device=self.device, dtype=self.kind) for _ in range(2 * config.layers + 2)]
        return TorchState(self, past, 0)


class TorchState:
    """One context, its keys and values each `[1, H, P, D]`, of which the first `rows` are kept ones.

    Raises ValueError for what it can't do: several contexts, rows that see later ones, and padding.
    """

    def __init__(self, model: TorchModel, past: list[Tensor], rows: int) -> None:
        self.model = model
        self.past = past
        self.rows = rows
        self._new: list[Tensor] = []
        self._states: Tensor | None = None
        self._asked = 0

    @property
    def states(self) -> NDArray[np.float32]:
        if self._states is None:
            return np.zeros((1, 0, 0), dtype=np.float32)
        states: NDArray[np.float32] = self._states[:, : self._asked].float().cpu().numpy()
        return states

    @torch.no_grad()
    def run(self, rows: Rows) -> NDArray[np.float32]:
        content, asked = int(rows.counts[0]), rows.sources.shape[1]
        if len(rows.ids) != 1 or rows.mutual or (rows.sources >= content).any() or (rows.sees > content).any():
            raise ValueError("torch's side takes one context of causal rows without padding")
        call, padded, slots = self._sized(content, asked)
        if call is self.model.compiled and self.model.device.startswith("cuda"):
            torch.compiler.cudagraph_mark_step_begin()
        logits, self._states, *self._new = call(*self._inputs(rows, content, padded, slots), *self.past)
        self._asked = asked
        result: NDArray[np.float32] = logits[:, :asked].float().cpu().numpy()
        result[..., self.model.never] = -np.inf
        return result

    def _sized(self, content: int, asked: int) -> tuple[Callable[..., tuple[Tensor, ...]], int, int]:
        """What runs a pass of so many rows, and the rows of either kind that it runs."""
        buckets, compiled = self.model.buckets, self.model.compiled
        if buckets is None or compiled is None or content > buckets.content[-1] or asked > buckets.slots[-1]:
            return self.model.module, content, asked
        return compiled, _bucket(buckets.content, content), _bucket(buckets.slots, asked)

    def _inputs(self, rows: Rows, content: int, padded: int, slots: int) -> list[Tensor]:
        """As `AsArm.forward` takes them, before the keys and values. Rows of padding are further rows that nobody else sees."""
        device, past = self.model.device, self.past[0].shape[2]

        def placed(values: IntArray, size: int) -> Tensor:
            filled = np.pad(values[:1], ((0, 0), (0, size - values.shape[1])), mode="edge")
            return torch.from_numpy(filled).to(device)

        index = torch.arange(past + padded, device=device)
        real = (index < self.rows) | (index >= past)
        seen = real & (index <= past + torch.arange(padded, device=device)[:, None])
        sees = placed(rows.sees, slots)
        return [
            placed(rows.ids[:, :content], padded),
            placed(rows.positions[:, :content], padded),
            seen[None],
            placed(rows.sources, slots),
            placed(rows.targets, slots),
            real & (index < past + sees[..., None]),
        ]

    def keep(self, counts: IntArray) -> None:
        kept = int(counts[0])
        end = self.rows + kept
        if self.model.buckets is None:
            self.past = [torch.cat((old, new[:, :, :kept]), 2) for old, new in zip(self.past, self._new, strict=True)]
        else:
            for old, new in zip(self.past, self._new, strict=True):
                old[:, :, self.rows : end] = new[:, :, :kept]
        self.rows = end
        self._new = []

    def fork(self, copies: int, rows: int | None = None) -> TorchState:
        if copies != 1:
            raise ValueError("torch's side takes one context at a time")
        kept = self.rows if rows is None else rows
        fixed = self.model.buckets is not None
        return TorchState(self.model, [old.clone() if fixed else old[:, :, :kept] for old in self.past], kept)

    def cut(self, rows: int) -> None:
        if self.model.buckets is None:
            self.past = [old[:, :, :rows] for old in self.past]
        self.rows = rows

    @property
    def nbytes(self) -> int:
        return sum(old.nbytes for old in self.past)


def _bucket(sizes: Sequence[int], wanted: int) -> int:
    return next(size for size in sizes if size >= wanted)
