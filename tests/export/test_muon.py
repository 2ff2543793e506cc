"""Muon over batches of matrices: the update of torch's own, matrix by matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from export.muon import Muon, orthogonalised

SHAPES = ((24, 16), (16, 24), (24, 16), (16, 16), (16, 24))


def matrices() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def test_updates_are_those_of_torch() -> None:
    ours, theirs = matrices(), matrices()
    optimizers = Muon(ours, lr=0.02), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.01)
    for step in range(4):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            for parameter, gradient in zip(parameters, gradients(step), strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
    for mine, other, before in zip(ours, theirs, matrices(), strict=True):
        assert float((mine - other).norm() / (other - before).norm()) < 0.01  # bfloat16, in another order


def test_matrices_without_a_gradient_stay() -> None:
    first, second = matrices()[:2]
    first.grad = torch.ones_like(first)
    before = second.clone()
    Muon([first, second], lr=0.1).step()
    assert torch.equal(second, before)
    assert not torch.equal(first, matrices()[0])


def test_singular_values_come_near_one() -> None:
    for shape in ((3, 32, 8), (2, 8, 32), (1, 16, 16)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape, generator=torch.Generator().manual_seed(0))).float())
        assert float(values.min()) > 0.5 and float(values.max()) < 1.3
