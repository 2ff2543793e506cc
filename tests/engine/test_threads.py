"""How many threads a model runs on: one, unless all cores are seen to be clearly faster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine import onnx_model
from engine.local import DEFAULT_MODEL
from engine.manifest import load_manifest
from engine.model import Rows
from engine.onnx_model import OnnxModel
from engine.runtime import available_cores


def load(threads: int = 0) -> OnnxModel:
    return OnnxModel(DEFAULT_MODEL, load_manifest(DEFAULT_MODEL), threads=threads)


def threads_of(model: OnnxModel) -> int:
    return int(model.session.get_session_options().intra_op_num_threads)


@pytest.mark.parametrize(
    ("cores", "seconds", "chosen"),
    [
        (3, [0.001], 1),  # too short to be shared out: not tried
        (1, [0.100], 1),
        (3, [0.010, 0.006], 3),
        (3, [0.010, 0.0095], 1),  # a little faster is not worth the other programs' cores
        (3, [0.010, 0.030], 1),
    ],
)
def test_all_cores_are_taken_only_where_they_pay(
    monkeypatch: pytest.MonkeyPatch, cores: int, seconds: Sequence[float], chosen: int
) -> None:
    left = list(seconds)
    monkeypatch.setattr(onnx_model, "available_cores", lambda: cores)
    monkeypatch.setattr(OnnxModel, "_pass_seconds", lambda self: left.pop(0))
    assert threads_of(load()) == chosen
    assert not left


def test_a_given_number_is_taken_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxModel, "_pass_seconds", lambda self: pytest.fail("it was tried"))
    assert threads_of(load(2)) == 2


def test_a_trial_takes_some_time_and_leaves_no_trace() -> None:
    model = load(1)
    assert 0 < model._pass_seconds() < 60
    assert model.open().rows == 0


def test_any_number_of_threads_gives_the_same_logits() -> None:
    rows = np.arange(30)[None]
    asked = Rows(rows + 20, rows, np.array([30]), rows, rows + 1, rows + 1)
    one, two = (load(threads).open().run(asked) for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-4, rtol=0)


def test_there_is_a_core_to_run_on() -> None:
    assert available_cores() >= 1
