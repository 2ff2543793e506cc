"""Which rows see which, from two numbers a row: as a dense mask, or as a block mask for a GPU's fused kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

Visible = Tensor | BlockMask


def visible_rows(first: Tensor, last: Tensor, keys: int, blocks: bool = False) -> Visible:
    """Row i of `[B, R]` sees the `keys` rows from `first[i]` to `last[i]`: bool `[B, 1, R, keys]`, or the same as a block mask."""
    if not blocks:
        index = torch.arange(keys, device=first.device)
        return ((index >= first[..., None]) & (index <= last[..., None]))[:, None]

    def sees(line: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return (first[line, row] <= key) & (key <= last[line, row])

    return create_block_mask(sees, first.shape[0], None, first.shape[1], keys, device=first.device)


def attend(queries: Tensor, keys: Tensor, values: Tensor, visible: Visible) -> Tensor:
    """Attention of queries `[B, H, R, D]` over keys and values `[B, H, K, D]`; fast with a block mask where it is compiled alone."""
    if isinstance(visible, Tensor):
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    # Autocast narrows what goes into the function above by itself, but not what goes into this one.
    mixed = flex_attention(queries.to(values.dtype), keys.to(values.dtype), values, block_mask=visible)
    assert isinstance(mixed, Tensor)
    return mixed
