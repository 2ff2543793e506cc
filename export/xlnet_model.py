"""XLNet in torch, plainly, on the contract's inputs: what an exported graph is compared with.

Yang et al., arXiv 1906.08237. `export.xlnet_graph` says how streams and relative positions come about; here each stream is computed
for itself, and each pair of rows looks its own relative position up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from export.xlnet_config import XlnetConfig
from export.xlnet_graph import FloatArray, encoded

_ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class XlnetReference:
    """`weights` are a checkpoint's, by its own names."""

    def __init__(self, config: XlnetConfig, weights: Mapping[str, FloatArray]) -> None:
        self.config = config
        self.weights = {name: torch.from_numpy(weight) for name, weight in weights.items()}

    @torch.no_grad()
    def forward(
        self,
        ids: Tensor,
        positions: Tensor,
        visibility: Tensor,
        targets: Tensor,
        slot_visibility: Tensor,
        past_positions: Tensor,
        past: Sequence[Tensor],
    ) -> list[Tensor]:
        """Logits `[B, S, V]`, states `[B, S, width]`, new keys and values a layer, each `[B, H, C, D]`; shapes as in the graph."""
        config = self.config
        embedding = self.weights["transformer.word_embedding.weight"]
        h, g = embedding[ids], self.weights["transformer.mask_emb"].expand(*targets.shape, -1)
        keys_at = torch.cat((past_positions, positions), dim=1)
        new: list[Tensor] = []
        for layer in range(config.layers):
            name = f"transformer.layer.{layer}"
            key, value = self._heads(h, f"{name}.rel_attn.k"), self._heads(h, f"{name}.rel_attn.v")
            new += [key, value]
            keys, values = torch.cat((past[2 * layer], key), dim=2), torch.cat((past[2 * layer + 1], value), dim=2)
            h, g = (
                self._feed_forward(self._attend(rows, at, seen, keys, values, keys_at, f"{name}.rel_attn"), f"{name}.ff")
                for rows, at, seen in ((h, positions, visibility), (g, targets, slot_visibility))
            )
        output = embedding if config.tied else self.weights["lm_loss.weight"]
        return [g @ output.T + self.weights["lm_loss.bias"], g, *new]

    def _heads(self, x: Tensor, name: str) -> Tensor:
        return torch.einsum("brw,whd->bhrd", x, self.weights[name])

    def _attend(self, x: Tensor, at: Tensor, seen: Tensor, keys: Tensor, values: Tensor, keys_at: Tensor, name: str) -> Tensor:
        config, weights = self.config, self.weights
        query = self._heads(x, f"{name}.q")
        apart = at[:, :, None] - keys_at[:, None, :]
        if config.clamp_len is not None:
            apart = apart.clamp(-config.clamp_len, config.clamp_len)
        which, index = torch.unique(apart, return_inverse=True)
        places = torch.einsum("nw,whd->nhd", encoded(which, config.width), weights[f"{name}.r"])
        by_content = torch.einsum("bhrd,bhkd->bhrk", query + weights[f"{name}.r_w_bias"][:, None], keys)
        by_place = torch.einsum("bhrd,brkhd->bhrk", query + weights[f"{name}.r_r_bias"][:, None], places[index])
        scores = ((by_content + by_place) * config.head_size**-0.5).masked_fill(~seen[:, None], -1e30)
        mixed = torch.einsum("bhrk,bhkd->brhd", scores.softmax(-1), values)
        return self._norm(torch.einsum("brhd,whd->brw", mixed, weights[f"{name}.o"]) + x, name)

    def _feed_forward(self, x: Tensor, name: str) -> Tensor:
        inner = _ACTIVATIONS[self.config.activation](self._linear(x, f"{name}.layer_1"))
        return self._norm(self._linear(inner, f"{name}.layer_2") + x, name)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale, bias = self.weights[f"{name}.layer_norm.weight"], self.weights[f"{name}.layer_norm.bias"]
        return F.layer_norm(x, (self.config.width,), scale, bias, self.config.epsilon)
