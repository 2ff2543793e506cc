"""Decoding methods, one module each, behind the `Decoder` interface; all draw from the same exact joint."""

from __future__ import annotations

from engine.decoders.assd import assd
from engine.decoders.assd_ngram import assd_ngram
from engine.decoders.base import PUBLISHED_WIDTH, Decoder
from engine.decoders.fused import fused
from engine.decoders.sequential import sequential

DECODERS: dict[str, Decoder] = {"fused": fused, "assd": assd, "assd-ngram": assd_ngram, "sequential": sequential}


def slots_of_prompt(method: str, draft: int | None) -> int:
    """How many slots a method asks for in the prompt's pass: the published algorithm drafts from it, all others read the first."""
    return (draft or PUBLISHED_WIDTH) if method == "assd" else 1
