"""Tokens a second of several alternatives of one passage, drawn as one batch, and of several users' passages.

The engine draws alternatives together over one cache. Passages of several users have no batch in its interface: it fills them one after
another, so that their tokens a second are those of one user, and the last one waits for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from benchmarks.borrowed import Tape, record, replay
from benchmarks.gpu_fills import passages
from benchmarks.gpu_setup import Part, Setup
from benchmarks.intervals import bootstrap, median
from benchmarks.timing import interleave
from engine.decoders.base import Draw, prefill
from engine.model import Model
from engine.options import FillOptions
from engine.sampling import Sampler
from engine.sequence import MaskedSequence

ALTERNATIVES, USERS = "alternatives", "users"
METHODS = ("sequential", "fused")
_ROUNDS = 8
_SEED = 0


def batches(setup: Setup, part: Part) -> None:
    """Batches of every size by each method, on each shape."""
    from engine.local import LocalInfiller  # it needs ONNX Runtime, without which this module can still be asked what it measures

    guide = LocalInfiller(setup.model).model
    for shape in setup.sizes.shapes:
        try:
            model = setup.engine_model(setup.random_folder(shape))
        except Exception as error:  # see Part.attempt
            part.miss(shape, error)
            continue
        for method in METHODS:
            part.attempt(f"{shape}, {ALTERNATIVES}, {method}", _alternatives, setup, shape, model, guide, method)
        part.attempt(f"{shape}, {USERS}", _users, setup, shape, model, guide)


def _alternatives(setup: Setup, shape: str, model: Model, guide: Model, method: str) -> Iterator[dict[str, Any]]:
    sequence = passages(setup, 1)[0]
    trained, prefilled = prefill(guide, sequence), prefill(model, sequence)
    sampler = Sampler(FillOptions.temperature)
    cases: dict[str, Callable[[], list[Draw]]] = {}
    for count in setup.sizes.batches:
        tape = record(trained, method, count, sampler, _SEED)
        cases[str(count)] = partial(replay, prefilled, tape, method, count, sampler, _SEED)
    times = interleave(cases, rounds=_ROUNDS)
    for count in setup.sizes.batches:
        passes = max(draw.passes for draw in cases[str(count)]())
        figures = _figures(count, count * setup.sizes.tokens, times[str(count)])
        yield {"shape": shape, "kind": ALTERNATIVES, "method": method, "passes": passes, **figures}


def _users(setup: Setup, shape: str, model: Model, guide: Model) -> Iterator[dict[str, Any]]:
    """Every one's passage is new to the engine; what is drawn starts with its prompt."""
    method, sampler = "fused", Sampler(FillOptions.temperature)
    sequences = passages(setup, max(setup.sizes.batches))
    tapes = [record(prefill(guide, sequence), method, 1, sampler, _SEED) for sequence in sequences]

    def fill(sequence: MaskedSequence, tape: Tape) -> None:
        replay(prefill(model, sequence), tape, method, 1, sampler, _SEED)

    fill(sequences[0], tapes[0])
    for count in setup.sizes.batches:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            for sequence, tape in zip(sequences[:count], tapes, strict=False):
                fill(sequence, tape)
            times.append((time.perf_counter() - began) * 1000)
        yield {"shape": shape, "kind": USERS, "method": method, **_figures(count, count * setup.sizes.tokens, times)}


def _figures(count: int, tokens: int, times: list[float]) -> dict[str, Any]:
    samples = np.array(times)[:, None]
    per_second = bootstrap(median, 1000 * tokens / samples)
    return {"count": count, "ms": asdict(bootstrap(median, samples)), "tokens_per_s": asdict(per_second)}
