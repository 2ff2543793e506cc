"""How long a pass takes through the engine on the device, with CUDA graphs and without, and in torch, beside its floor.

A pass ends when its logits are on the host, on all sides. Prefill is what a new prompt costs: the engine runs it in pieces where it finds
that better, torch at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu_floor import PREFILL, Rates, decoding, measured_rates, reading, work_on
from benchmarks.gpu_setup import Part, Setup
from benchmarks.intervals import Interval, bootstrap, median
from benchmarks.pass_shape import Shape
from benchmarks.timing import in_turns
from benchmarks.torch_model import Buckets, TorchModel
from engine.decoders.base import prefill
from engine.model import FloatArray, Model
from engine.sequence import MaskedSequence

GRAPHS, LAUNCHES = "CUDA graphs", "without CUDA graphs"
EAGER, COMPILED = "torch eager", "torch compiled"


def prompt_of(setup: Setup, shape: str, context: int) -> MaskedSequence:
    """Random rows, which times do not depend on, before a hole."""
    ids = np.random.default_rng(0).integers(5, setup.sizes.shapes[shape].vocabulary, context)
    return MaskedSequence(ids, np.arange(context), (np.arange(context, context + setup.sizes.tokens),), (True,))


def step_buckets(setup: Setup) -> Buckets:
    """One content and one slot row over the shortest context and a fill."""
    return Buckets(setup.sizes.contexts[0] + 32, (1,), (1,))


def decoding_cases(setup: Setup, shape: str, model: Model, context: int) -> dict[str, Callable[[], FloatArray]]:
    """Passes of every size over a context of so many rows, by name."""
    vocabulary = setup.sizes.shapes[shape].vocabulary
    prefilled = prefill(model, prompt_of(setup, shape, context))
    passes = [Shape(decoding(rows), rows, rows, context).rows(vocabulary, np.random.default_rng(rows)) for rows in setup.sizes.rows]
    return {decoding(rows): partial(prefilled.state.fork(1).run, pass_) for rows, pass_ in zip(setup.sizes.rows, passes, strict=True)}


def rows_of(
    setup: Setup, shape: str, context: int, name: str, cases: Mapping[str, Callable[[], object]], rates: Rates
) -> Iterator[dict[str, Any]]:
    """One pass, timed on several sides in turns."""
    work = work_on(setup, shape, name, context)
    rate, _ = reading(setup, work)
    floor = rates.floor_ms(work, rate.value)
    for side, times in in_turns(cases, setup.sizes.turns).items():
        taken = bootstrap(median, np.array(times)[:, None])
        yield {
            "shape": shape,
            "context": context,
            "pass": name,
            "side": side,
            "ms": asdict(taken),
            "floor_ms": floor,
            "times_floor": asdict(Interval(taken.value / floor, taken.low / floor, taken.high / floor)),
        }


def engine_passes(setup: Setup, part: Part) -> None:
    """The engine's passes, with CUDA graphs and without, and how long it takes to load a model and make its commonest passes ready."""
    rates, _ = measured_rates(setup)
    for shape in setup.sizes.shapes:
        models: dict[str, Model] = {}
        for side in (GRAPHS, LAUNCHES):
            try:
                folder, began = setup.random_folder(shape), time.perf_counter()
                models[side] = setup.engine_model(folder, captured=side == GRAPHS)
                part.rows.append({"shape": shape, "side": side, "load_s": time.perf_counter() - began})
            except Exception as error:  # see Part.attempt
                part.miss(f"{shape}, {side}", error)
        for context in setup.sizes.contexts if models else ():
            part.attempt(f"{shape}, {context} rows", _engine_rows, setup, shape, models, context, rates)


def _engine_rows(setup: Setup, shape: str, models: Mapping[str, Model], context: int, rates: Rates) -> Iterator[dict[str, Any]]:
    prompt = prompt_of(setup, shape, context)
    yield from rows_of(setup, shape, context, PREFILL, {side: partial(prefill, model, prompt) for side, model in models.items()}, rates)
    sides = {side: decoding_cases(setup, shape, model, context) for side, model in models.items()}
    for name in map(decoding, setup.sizes.rows):
        yield from rows_of(setup, shape, context, name, {side: cases[name] for side, cases in sides.items()}, rates)


def eager_passes(setup: Setup, part: Part) -> None:
    """The same passes in torch, with the same weights."""
    rates, _ = measured_rates(setup)
    for shape in setup.sizes.shapes:
        model = TorchModel(setup.random_weights(shape), device=setup.device, kind=setup.kind)
        for context in setup.sizes.contexts:
            part.attempt(f"{shape}, {context} rows, {EAGER}", _eager_rows, setup, shape, model, context, rates)


def _eager_rows(setup: Setup, shape: str, model: TorchModel, context: int, rates: Rates) -> Iterator[dict[str, Any]]:
    at_once = Shape(PREFILL, context, 1, 0).rows(setup.sizes.shapes[shape].vocabulary, np.random.default_rng(0))
    yield from rows_of(setup, shape, context, PREFILL, {EAGER: lambda: model.open().run(at_once)}, rates)
    for name, case in decoding_cases(setup, shape, model, context).items():
        yield from rows_of(setup, shape, context, name, {EAGER: case}, rates)


def compiled_passes(setup: Setup, part: Part) -> None:
    """The smallest pass over the shortest context, compiled by torch: each size of pass and cache takes it a good part of a minute."""
    rates, _ = measured_rates(setup)
    for shape in setup.sizes.shapes:
        part.attempt(f"{shape}, {COMPILED}", _compiled_rows, setup, shape, rates)


def _compiled_rows(setup: Setup, shape: str, rates: Rates) -> Iterator[dict[str, Any]]:
    context, rows = setup.sizes.contexts[0], setup.sizes.rows[0]
    model = TorchModel(setup.random_weights(shape), device=setup.device, kind=setup.kind, buckets=step_buckets(setup))
    case = decoding_cases(setup, shape, model, context)[decoding(rows)]
    yield from rows_of(setup, shape, context, decoding(rows), {COMPILED: case}, rates)
