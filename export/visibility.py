"""Which rows see which, from two numbers a row: as a dense mask, in tiles for a CPU, or as a block mask for a GPU's fused kernel."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

_TILES = 4  # more of them spare more of what no row sees, but make each product smaller


class CausalMask(NamedTuple):
    """A dense mask `[B, 1, R, R]` by which no row sees a later one."""

    mask: Tensor


Visible = Tensor | CausalMask | BlockMask


def dense_mask(first: Tensor, last: Tensor, keys: int) -> Tensor:
    """Row i of `[B, R]` sees the `keys` rows from `first[i]` to `last[i]`: bool `[B, 1, R, keys]`."""
    index = torch.arange(keys, device=first.device)
    return ((index >= first[..., None]) & (index <= last[..., None]))[:, None]


def block_mask(first: Tensor, last: Tensor, keys: int) -> BlockMask:
    """What `dense_mask` tells, for fused attention."""

    def sees(line: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return (first[line, row] <= key) & (key <= last[line, row])

    return create_block_mask(sees, first.shape[0], None, first.shape[1], keys, device=first.device)


def fast_mask(first: Tensor, last: Tensor, keys: int) -> Visible:
    """What `dense_mask` tells, in the form in which compiled attention is fastest: on a CPU in tiles, where no row looks ahead."""
    if first.device.type == "cuda":
        return block_mask(first, last, keys)
    mask = dense_mask(first, last, keys)
    tiles = first.shape[1] == keys and keys % _TILES == 0 and bool((last <= torch.arange(keys)).all())
    return CausalMask(mask) if tiles else mask


def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Visible) -> Tensor:
    """Attention of queries `[B, H, R, D]` over keys and values `[B, H, K, D]`; all but a dense mask are for compiled layers."""
    if isinstance(visible, Tensor):
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    if isinstance(visible, CausalMask):
        return _attend_in_tiles(queries.to(values.dtype), keys.to(values.dtype), values, visible.mask)
    # Autocast narrows what goes into the function above by itself, but not what goes into this one.
    mixed = flex_attention(queries.to(values.dtype), keys.to(values.dtype), values, block_mask=visible)
    assert isinstance(mixed, Tensor)
    return mixed


def _attend_in_tiles(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Some queries at a time, over the keys up to the last of them: where compiled, 2.6 times as fast on a CPU as its fused kernel."""
    rows = queries.shape[2] // _TILES
    mixed: list[Tensor] = []
    for start in range(0, queries.shape[2], rows):
        end = start + rows
        scores = (queries[:, :, start:end] * queries.shape[-1] ** -0.5) @ keys[:, :, :end].transpose(-1, -2)
        shares = torch.where(mask[:, :, start:end, :end], scores.float(), -1e30).softmax(-1)
        mixed.append(shares.to(values.dtype) @ values[:, :, :end])
    return torch.cat(mixed, 2)
