"""Decoding methods, one module each, behind the `Decoder` interface; all draw from the same exact joint."""

from __future__ import annotations

from engine.decoders.assd import assd
from engine.decoders.assd_ngram import assd_ngram
from engine.decoders.base import Decoder
from engine.decoders.fused import fused
from engine.decoders.sequential import sequential

DECODERS: dict[str, Decoder] = {"fused": fused, "assd": assd, "assd-ngram": assd_ngram, "sequential": sequential}
