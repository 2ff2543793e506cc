"""Muon (Jordan et al. 2024) that works on all matrices of one shape at once.

The arithmetic is that of torch.optim.Muon, which takes one matrix after another: thousands of small kernels a step, for which a GPU
waits. Here the Newton-Schulz iteration of equal shapes is one batch of matrix products.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, by Jordan
_ITERATIONS = 5
_SMALLEST_NORM = 1e-7


class Muon(torch.optim.Optimizer):
    """Momentum (Nesterov), orthogonalised, for matrices `[rows, columns]`; tall ones have a rate sqrt(rows / columns) times as large."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all matrices that have a gradient."""
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            gradients = [matrix.grad for matrix in matrices]
            moments = [self._moment(matrix) for matrix in matrices]
            torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, moments, group["momentum"])
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            shapes: dict[torch.Size, list[int]] = defaultdict(list)
            for index, matrix in enumerate(matrices):
                shapes[matrix.shape].append(index)
            for shape, indices in shapes.items():
                directions = orthogonalised(torch.stack([updates[index] for index in indices]))
                rate = group["lr"] * math.sqrt(max(1.0, shape[0] / shape[1]))
                torch._foreach_add_([matrices[index] for index in indices], list(directions.to(matrices[indices[0]].dtype)), alpha=-rate)

    def _moment(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        moment: Tensor = state["momentum_buffer"]
        return moment


def orthogonalised(updates: Tensor) -> Tensor:
    """Matrices `[N, rows, columns]` with all singular values brought near 1 (0.7 to 1.2), in bfloat16."""
    a, b, c = _COEFFICIENTS
    tall = updates.shape[1] > updates.shape[2]
    x = updates.bfloat16()
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_SMALLEST_NORM)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
