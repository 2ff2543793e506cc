"""Reads a sentencepiece model file (`spiece.model`), which is a protocol buffer, as far as a Unigram tokenizer needs it.

The format: sentencepiece's `sentencepiece_model.proto`; protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import LacunaError

_UNIGRAM = 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True)
class SentencePieceModel:
    """`pieces` with their scores (natural logs), and the rules by which characters are normalised (empty: none)."""

    pieces: tuple[tuple[str, float], ...]
    charsmap: bytes


def load_sentencepiece(path: Path) -> SentencePieceModel:
    """Raises LacunaError for a file that is no sentencepiece model, or one that isn't a Unigram model."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LacunaError(f"{path} can't be read ({error.strerror})") from None
    pieces: list[tuple[str, float]] = []
    charsmap, kind = b"", _UNIGRAM
    try:
        for number, value in _fields(data):
            if number == 1:
                pieces.append(_piece(value))
            elif number == 2:
                kind = dict(_fields(value)).get(3, _UNIGRAM)
            elif number == 3:
                charsmap = dict(_fields(value)).get(2, b"")
    except (ValueError, IndexError, TypeError, struct.error):
        pieces = []
    if not pieces:
        raise LacunaError(f"{path} is not a sentencepiece model; download it again")
    if kind != _UNIGRAM:
        raise LacunaError(f"{path} is no Unigram model, which XLNet's tokenizers are")
    return SentencePieceModel(tuple(pieces), charsmap)


def _piece(data: bytes) -> tuple[str, float]:
    fields = dict(_fields(data))
    (score,) = struct.unpack("<f", fields.get(2, bytes(4)))
    return fields[1].decode("utf-8"), float(score)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields: integers, or the bytes of all else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(kind)
        if at + size > len(data):
            raise ValueError(size)
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError(shift)
