"""A fill may be cancelled after any of its passes: what it held is freed at once, and the next fill knows nothing of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import takewhile
from weakref import WeakSet

import numpy as np
import pytest

from engine.decoders import DECODERS
from engine.decoders.base import Draw, prefill
from engine.errors import Cancelled, ModelError
from engine.infiller import OnPass, ignore_progress
from engine.local import LocalInfiller, load_infiller
from engine.model import Rows
from engine.onnx_model import OnnxState
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.results import FillResult, Progress
from engine.sampling import Sampler
from engine.sequence import MaskedSequence
from tests.engine.oracle import Oracle, OracleState, length_for, sequence_with

# The oracle answers NaN for padding, which a decoder computes with but must not use.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

PASSAGE = Passage(("def mean(values):\n    return ", " / ", "\n"), (6, 4))
WIDTH = 3


class Stop:
    """A hook that cancels when it is called for the `at`th time."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cancelled


def cancelled(work: Callable[[OnPass], object], at: int) -> bool:
    """Whether the work was cancelled by the `at`th call of its hook, and not over before. The exception is gone on return."""
    try:
        work(Stop(at))
    except Cancelled:
        return True
    return False


def calls(work: Callable[[OnPass], object]) -> int:
    seen: list[Progress] = []
    work(seen.append)
    return len(seen)


def counted(kind: type[OnnxState] | type[OracleState], monkeypatch: pytest.MonkeyPatch) -> WeakSet[object]:
    """All contexts of that kind that are made from now on and still live."""
    living: WeakSet[object] = WeakSet()
    begin = kind.__init__

    def remember(self: object, *arguments: object, **named: object) -> None:
        begin(self, *arguments, **named)  # type: ignore[arg-type]
        living.add(self)

    monkeypatch.setattr(kind, "__init__", remember)
    return living


@pytest.mark.parametrize("method", sorted(DECODERS))
def test_a_decoder_cancelled_at_any_pass_leaves_the_prompt_as_it_was(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = Oracle(1, length_for((4, 3)))
    living = counted(OracleState, monkeypatch)
    prefilled = prefill(oracle, sequence_with((4, 3), oracle, 1), WIDTH)

    def draws(on_pass: OnPass) -> list[Draw]:
        return DECODERS[method](prefilled, 20, Sampler(), WIDTH, np.random.default_rng(0), on_pass)

    undisturbed = draws(ignore_progress)
    passes = calls(draws)
    assert passes > 2 and len(living) == 1
    for at in range(1, passes + 1):
        assert cancelled(draws, at)
        assert len(living) == 1, "only the prompt's own context is left"
        assert draws(ignore_progress) == undisturbed
    assert not cancelled(draws, passes + 1)


@pytest.fixture(scope="module")
def own() -> LocalInfiller:
    """A model of these tests' own, whose prompts no other test has seen."""
    return load_infiller()


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def tokens_of(result: FillResult) -> list[tuple[tuple[int, ...], ...]]:
    return [tuple(fill.tokens for fill in suggestion.fills) for suggestion in result.suggestions]


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("method", METHODS)
def test_a_fill_cancelled_at_any_pass_leaks_no_cache_and_changes_no_other(
    own: LocalInfiller, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = counted(OnnxState, monkeypatch)

    def fill(on_pass: OnPass) -> FillResult:
        return own.fill(PASSAGE, FillOptions(count=3, temperature=1, seed=1, method=method, draft=WIDTH), on_pass)

    fill(ignore_progress)  # from now on the prompt is known
    undisturbed, passes = tokens_of(fill(ignore_progress)), calls(fill)
    kept, kept_bytes, before = len(living), own.prompts.nbytes, tracemalloc.get_traced_memory()[0]
    assert passes > 2
    for at in range(1, passes + 1):
        assert cancelled(fill, at)
        assert (len(living), own.prompts.nbytes) == (kept, kept_bytes), "only the prompts' own contexts are left"
        if at % 4 == 1:
            assert tokens_of(fill(ignore_progress)) == undisturbed
    assert not cancelled(fill, passes + 1)
    assert tracemalloc.get_traced_memory()[0] - before < kept_bytes / 2


def shared_rows(one: MaskedSequence, other: MaskedSequence) -> int:
    """With how many rows both begin."""
    rows = zip(one.ids, one.positions, other.ids, other.positions, strict=False)
    return sum(1 for _ in takewhile(lambda row: row[:2] == row[2:], rows))


@pytest.mark.parametrize("error", [Cancelled(), ModelError("broken")], ids=["cancelled", "failed"])
def test_a_prompt_that_was_not_run_to_its_end_is_not_kept(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it begins like a prompt that is kept, or goes on from one, or is that one."""
    infiller, options = load_infiller(), FillOptions(temperature=0)
    typed = [PASSAGE, *(replace(PASSAGE, pieces=(PASSAGE.pieces[0] + more, *PASSAGE.pieces[1:])) for more in ("sum", "sum(values)"))]
    other = replace(PASSAGE, pieces=("# exact\n" * 10 + PASSAGE.pieces[0], *PASSAGE.pieces[1:]))
    infiller.fill(PASSAGE, options)
    run_whole = [infiller.sequence(PASSAGE)]

    def fail(state: OnnxState, rows: Rows) -> None:
        raise error

    for passage in (*typed, other):
        with monkeypatch.context() as patch:
            patch.setattr(OnnxState, "run", fail)
            with pytest.raises(type(error)):
                infiller.fill(passage, options)
        after, sequence = infiller.fill(passage, options), infiller.sequence(passage)
        assert after.reused_rows <= max(shared_rows(sequence, earlier) for earlier in run_whole)
        run_whole.append(sequence)
        assert tokens_of(after) == tokens_of(load_infiller().fill(passage, options))
