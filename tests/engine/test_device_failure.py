"""A device that fails in the middle of a request: the CPU answers in its place, and as if it had been asked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from engine.errors import Cancelled, ModelError
from engine.local import LocalInfiller
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult, Progress, Score
from tests.engine.failing_device import CARD, FailingDevice, failing_infiller, put_on

PASSAGE = Passage(("def mean(values):\n    total = ", "\n    return total / ", "\n"), (4, 4))
TIED = replace(PASSAGE, ties=(0, 0))
TEXTS = ("values", "1")


def fill(infiller: LocalInfiller, **options: Any) -> FillResult:
    return infiller.fill(PASSAGE, FillOptions(**{"count": 2, "temperature": 0.8, "seed": 1} | options))


def tied(infiller: LocalInfiller) -> FillResult:
    return infiller.fill(TIED, FillOptions(temperature=0))


def score(infiller: LocalInfiller) -> Score:
    return infiller.score(PASSAGE, TEXTS)


Ask = Callable[[LocalInfiller], FillResult | Score]
ASKED: dict[str, Ask] = {
    **{method: partial(fill, method=method) for method in ("fused", "assd", "assd-ngram", "sequential")},
    "tied": tied,
    "score": score,
}


def content(answer: FillResult | Score) -> object:
    """An answer less the time that it took."""
    return answer.holes if isinstance(answer, Score) else replace(answer, elapsed_ms=0.0, prefill_ms=0.0)


@pytest.fixture(scope="module")
def by_the_cpu() -> dict[str, object]:
    """What a CPU that never saw the prompt answers to each."""
    return {name: content(ask(failing_infiller(at=0)[0])) for name, ask in ASKED.items()}


def each_failure(ask: Ask, lost: bool) -> Iterator[tuple[LocalInfiller, FailingDevice]]:
    """An infiller whose device fails at each of the calls that the request makes on it, one after the other."""
    infiller, device = failing_infiller(at=0)
    ask(infiller)
    assert device.calls > 1 and infiller.device == CARD
    for at in range(1, device.calls + 1):
        device = FailingDevice(device.model, at, lost)
        put_on(device, infiller)
        yield infiller, device


@pytest.mark.parametrize("name", ASKED)
def test_wherever_memory_runs_out_the_cpu_s_own_answer_comes(name: str, by_the_cpu: dict[str, object]) -> None:
    for infiller, device in each_failure(ASKED[name], lost=False):
        assert content(ASKED[name](infiller)) == by_the_cpu[name]
        assert device.calls == device.at, "the CPU has the request to itself"
        assert infiller.device.kind == "cuda" and infiller.device.is_news
        assert infiller.device.sentence == "the NVIDIA Test Card had not enough memory for a request, which the CPU answered"
        assert infiller.prompts.nbytes == 0, "the device's earlier prompts are gone"
        # The next one is the device's again.
        assert content(ASKED[name](infiller)) == by_the_cpu[name]
        assert device.calls > device.at and infiller.device.is_news


@pytest.mark.parametrize("name", ASKED)
def test_a_device_that_is_lost_is_not_asked_again(name: str, by_the_cpu: dict[str, object]) -> None:
    for infiller, device in each_failure(ASKED[name], lost=True):
        assert content(ASKED[name](infiller)) == by_the_cpu[name]
        assert infiller.device.kind == "cpu" and infiller.device.is_news
        assert (
            infiller.device.sentence == "the CPU runs the model: the NVIDIA Test Card failed and is not asked again (it failed in a test)"
        )
        ASKED[name](infiller)
        assert device.calls == device.at and infiller.prompts.nbytes > 0


def test_progress_begins_anew() -> None:
    infiller, _ = failing_infiller(at=5)
    seen: list[Progress] = []
    infiller.fill(PASSAGE, FillOptions(temperature=0, method="sequential"), seen.append)
    again = [at for at, (one, other) in enumerate(pairwise(seen)) if other.passes <= one.passes]
    assert len(again) == 1 and [each.passes for each in seen[again[0] + 1 :]][:2] == [1, 2]


def test_it_is_cancelled_on_the_cpu_too_and_the_device_remains() -> None:
    infiller, device = failing_infiller(at=5)
    passes = 0

    def stop(progress: Progress) -> None:
        nonlocal passes
        passes += 1
        if device.calls == device.at:
            raise Cancelled

    with pytest.raises(Cancelled):
        infiller.fill(PASSAGE, FillOptions(temperature=0, method="sequential"), stop)
    assert passes > 1 and infiller.device.kind == "cuda"
    score(infiller)
    assert device.calls > device.at


def test_other_errors_are_nothing_for_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    infiller, device = failing_infiller(at=0)

    def broken(device: FailingDevice) -> None:
        raise ModelError("its weights are broken")

    monkeypatch.setattr(FailingDevice, "count", broken)
    with pytest.raises(ModelError, match="weights are broken"):
        score(infiller)
    assert infiller.model is device and infiller.device == CARD  # type: ignore[comparison-overlap]
