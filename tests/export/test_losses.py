"""Losses: block masks tell what dense masks tell, and compiled layers compute what plain ones do, compiled once for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention
from torch.nn.attention.flex_attention import create_mask

from export import losses
from export.examples import Batch, Example, pack
from export.losses import StepLosses, draft_rows, row_losses
from export.model import AsArm
from export.visibility import visible_rows
from tests.export.workshop import TINY

ROWS = 64


@pytest.fixture(autouse=True)
def forget_compilations() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.fixture
def model() -> AsArm:
    torch.manual_seed(3)
    return AsArm(TINY)


def batch(seed: int = 7) -> Batch:
    """Two lines: two examples and padding; one with a bidirectional prompt."""
    generator = torch.Generator().manual_seed(seed)

    def example(rows: int, prompt: int, bidirectional: bool = False) -> Example:
        ids = torch.randint(5, TINY.vocabulary, (rows,), generator=generator)
        return Example(ids.numpy(), torch.randperm(3 * rows, generator=generator)[:rows].numpy(), prompt, bidirectional)

    lines = [pack([example(30, 20), example(25, 10)], ROWS), pack([example(50, 30, bidirectional=True)], ROWS)]
    return Batch(*(torch.stack(parts) for parts in zip(*lines, strict=True)))


def drafts(seed: int = 7) -> losses.Drafts:
    return draft_rows(batch(seed), 8, torch.Generator().manual_seed(0))


def test_a_block_mask_hides_what_the_dense_one_hides() -> None:
    lines, (sources, _, _) = batch(), drafts()
    for first, last in ((lines.first, lines.reach), (lines.first.gather(1, sources), lines.reach.gather(1, sources))):
        dense, blocks = (visible_rows(first, last, ROWS, as_blocks) for as_blocks in (False, True))
        assert isinstance(dense, torch.Tensor) and not isinstance(blocks, torch.Tensor)
        whole = create_mask(blocks.mask_mod, len(first), None, first.shape[1], ROWS, device="cpu")
        assert torch.equal(whole, dense)


def test_fused_attention_gives_the_states_of_plain_attention(model: AsArm) -> None:
    lines, (sources, targets, _) = batch(), drafts()
    found = []
    with torch.no_grad():
        for as_blocks in (False, True):
            visible = visible_rows(lines.first, lines.reach, ROWS, as_blocks)
            drafts_see = visible_rows(lines.first.gather(1, sources), lines.reach.gather(1, sources), ROWS, as_blocks)
            found.append(model.train_states(lines.ids, lines.positions, lines.targets, visible, sources, targets, drafts_see))
    for dense, blocks in zip(*found, strict=True):
        torch.testing.assert_close(blocks, dense, atol=1e-5, rtol=0)


@pytest.mark.parametrize("as_blocks", [False, True])
def test_layers_share_one_compilation_and_compute_what_plain_ones_do(as_blocks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # All of a GPU's step but its kernels: torch refuses gradients of the fused attention on a CPU because it has none for it there.
    monkeypatch.setattr(flex_attention, "_validate_device", lambda *tensors: None)
    model = AsArm(dataclasses.replace(TINY, layers=4))
    counter = CompileCounterWithBackend("aot_eager")
    compile_ = torch.compile

    def counted(function: Any, **options: Any) -> Any:
        return compile_(function, backend=counter, fullgraph=True, **options)

    monkeypatch.setattr(torch, "compile", counted)
    monkeypatch.setattr(losses, "compiled_label_losses", cache(lambda: counted(losses.label_losses, dynamic=False)))
    step = StepLosses(model, compiled=True)
    monkeypatch.setattr(losses, "visible_rows", lambda first, last, keys, _: visible_rows(first, last, keys, as_blocks and step.compiled))
    assert step.check(batch(), drafts()) is None
    assert step.compiled
    assert all(parameter.grad is None for parameter in model.parameters())
    # A layer; keys and values of the head; the head and the losses, for content rows and for draft rows.
    assert counter.frame_count == 6
    for seed in range(2):
        nexts, ahead = step(batch(seed), drafts(seed))
        (nexts.sum() + ahead.sum()).backward()
    assert counter.frame_count == 6
    for ours, theirs in zip((nexts, ahead), row_losses(model, batch(seed), drafts(seed)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)


@pytest.mark.parametrize("wrong", ["no compiler\nat all", "other numbers"])
def test_a_compiler_that_fails_or_errs_is_not_used(model: AsArm, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = row_losses(model, batch(), drafts())

    def failing(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if wrong == "other numbers":
            return losses.label_losses(1.2 * states, weight, labels)
        raise RuntimeError(wrong)

    step = StepLosses(model, compiled=False)
    step.compiled = True
    monkeypatch.setattr(losses, "compiled_label_losses", lambda: failing)
    problem = step.check(batch(), drafts())
    assert problem is not None and "\n" not in problem
    assert ("no compiler" in problem) == (wrong != "other numbers")
    assert not step.compiled
    for ours, theirs in zip(step(batch(), drafts()), plain, strict=True):
        assert torch.equal(ours, theirs)
