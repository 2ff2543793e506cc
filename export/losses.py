"""Losses of training lines: plainly, or compiled, with attention that leaves out what no row sees, once both were seen to agree."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from export.examples import IGNORED, Batch
from export.model import AsArm
from export.visibility import dense_mask, fast_mask

Drafts = tuple[Tensor, Tensor, Tensor]
# What bfloat16 may make of the same sums in another order, relative.
_LOSS_TOLERANCE = 2e-3
_GRADIENT_TOLERANCE = 0.05
_LINES = 8  # at once, plainly: masks and logits are whole in memory then


def draft_rows(batch: Batch, furthest: int, generator: torch.Generator) -> Drafts:
    """Sources, target positions and labels of draft rows, each `[B, T / 4]`: asked 2 to `furthest` rows ahead in sigma.

    Sources ascend, so that neighbours see nearly the same rows and a block mask leaves the others out. Labels are `IGNORED`
    where the row ahead is padding or of another example, or where the source asks for nothing itself.
    """
    lines, rows = batch.ids.shape
    sources = torch.randint(0, rows - furthest, (lines, rows // 4), generator=generator).sort(1).values
    ahead = sources + torch.randint(2, furthest + 1, sources.shape, generator=generator)
    allowed = (batch.first.gather(1, ahead) == batch.first.gather(1, sources)) & (batch.labels.gather(1, sources) != IGNORED)
    return sources, batch.positions.gather(1, ahead), batch.ids.gather(1, ahead).masked_fill(~allowed, IGNORED)


def row_losses(model: AsArm, batch: Batch, drafts: Drafts, *, compiled: bool = False) -> tuple[Tensor, Tensor]:
    """Nats of each row's label `[B, T]` and of each draft row's `[B, A]`; 0 where there is none. `compiled`: see `StepLosses`."""
    sources, targets, labels = drafts
    device, rows = batch.ids.device.type, batch.ids.shape[1]
    mask = fast_mask if compiled else dense_mask
    visible = mask(batch.first, batch.reach, rows)
    drafts_see = mask(batch.first.gather(1, sources), batch.reach.gather(1, sources), rows)
    nats = compiled_label_losses() if compiled else label_losses
    with torch.autocast(device, torch.bfloat16):
        states, ahead = model.train_states(batch.ids, batch.positions, batch.targets, visible, sources, targets, drafts_see)
        return nats(states, model.output_weight, batch.labels), nats(ahead, model.output_weight, labels)


def label_losses(states: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Nats of `labels` `[B, R]` given normalised states `[B, R, width]` and the output matrix; 0 where there is none."""
    logits = F.linear(states, weight)
    losses = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view(labels.shape)


@cache
def compiled_label_losses() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`label_losses`, compiled."""
    return torch.compile(label_losses, dynamic=False)


class StepLosses:
    """`row_losses` of one model. Compiled, its layers share one compilation, so that a step is ready in seconds, not minutes."""

    def __init__(self, model: AsArm, compiled: bool) -> None:
        self.model, self.compiled = model, compiled
        if compiled:
            for part in (*model.blocks, model.head.keys_values, model.head):
                part.compile(dynamic=False)

    def __call__(self, batch: Batch, drafts: Drafts) -> tuple[Tensor, Tensor]:
        with torch.compiler.set_stance("default" if self.compiled else "force_eager"):
            return row_losses(self.model, batch, drafts, compiled=self.compiled)

    def check(self, batch: Batch, drafts: Drafts) -> str | None:
        """Compare compiled losses and gradients with plain ones, and go on plainly where they differ: returns why, or None.

        Raises torch.OutOfMemoryError where the lines have no room.
        """
        try:
            ours = self._gradients(batch, drafts, len(batch.ids))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # compilers raise all kinds
            self.compiled = False
            return f"the compiler failed with {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        self.compiled = False
        theirs = self._gradients(batch, drafts, _LINES)
        loss, gradient = (float((a - b).norm() / b.norm().clamp(min=1e-12)) for a, b in zip(ours, theirs, strict=True))
        self.compiled = loss <= _LOSS_TOLERANCE and gradient <= _GRADIENT_TOLERANCE
        return None if self.compiled else f"compiled losses are {loss:.1%} off the plain ones, gradients {gradient:.1%}"

    def _gradients(self, batch: Batch, drafts: Drafts, lines: int) -> tuple[Tensor, Tensor]:
        """The summed losses `[2]` and the gradient of their sum over the number of rows, `lines` at a time."""
        total = torch.zeros(2, device=batch.ids.device)
        for start in range(0, len(batch.ids), lines):
            here = slice(start, start + lines)
            nexts, ahead = self(Batch(*(part[here] for part in batch)), (drafts[0][here], drafts[1][here], drafts[2][here]))
            sums = torch.stack([nexts.sum(), ahead.sum()])
            (sums.sum() / batch.ids.numel()).backward()
            total += sums.detach()
        gradient = torch.cat([parameter.grad.flatten() for parameter in self.model.parameters() if parameter.grad is not None])
        self.model.zero_grad(set_to_none=True)
        return total, gradient
