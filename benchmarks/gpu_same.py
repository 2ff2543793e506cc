"""Whether the device fills as the CPU does, and whether its graph keeps the exactness that the CPU's has.

On the trained model: greedy fills of the CPU in float32 beside the device's; logits of the same rows; the density of a fill by one pass
beside the chain rule, and passes over a cache beside passes that run all rows anew. On the models of random weights: logits of the passes
that are timed beside torch's in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.gpu_fills import passages
from benchmarks.gpu_passes import decoding_cases
from benchmarks.gpu_setup import Part, Setup
from benchmarks.intervals import FloatArray, bootstrap
from benchmarks.recompute import RecomputingModel
from benchmarks.torch_model import TorchModel
from engine.decoders import DECODERS, slots_of_prompt
from engine.decoders.base import Draw, prefill
from engine.infiller import ignore_progress
from engine.model import FloatArray as Logits
from engine.model import Model
from engine.sampling import Sampler, log_softmax
from engine.scoring import conditionals
from engine.sequence import MaskedSequence

PRECISIONS = ("float32", "float16")
METHODS = ("sequential", "assd", "fused")


def same(setup: Setup, part: Part) -> None:
    """Each precision that the device runs."""
    from engine.local import LocalInfiller  # it needs ONNX Runtime, without which this module can still be asked what it measures

    exact = LocalInfiller(setup.model, "float32").model
    for precision in PRECISIONS:
        part.attempt(precision, _compared, setup, exact, precision)
    for shape in setup.sizes.shapes:
        part.attempt(f"{shape} beside torch", _beside_torch, setup, shape)


def _beside_torch(setup: Setup, shape: str) -> Iterator[dict[str, Any]]:
    model = setup.engine_model(setup.random_folder(shape))
    exact = TorchModel(setup.random_weights(shape), setup.trained.never, device=setup.device)
    for context in setup.sizes.contexts:
        ours, theirs = (decoding_cases(setup, shape, each, context) for each in (model, exact))
        apart = [_apart(ours[name](), theirs[name]()) for name in ours]
        yield {"precision": setup.precision, "shape": shape, "context": context, "largest_logit_difference": max(apart)}


def _apart(ours: Logits, theirs: Logits) -> float:
    """The largest difference of logits that are not -inf."""
    finite = np.isfinite(theirs)
    return float(np.abs(ours[finite] - theirs[finite]).max())


def greedy(model: Model, sequence: MaskedSequence, method: str) -> Draw:
    prefilled = prefill(model, sequence, slots_of_prompt(method, None))
    return DECODERS[method](prefilled, 1, Sampler(0), None, np.random.default_rng(0), ignore_progress)[0]


def mean(samples: FloatArray) -> FloatArray:
    """Mean over tasks of the first measurement."""
    result: FloatArray = samples[..., 0].mean(axis=-1)
    return result


def _compared(setup: Setup, exact: Model, precision: str) -> Iterator[dict[str, Any]]:
    model = setup.engine_model(setup.trained_folder(precision))
    uncached = RecomputingModel(model)
    equal: dict[str, list[float]] = {method: [] for method in METHODS}
    by_method: list[float] = []
    logits, density, cached = [0.0], [0.0], [0.0]
    for sequence in passages(setup, setup.sizes.compared):
        wanted = greedy(exact, sequence, "sequential")
        drawn = {method: greedy(model, sequence, method) for method in METHODS}
        for method, draw in drawn.items():
            equal[method].append(float(draw.tokens == wanted.tokens))
        by_method.append(float(all(draw.tokens == drawn["sequential"].tokens for draw in drawn.values())))
        logits.append(_apart(*(conditionals(each, sequence, [wanted.tokens]) for each in (model, exact))))
        own = drawn["sequential"]
        once = log_softmax(conditionals(model, sequence, [own.tokens]))[np.arange(len(own.tokens)), list(own.tokens)]
        density.append(float(np.abs(once - own.logprobs).max()))
        again = greedy(uncached, sequence, "sequential")
        if again.tokens == own.tokens:
            cached.append(float(np.abs(np.subtract(again.logprobs, own.logprobs)).max()))
    yield {
        "precision": precision,
        "passages": len(by_method),
        **{f"{method}_equal": asdict(bootstrap(mean, np.array(shares)[:, None])) for method, shares in equal.items()},
        "methods_agree": asdict(bootstrap(mean, np.array(by_method)[:, None])),
        "largest_logit_difference": max(logits),
        "one_pass_and_chain_rule": max(density),
        "cached_and_uncached": max(cached),
        "uncached_fills_equal": len(cached) - 1,
    }
