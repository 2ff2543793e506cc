"""Losses: block masks tell what dense masks tell, and compiled layers compute what plain ones do, compiled once for all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
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
from export.visibility import CausalMask, Visible, attend, block_mask, dense_mask, fast_mask
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


def causal(lines: Batch) -> Batch:
    return lines._replace(reach=torch.minimum(lines.reach, torch.arange(ROWS)))


def drafts(seed: int = 7) -> losses.Drafts:
    return draft_rows(batch(seed), 8, torch.Generator().manual_seed(0))


def test_a_block_mask_hides_what_the_dense_one_hides() -> None:
    lines, (sources, _, _) = batch(), drafts()
    for first, last in ((lines.first, lines.reach), (lines.first.gather(1, sources), lines.reach.gather(1, sources))):
        dense, blocks = dense_mask(first, last, ROWS), block_mask(first, last, ROWS)
        whole = create_mask(blocks.mask_mod, len(first), None, first.shape[1], ROWS, device="cpu")
        assert torch.equal(whole, dense)


def test_fused_attention_gives_the_states_of_plain_attention(model: AsArm) -> None:
    lines, (sources, targets, _) = batch(), drafts()
    found = []
    with torch.no_grad():
        for mask in (dense_mask, block_mask):
            visible = mask(lines.first, lines.reach, ROWS)
            drafts_see = mask(lines.first.gather(1, sources), lines.reach.gather(1, sources), ROWS)
            found.append(model.train_states(lines.ids, lines.positions, lines.targets, visible, sources, targets, drafts_see))
    for dense, blocks in zip(*found, strict=True):
        torch.testing.assert_close(blocks, dense, atol=1e-5, rtol=0)


def test_attention_in_tiles_is_plain_attention_where_no_row_looks_ahead() -> None:
    lines, (sources, _, _) = batch(), drafts()
    generator = torch.Generator().manual_seed(1)
    queries, keys, values = torch.randn(3, 2, 4, ROWS, 16, generator=generator, requires_grad=True).unbind()
    causal = fast_mask(lines.first, torch.minimum(lines.reach, torch.arange(ROWS)), ROWS)
    assert isinstance(causal, CausalMask)
    found = []
    for visible in (causal, causal.mask):
        mixed = attend(queries, keys, values, visible)
        found.append((mixed, *torch.autograd.grad(mixed.square().sum(), (queries, keys, values))))
    for tiled, plain in zip(*found, strict=True):
        torch.testing.assert_close(tiled, plain, atol=1e-4, rtol=1e-4)
    # Bidirectional prompts look ahead, and draft rows are fewer than the rows they see.
    assert isinstance(fast_mask(lines.first, lines.reach, ROWS), torch.Tensor)
    assert isinstance(fast_mask(lines.first.gather(1, sources), lines.reach.gather(1, sources), ROWS), torch.Tensor)


@pytest.mark.parametrize("mask", [dense_mask, block_mask, fast_mask])
def test_layers_share_one_compilation_and_compute_what_plain_ones_do(mask: Callable[..., Visible], monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr(losses, "fast_mask", mask)
    assert step.check(causal(batch()), drafts()) is None
    assert step.compiled
    assert all(parameter.grad is None for parameter in model.parameters())
    # A layer; keys and values of the head; the head and the losses, for content rows and for draft rows.
    assert counter.frame_count == 6
    for seed in range(2):
        nexts, ahead = step(causal(batch(seed)), drafts(seed))
        (nexts.sum() + ahead.sum()).backward()
    assert counter.frame_count == 6
    for ours, theirs in zip((nexts, ahead), row_losses(model, causal(batch(seed)), drafts(seed)), strict=True):
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
