"""The draft head's layers: see `export.draft_head`, which trains them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.model import AsArm, FeedForward, ModelConfig


class DraftHead(nn.Module):
    """States of slots `[..., width]` and the embedded tokens these got `[..., width]` to states of the slots after them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * config.width, config.width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.feed_forward = FeedForward(config)
        self.out_norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, states: Tensor, embedded: Tensor) -> Tensor:
        x = self.mix(torch.cat((states, embedded), -1))
        x = x + self.feed_forward(self.feed_forward_norm(x))
        out: Tensor = self.out_norm(x)
        return out


class DraftStep(nn.Module):
    """What is exported: states `[N, width]` and tokens `[N]` to states `[N, width]` and logits `[N, V]`."""

    def __init__(self, model: AsArm, head: DraftHead) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        following = self.head(states, self.model.embed(ids))
        return following, self.model.logits(following)
