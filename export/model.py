"""The any-subset autoregressive model (AS-ARM): a causal trunk over content rows and a shallow head for slot rows.

Method: Guo & Ermon, arXiv 2504.20456. Where the paper uses XLNet's two streams, this model has

* content rows: a known token at a position. They run through the trunk and leave keys and values behind;
* slot rows: "which token stands at this target position?", asked from a content row of the same pass (`source`).
  They run through one block whose queries are rotated to the target position, and leave nothing behind.

Which row sees which is an input. In training all rows stand in sigma order and see what comes before them, so the
trunk is a causal transformer over permuted positions, and every content row asks for its successor in sigma (but rows
of bidirectional prompts, which have seen it).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.visibility import Visible, attend

# Offsets below 8 have a bucket each; further ones share half-octave buckets up to +-2048.
_OFFSET_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of an AS-ARM. `width` = `heads` * head size; `hidden` is the inner width of the gated feed-forward.

    `tied`: the output matrix is the embedding.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    rotary_base: float = 10000.0
    tied: bool = True

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Rotary(nn.Module):
    """Rotary position embedding over integer positions; pairs are (i, i + head_size / 2)."""

    inverse: Tensor

    def __init__(self, head_size: int, base: float) -> None:
        super().__init__()
        exponents = torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
        self.register_buffer("inverse", base**-exponents, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Positions `[B, R]` to cosines and sines, each `[B, 1, R, D/2]` in float32."""
        angles = positions.to(torch.float32)[:, None, :, None] * self.inverse
        return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate `[B, H, R, D]` by angles `[B, 1, R, D/2]`."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class FeedForward(nn.Module):
    """Gated feed-forward (SwiGLU)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.hidden, bias=False)
        self.up = nn.Linear(config.width, config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return out


class KeysValues(nn.Module):
    """What a content row leaves behind in one layer: a rotated, normalised key and a value per head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.key = nn.Linear(config.width, config.width, bias=False)
        self.value = nn.Linear(config.width, config.width, bias=False)
        self.key_norm = nn.RMSNorm(config.head_size, eps=1e-6)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Rows `[B, C, width]` to keys and values `[B, H, C, D]`."""
        keys = rotate(self.key_norm(split_heads(self.key(x), self.heads)), cos, sin)
        return keys, split_heads(self.value(x), self.heads)


def split_heads(x: Tensor, heads: int) -> Tensor:
    split: Tensor = x.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


class Attention(nn.Module):
    """Queries from rows, rotated to the rows' own positions, over given keys and values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width, bias=False)
        self.query_norm = nn.RMSNorm(config.head_size, eps=1e-6)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, visible: Visible) -> Tensor:
        """Rows `[B, R, width]`; keys, values `[B, H, K, D]`; `visible` bool `[B, 1, R, K]` or a block mask of that size."""
        queries = rotate(self.query_norm(split_heads(self.query(x), self.heads)), cos, sin)
        mixed = attend(queries, keys, values, visible)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(-2))
        return out


class Block(nn.Module):
    """One layer of the trunk: attention over content rows, then feed-forward, both on normalised residuals."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.keys_values = KeysValues(config)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, visible: Visible, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the rows and the new keys and values (without the past ones)."""
        normed = self.attention_norm(x)
        keys, values = self.keys_values(normed, cos, sin)
        all_keys, all_values = (keys, values) if past is None else (torch.cat((past[0], keys), 2), torch.cat((past[1], values), 2))
        x = x + self.attention(normed, cos, sin, all_keys, all_values, visible)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        return x, keys, values


class SlotHead(nn.Module):
    """One block for slot rows: starts from the source row's trunk output and the offset, looks at all content rows."""

    steps: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(_OFFSET_STEPS), persistent=False)
        self.offset = nn.Embedding(2 * len(_OFFSET_STEPS) + 1, config.width)
        self.content_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.keys_values = KeysValues(config)
        self.attention_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.attention = Attention(config)
        self.feed_forward_norm = nn.RMSNorm(config.width, eps=1e-6)
        self.feed_forward = FeedForward(config)
        self.out_norm = nn.RMSNorm(config.width, eps=1e-6)

    def bucket(self, offsets: Tensor) -> Tensor:
        """Signed, log-bucketed index of target - source; integer comparisons alone, so that every runtime agrees."""
        reached = (offsets.abs().unsqueeze(-1) >= self.steps).sum(-1)
        return offsets.sign() * reached + len(_OFFSET_STEPS)

    def forward(self, asked: Tensor, offsets: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, visible: Visible) -> Tensor:
        """Trunk outputs of the sources `[B, S, width]` and offsets `[B, S]` to normalised states `[B, S, width]`."""
        x = asked + self.offset(self.bucket(offsets))
        x = x + self.attention(self.attention_norm(x), cos, sin, keys, values, visible)
        x = x + self.feed_forward(self.feed_forward_norm(x))
        out: Tensor = self.out_norm(x)
        return out


class AsArm(nn.Module):
    """The whole model. `forward` is the exported contract; `train_states` the same arithmetic for whole sequences."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.rotary = Rotary(config.head_size, config.rotary_base)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = SlotHead(config)
        self.output: nn.Linear | None = None if config.tied else nn.Linear(config.width, config.vocabulary, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal(0, 0.02) embeddings; linear maps scaled by their input; what ends a residual branch starts small."""
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.head.offset.weight, std=0.02)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                shrink = (2 * (self.config.layers + 1)) ** -0.5 if name.endswith((".out", ".down")) else 1.0
                nn.init.normal_(module.weight, std=shrink * module.in_features**-0.5)
        if self.output is not None:
            nn.init.normal_(self.output.weight, std=0.02)  # logits start flat, as they do with tied embeddings

    @property
    def output_weight(self) -> Tensor:
        """The matrix `[vocabulary, width]` that logits are made with."""
        return self.embedding.weight if self.output is None else self.output.weight

    def logits(self, states: Tensor) -> Tensor:
        """Normalised states to logits over the vocabulary."""
        return F.linear(states, self.output_weight)

    def embed(self, ids: Tensor) -> Tensor:
        # Tied embeddings are small so that logits start flat; rows start at unit scale all the same.
        return F.rms_norm(self.embedding(ids), (self.config.width,), eps=1e-6)

    def forward(
        self,
        content_ids: Tensor,
        content_positions: Tensor,
        content_visibility: Tensor,
        slot_sources: Tensor,
        slot_targets: Tensor,
        slot_visibility: Tensor,
        *past: Tensor,
    ) -> tuple[Tensor, ...]:
        """One pass.

        Content ids, positions int64 `[B, C]`, visibility bool `[B, C, P + C]`; slot sources (indices into the pass's
        content rows), targets (positions) `[B, S]`, visibility `[B, S, P + C]`; `past`: keys then values of each trunk
        layer and, last, of the slot head, each `[B, H, P, D]`. Returns slot logits `[B, S, V]`, the normalised states
        behind them `[B, S, width]`, and the content rows' new keys and values in the order of `past`, each `[B, H, C, D]`.
        """
        cos, sin = self.rotary(content_positions)
        visible = content_visibility[:, None]
        x = self.embed(content_ids)
        new: list[Tensor] = []
        for layer, block in enumerate(self.blocks):
            x, keys, values = block(x, cos, sin, visible, (past[2 * layer], past[2 * layer + 1]))
            new += [keys, values]
        keys, values = self.head.keys_values(self.head.content_norm(x), cos, sin)
        new += [keys, values]
        sources = slot_sources[..., None].expand(-1, -1, self.config.width)
        states = self.head(
            x.gather(1, sources),
            slot_targets - content_positions.gather(1, slot_sources),
            *self.rotary(slot_targets),
            torch.cat((past[-2], keys), 2),
            torch.cat((past[-1], values), 2),
            slot_visibility[:, None],
        )
        return self.logits(states), states, *new

    def train_states(
        self,
        ids: Tensor,
        positions: Tensor,
        targets: Tensor,
        visible: Visible,
        draft_sources: Tensor,
        draft_targets: Tensor,
        draft_visible: Visible,
    ) -> tuple[Tensor, Tensor]:
        """Whole packed lines in sigma order, int64 `[B, T]`, rows seeing what `visible` tells `[B, 1, T, T]`: states before `logits`.

        The first set `[B, T, width]`: row i asks for the position `targets[i]`. The second `[B, A, width]`: draft rows,
        asked from row `draft_sources` for the position `draft_targets`; `draft_visible` `[B, 1, A, T]` is what their sources see.
        """
        cos, sin = self.rotary(positions)
        x = self.embed(ids)
        for block in self.blocks:
            x, _, _ = block(x, cos, sin, visible, None)
        keys, values = self.head.keys_values(self.head.content_norm(x), cos, sin)
        states = self.head(x, targets - positions, *self.rotary(targets), keys, values, visible)
        drafts = self.head(
            x.gather(1, draft_sources[..., None].expand(-1, -1, self.config.width)),
            draft_targets - positions.gather(1, draft_sources),
            *self.rotary(draft_targets),
            keys,
            values,
            draft_visible,
        )
        return states, drafts


def parameter_count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
