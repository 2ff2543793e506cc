"""The least that a pass can take on the device: its bytes through memory or its arithmetic, whichever takes longer, and one launch.

All rates are measured here and now, by torch: reading a working set as large as the pass's own (which may lie in a cache or not) by a
sum and by a copy, of which the better counts; the product of two large float16 matrices; and the shortest time from asking for one
kernel to knowing that it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_setup import Part, Setup
from benchmarks.intervals import Interval, bootstrap, median
from benchmarks.pass_shape import Work, work_of

PREFILL = "prefill"
_ROUNDS, _WARMUP = 20, 3
_KERNELS = 200
_AWAKE = 0.5  # seconds of work after which an idle card has come up to its clocks


def decoding(rows: int) -> str:
    """The name of a decoding pass of so many rows of either kind."""
    return f"{rows} + {rows}"


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def milliseconds(call: Callable[[], object], device: str) -> Interval:
    """From calling to the device's end, median."""
    times = []
    for turn in range(_WARMUP + _ROUNDS):
        began = time.perf_counter()
        call()
        wait(device)
        if turn >= _WARMUP:
            times.append((time.perf_counter() - began) * 1000)
    return bootstrap(median, np.array(times)[:, None])


def in_one_graph(call: Callable[[], object], count: int) -> Callable[[], object]:
    """So many calls as one CUDA graph: nothing is launched between them."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        call()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(count):
            call()
    return graph.replay


def repeated(call: Callable[[], object], count: int, device: str) -> Callable[[], object]:
    """So many calls in a row, without launches between them where the device allows that."""
    if device.startswith("cuda"):
        return in_one_graph(call, count)

    def run() -> None:
        for _ in range(count):
            call()

    return run


@dataclass(frozen=True)
class Rates:
    """Operations a second of float16 products, and milliseconds of one launch that is waited for."""

    products_per_s: float
    launch_ms: float

    def floor_ms(self, work: Work, bytes_per_s: float) -> float:
        return work.milliseconds(bytes_per_s, self.products_per_s, self.products_per_s) + self.launch_ms


def work_on(setup: Setup, shape: str, name: str, context: int) -> Work:
    """The work of a prefill of `context` rows, or of a decoding pass over as many, in the precision that the engine computes in."""
    rows = 0 if name == PREFILL else int(name.split()[0])
    content, slots, past = (rows, rows, context) if rows else (context, 1, 0)
    return work_of(setup.sizes.shapes[shape], setup.precision, content, slots, past)


def reading(setup: Setup, work: Work) -> tuple[Interval, str]:
    """Bytes a second of the better of a sum and a copy over as many bytes as the pass reads, and which of them it was."""
    numbers = max(2, int(work.bytes) // 4)
    held, total = torch.rand(numbers, device=setup.device), torch.zeros((), device=setup.device)
    source, target = held.chunk(2)
    target = target[: len(source)]
    source = source[: len(target)]
    count = max(1, min(200, setup.sizes.bytes_read // (4 * numbers)))
    ways: dict[str, Callable[[], object]] = {
        "sum": lambda: torch.sum(held, 0, out=total),
        "copy": lambda: target.copy_(source),
    }
    best: tuple[Interval, str] | None = None
    for way, call in ways.items():
        taken = milliseconds(repeated(call, count, setup.device), setup.device)
        moved = 4000.0 * numbers * count
        rate = Interval(moved / taken.value, moved / taken.high, moved / taken.low)
        if best is None or rate.value > best[0].value:
            best = rate, way
    assert best is not None
    return best


def multiplying(setup: Setup) -> Interval:
    """Operations a second of a product of two square float16 matrices of random numbers."""
    size = setup.sizes.matrix
    left, right = (torch.randn(size, size, device=setup.device, dtype=torch.float16) for _ in range(2))
    awake = time.perf_counter() + (_AWAKE if setup.on_gpu else 0)
    while time.perf_counter() < awake:
        left @ right
        wait(setup.device)
    taken = milliseconds(lambda: left @ right, setup.device)
    operations = 2000.0 * size**3
    return Interval(operations / taken.value, operations / taken.high, operations / taken.low)


def launching(setup: Setup) -> Iterator[dict[str, Any]]:
    """What it takes to launch a kernel that does next to nothing, by itself and among others."""
    one = torch.zeros(1, device=setup.device)

    def kernel() -> object:
        return one.add_(1)

    def row(figure: str, taken: Interval, kernels: int) -> dict[str, Any]:
        each = Interval(*(1000 * value / kernels for value in (taken.value, taken.low, taken.high)))
        return {"kind": "launch", "figure": figure, "microseconds": asdict(each)}

    def many() -> None:
        for _ in range(_KERNELS):
            kernel()

    yield row("one kernel, waited for", milliseconds(kernel, setup.device), 1)
    yield row("a kernel among many", milliseconds(many, setup.device), _KERNELS)
    if setup.on_gpu:
        yield row("a CUDA graph of one kernel, waited for", milliseconds(in_one_graph(kernel, 1), setup.device), 1)
        yield row("a kernel among many in a CUDA graph", milliseconds(in_one_graph(kernel, _KERNELS), setup.device), _KERNELS)


def measured_rates(setup: Setup) -> tuple[Rates, list[dict[str, Any]]]:
    """The rates that floors need, and the figures behind them."""
    products, launches = multiplying(setup), list(launching(setup))
    waited = [row["microseconds"]["value"] / 1000 for row in launches if row["figure"].endswith("waited for")]
    rows = [{"kind": "products", "figure": f"{setup.sizes.matrix} x {setup.sizes.matrix}", "per_s": asdict(products)}, *launches]
    return Rates(products.value, min(waited)), rows


def floors(setup: Setup, part: Part) -> None:
    """Rates, and the floor of each pass."""
    rates, rows = measured_rates(setup)
    part.rows.extend(rows)

    part.attempt("the floors of passes", _floors, setup, rates)
    if not setup.on_gpu:
        part.missing["CUDA graphs"] = "they need a GPU"


def _floors(setup: Setup, rates: Rates) -> Iterator[dict[str, Any]]:
    for shape in setup.sizes.shapes:
        for context in setup.sizes.contexts:
            for name in (PREFILL, *map(decoding, setup.sizes.rows)):
                work = work_on(setup, shape, name, context)
                rate, way = reading(setup, work)
                yield {
                    "kind": "floor",
                    "shape": shape,
                    "context": context,
                    "pass": name,
                    "bytes": work.bytes,
                    "operations": work.products + work.attention,
                    "bytes_per_s": asdict(rate),
                    "read_by": way,
                    "floor_ms": rates.floor_ms(work, rate.value),
                }
