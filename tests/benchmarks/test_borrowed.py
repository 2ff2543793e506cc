"""A model that borrows another's logits takes the other's passes and writes its tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.borrowed import record, replay
from benchmarks.random_model import write_random_model
from engine.decoders import DECODERS, slots_of_prompt
from engine.decoders.base import prefill
from engine.infiller import ignore_progress
from engine.local import LocalInfiller
from engine.options import METHODS
from engine.passage import Passage
from engine.sampling import Sampler
from export.model import ModelConfig
from tests.export.workshop import RECIPE, TINY

PASSAGE = Passage(("def area(width, height):\n    return ", "\n"), (9,), fixed_lengths=(True,))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("copies", [1, 3])
def test_passes_and_tokens_are_the_trained_models(infiller: LocalInfiller, random: LocalInfiller, method: str, copies: int) -> None:
    sampler, asked = Sampler(0.8), slots_of_prompt(method, None)
    trained, other = (prefill(each.model, each.sequence(PASSAGE), asked) for each in (infiller, random))
    tape = record(trained, method, copies, sampler, 3)
    own = DECODERS[method](trained, copies, sampler, None, np.random.default_rng(3), ignore_progress)
    borrowed = replay(other, tape, method, copies, sampler, 3)
    assert [(draw.passes, draw.tokens) for draw in borrowed] == [(draw.passes, draw.tokens) for draw in own]


@pytest.fixture(scope="module")
def random(infiller: LocalInfiller, tmp_path_factory: pytest.TempPathFactory) -> LocalInfiller:
    tiny = ModelConfig(infiller.manifest.vocabulary + 7, TINY.width, TINY.layers, TINY.heads, TINY.hidden)
    out: Path = tmp_path_factory.mktemp("random") / "model"
    return LocalInfiller(write_random_model(dataclasses.replace(RECIPE, model=tiny), infiller.folder, out, 512))
