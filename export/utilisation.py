"""How much of a device's arithmetic a training step uses: achieved over peak FLOP/s."""

from __future__ import annotations

import time

import torch

from export.model import AsArm, parameter_count

_SIDES = {"cuda": 8192}  # of the square matrices whose product is timed: large enough that starting it is no part of the time
_SIDE = 2048
_TRIALS = 5


def flops_per_row(model: AsArm, rows: int) -> float:
    """Floating-point operations of one training row (forward and backward), as they are usually counted.

    6 for each weight that a row is multiplied with (Kaplan et al. 2020, arXiv 2001.08361, section 2.1), with draft rows (a
    quarter as many) going through the head alone, and 12 * width for each row that attention looks at: `rows` is the
    length of a line, all of which the fused kernel computes, hidden rows too.
    """
    config = model.config
    head = parameter_count(model.head) + config.vocabulary * config.width
    trunk = sum(parameter_count(block) for block in model.blocks)
    attention = 12 * config.width * rows * (config.layers + 1.25)
    return 6.0 * (trunk + 1.25 * head) + attention


def peak_flops(device: torch.device) -> float:
    """FLOP/s of the best of some bfloat16 matrix products on the device: what it can do, not what its data sheet says."""
    side = _SIDES.get(device.type, _SIDE)
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(_TRIALS):
        began = time.perf_counter()
        product = a @ a
        product[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - began)
    return 2.0 * side**3 / best
