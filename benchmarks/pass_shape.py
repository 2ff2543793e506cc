"""What a pass takes in, and what it must read and compute: its rows, its bytes and its operations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model import Rows
from export.model import ModelConfig
from export.quantise import BLOCK

_WEIGHT_BYTES = {"float32": 4.0, "float16": 2.0, "int8": 1 + 4 / BLOCK}  # a block of 8-bit weights has a float32 scale
_CACHE_BYTES = {"float32": 4, "float16": 2, "int8": 2}


@dataclass(frozen=True)
class Shape:
    """A pass of `content` and `slots` rows over `past` cached rows."""

    name: str
    content: int
    slots: int
    past: int

    def rows(self, vocabulary: int, rng: np.random.Generator) -> Rows:
        """Tokens drawn at random (times do not depend on them); slot rows ask one position further each, from the last rows."""
        slots = np.arange(self.slots)
        sources = np.minimum(slots, self.content - 1) if self.slots > 1 else np.array([self.content - 1])
        return Rows(
            ids=rng.integers(5, vocabulary, (1, self.content)),
            positions=self.past + np.arange(self.content)[None],
            counts=np.array([self.content]),
            sources=sources[None],
            targets=self.past + self.content + slots[None],
            sees=sources[None] + 1,
        )


@dataclass(frozen=True)
class Work:
    """What a pass must read and compute: bytes of weights and of kept rows, operations of products with weights and of
    attention's (always float32)."""

    bytes: float
    products: float
    attention: float

    def milliseconds(self, bytes_per_s: float, products_per_s: float, attention_per_s: float) -> float:
        """The longer of reading and computing, which can go on at once."""
        return 1000 * max(self.bytes / bytes_per_s, self.products / products_per_s + self.attention / attention_per_s)


def work_of(config: ModelConfig, precision: str, content: int, slots: int, past: int) -> Work:
    """The work of a pass for one context of `past` kept rows."""
    square, feed_forward = config.width**2, 3 * config.width * config.hidden
    block = 4 * square + feed_forward
    content_weights = config.layers * block + 2 * square  # the slot head's keys and values are of content rows
    slot_weights = 2 * square + feed_forward + config.vocabulary * config.width
    attended = 2 * 2 * config.width * (past + content)  # scores, and the mixture of values
    return Work(
        bytes=(content_weights + slot_weights) * _WEIGHT_BYTES[precision]
        + 2 * (config.layers + 1) * past * config.width * _CACHE_BYTES[precision],
        products=2.0 * (content * content_weights + slots * slot_weights),
        attention=float(attended * (config.layers * content + slots)),
    )
