"""Whole fills of one line, from an empty context to the last token: the engine's methods, and torch with the same weights.

Weights are random, on which times of passes do not hang. How many passes a fill takes does: methods that draft take those of the trained
model on the same passage (`benchmarks.borrowed`). The published algorithm (ASSD, arXiv 2504.20456, Algorithm 1) has no cache: each of
its passes runs all rows anew. All sides run the engine's decoders, which draw on the host.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.borrowed import Tape, record, replay
from benchmarks.gpu_passes import step_buckets
from benchmarks.gpu_setup import Part, Setup
from benchmarks.intervals import FloatArray, bootstrap, median, ratio_of_sums
from benchmarks.recompute import RecomputingModel
from benchmarks.sized_passages import Cutter, Size
from benchmarks.torch_model import Buckets, TorchModel
from engine.decoders import slots_of_prompt
from engine.decoders.base import MOST_ROWS, PUBLISHED_WIDTH, prefill
from engine.model import DraftHead, Model
from engine.options import FillOptions
from engine.passage import Passage
from engine.sampling import Sampler
from engine.sequence import MaskedSequence, mask
from engine.text import Text

METHODS = ("sequential", "assd", "fused")
ENGINE = "engine, {}"
PUBLISHED = "torch eager, published ASSD"
PUBLISHED_COMPILED = "torch compiled, published ASSD"
CACHED = "torch eager, sequential with a cache"
CACHED_COMPILED = "torch compiled, sequential with a cache"
_WARMUP = 3
_SEED = 0


def passages(setup: Setup, count: int) -> list[MaskedSequence]:
    """Code around one line's hole, whose length is known, as rows of the trained model's tokenizer."""
    manifest = setup.trained
    text = Text(setup.model, manifest)

    def laid(passage: Passage) -> MaskedSequence:
        pieces = [text.encode(piece) for piece in passage.pieces]
        fixed, order = passage.fixed_lengths, manifest.prompt_order
        return mask(pieces, passage.budgets, manifest.special_ids, at_start=False, at_end=False, order=order, fixed_lengths=fixed)

    return [laid(passage) for passage in Cutter(text).cut(Size(setup.sizes.around, 1, setup.sizes.tokens), count, _SEED)]


def guide_of(setup: Setup) -> TorchModel:
    """The trained model, on the CPU by torch, with its draft head where there is a runtime for it."""
    manifest = setup.trained
    head: DraftHead | None = None
    if find_spec("onnxruntime") is not None:
        from engine.onnx_draft_head import load_draft_head

        head = load_draft_head(setup.model, manifest)
    return TorchModel(setup.trained_weights(), manifest.never, eoh=manifest.special_ids.eoh, draft_head=head)


@dataclass(frozen=True)
class Run:
    """One fill: its milliseconds, those of them that went to the prompt, its passes and its tokens."""

    elapsed_ms: float
    prompt_ms: float
    passes: int
    tokens: int


@dataclass(frozen=True)
class Side:
    """A model that fills by one of the methods. `at_once`: its prompts run in one pass each, however long they are."""

    name: str
    model: Model
    method: str
    at_once: bool = False

    def fill(self, sequence: MaskedSequence, tape: Tape, sampler: Sampler, seed: int) -> Run:
        began = time.perf_counter()
        most_rows = len(sequence.ids) if self.at_once else MOST_ROWS
        prefilled = prefill(self.model, sequence, slots_of_prompt(self.method, None), most_rows=most_rows)
        drawn = replay(prefilled, tape, self.method, 1, sampler, seed)[0]
        return Run((time.perf_counter() - began) * 1000, prefilled.milliseconds, drawn.passes, len(drawn.tokens))


Group = Callable[[Setup, str], Iterator[Side]]


def engine_sides(setup: Setup, shape: str) -> Iterator[Side]:
    model = setup.engine_model(setup.random_folder(shape))
    for method in METHODS:
        yield Side(ENGINE.format(method), model, method)


def eager_sides(setup: Setup, shape: str) -> Iterator[Side]:
    model = _torch(setup, shape, None)
    yield Side(PUBLISHED, RecomputingModel(model), "assd", at_once=True)
    yield Side(CACHED, model, "sequential", at_once=True)


def compiled_sides(setup: Setup, shape: str) -> Iterator[Side]:
    # All rows of a passage and then some, as tokenizing pieces anew may add a few; a pass asks for a window of two holes.
    rows = setup.sizes.around + setup.sizes.tokens + 16
    everything = Buckets(0, (rows,), (2 * PUBLISHED_WIDTH,))
    yield Side(PUBLISHED_COMPILED, RecomputingModel(_torch(setup, shape, everything)), "assd", at_once=True)
    yield Side(CACHED_COMPILED, _torch(setup, shape, step_buckets(setup)), "sequential", at_once=True)


def _torch(setup: Setup, shape: str, buckets: Buckets | None) -> TorchModel:
    manifest = setup.trained
    weights, eoh = setup.random_weights(shape), manifest.special_ids.eoh
    return TorchModel(weights, manifest.never, device=setup.device, kind=setup.kind, buckets=buckets, eoh=eoh)


def _runs(setup: Setup, part: Part, shape: str, sides: Sequence[Side]) -> dict[str, list[Run]]:
    """Every passage on every side, in turns; the first ones are not counted. A side that fails is left out from then on."""
    guide, sampler = guide_of(setup), Sampler(FillOptions.temperature)
    runs: dict[str, list[Run]] = {side.name: [] for side in sides}
    for number, sequence in enumerate(passages(setup, _WARMUP + setup.sizes.passages)):
        report.progress(f"{shape}: passage {number + 1} of {_WARMUP + setup.sizes.passages}")
        tapes: dict[str, Tape] = {}
        for side in [side for side in sides if side.name in runs][:: -1 if number % 2 else 1]:
            if side.method not in tapes:
                prompt = prefill(guide, sequence, slots_of_prompt(side.method, None))
                tapes[side.method] = record(prompt, side.method, 1, sampler, number)
            try:
                runs[side.name].append(side.fill(sequence, tapes[side.method], sampler, number))
            except Exception as error:  # see Part.attempt
                part.miss(f"{shape}, {side.name}", error)
                del runs[side.name]
    report.progress("")
    return {name: each[_WARMUP:] for name, each in runs.items()}


def per_second(samples: FloatArray) -> FloatArray:
    """Tokens (second measurement) a second of all the milliseconds (the first)."""
    result: FloatArray = 1000 / ratio_of_sums(samples)
    return result


def _figures(runs: Sequence[Run]) -> dict[str, Any]:
    samples = np.array([(run.elapsed_ms, run.tokens) for run in runs])
    return {
        "fill_ms": asdict(bootstrap(median, samples)),
        "prompt_ms": asdict(bootstrap(median, np.array([(run.prompt_ms,) for run in runs]))),
        "ms_per_token": asdict(bootstrap(ratio_of_sums, samples)),
        "tokens_per_s": asdict(bootstrap(per_second, samples)),
        "passes_per_token": sum(run.passes for run in runs) / sum(run.tokens for run in runs),
    }


def _compared(setup: Setup, part: Part, shape: str, groups: Sequence[Group]) -> Iterator[dict[str, Any]]:
    """Each side's figures; among them, how many times as long the published algorithm takes in torch eager on the same passages."""
    sides: list[Side] = []
    for group in groups:
        try:
            sides.extend(group(setup, shape))
        except Exception as error:  # see Part.attempt
            part.miss(f"{shape}, {group.__name__.replace('_', ' ')}", error)
    runs = _runs(setup, part, shape, sides)
    for side, own in runs.items():
        row: dict[str, Any] = {"shape": shape, "side": side, **_figures(own)}
        if PUBLISHED in runs:
            pairs = np.array([(theirs.elapsed_ms, ours.elapsed_ms) for theirs, ours in zip(runs[PUBLISHED], own, strict=True)])
            row["times_faster"] = asdict(bootstrap(ratio_of_sums, pairs))
        yield row


def _measure(setup: Setup, part: Part, *groups: Group) -> None:
    for shape in setup.sizes.shapes:
        part.attempt(f"{shape}, fills", _compared, setup, part, shape, groups)


def engine_fills(setup: Setup, part: Part) -> None:
    """The engine's methods, and the published algorithm in torch eager beside them."""
    _measure(setup, part, engine_sides, eager_sides)


def eager_fills(setup: Setup, part: Part) -> None:
    """Torch eager: the published algorithm, and one token a pass with a cache."""
    _measure(setup, part, eager_sides)


def compiled_fills(setup: Setup, part: Part) -> None:
    """The same, compiled by torch."""
    _measure(setup, part, compiled_sides, eager_sides)
