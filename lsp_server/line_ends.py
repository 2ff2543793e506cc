"""Line ends: the model knows \\n alone, a buffer keeps its own."""

from __future__ import annotations

import re

_OTHERS = re.compile("\r\n|\r")


def to_model(text: str) -> str:
    """`text` with \\n for every line end."""
    return _OTHERS.sub("\n", text) if "\r" in text else text


def to_buffer(text: str, newline: str) -> str:
    """`text`, whose line ends are all \\n, with `newline` for each."""
    return text if newline == "\n" else text.replace("\n", newline)
