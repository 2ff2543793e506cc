"""Torch behind the engine's interface is the engine's model: eager, and padded to fixed sizes as compiled programs need it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.recompute import RecomputingModel
from benchmarks.torch_model import Buckets, TorchModel
from engine.decoders import DECODERS, slots_of_prompt
from engine.decoders.base import prefill
from engine.infiller import ignore_progress
from engine.local import LocalInfiller
from engine.manifest import checked_file
from engine.model import Rows
from engine.passage import Passage
from engine.sampling import Sampler
from export.model import AsArm
from export.torch_twin import load_twin

PASSAGE = Passage(("def area(width, height):\n    return ", "\n"), (6,), fixed_lengths=(True,))


@pytest.fixture(scope="module")
def twin(infiller: LocalInfiller) -> AsArm:
    return load_twin(checked_file(infiller.folder, infiller.manifest.graphs["float32"]), infiller.manifest)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padding and caches of fixed sizes, without the minutes that compiling takes."""
    monkeypatch.setattr(torch, "compile", lambda module, **options: module)


def fill(model: TorchModel | RecomputingModel, infiller: LocalInfiller, method: str) -> tuple[int, ...]:
    prefilled = prefill(model, infiller.sequence(PASSAGE), slots_of_prompt(method, None))
    return DECODERS[method](prefilled, 1, Sampler(0), None, np.random.default_rng(0), ignore_progress)[0].tokens


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("method", ["sequential", "assd"])
def test_every_form_of_it_fills_as_the_engine_does(twin: AsArm, infiller: LocalInfiller, method: str) -> None:
    (expected,) = DECODERS[method](
        prefill(infiller.model, infiller.sequence(PASSAGE), slots_of_prompt(method, None)),
        1,
        Sampler(0),
        None,
        np.random.default_rng(0),
        ignore_progress,
    )
    never, eoh = infiller.manifest.never, infiller.manifest.special_ids.eoh
    forms: list[TorchModel | RecomputingModel] = [
        TorchModel(twin, never, eoh=eoh),
        TorchModel(twin, never, eoh=eoh, buckets=Buckets(64, (1, 4), (1, 10))),
        RecomputingModel(TorchModel(twin, never, eoh=eoh)),
        RecomputingModel(TorchModel(twin, never, eoh=eoh, buckets=Buckets(0, (64,), (10,)))),
    ]
    assert [fill(form, infiller, method) for form in forms] == [expected.tokens] * 4


@pytest.mark.usefixtures("uncompiled")
def test_padding_changes_no_logit(twin: AsArm) -> None:
    plain, padded = (TorchModel(twin, (0,), buckets=buckets).open() for buckets in (None, Buckets(20, (4, 8), (8,))))
    place = 0
    for count in (3, 7, 1):
        index = np.arange(count)[None]
        rows = Rows(20 + index, place + index, np.array([count]), index, place + index + 1, index + 1)
        np.testing.assert_allclose(padded.run(rows), plain.run(rows), atol=1e-4)
        np.testing.assert_allclose(padded.states, plain.states, atol=1e-4)
        for state in (plain, padded):
            state.keep(np.array([count]))
        plain, padded = plain.fork(1), padded.fork(1)
        place += count


def test_angles_stay_exact_in_half_precision(twin: AsArm) -> None:
    half = TorchModel(twin, kind=torch.float16).module
    assert half.embedding.weight.dtype == torch.float16
    assert torch.equal(half.rotary.inverse, twin.rotary.inverse)
    assert twin.embedding.weight.dtype == torch.float32


def test_several_contexts_are_refused(twin: AsArm) -> None:
    two = np.zeros((2, 1), dtype=np.int64)
    with pytest.raises(ValueError, match="one context"):
        TorchModel(twin).open().run(Rows(two, two, np.array([1, 1]), two, two, two))
