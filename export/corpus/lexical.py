"""Texts as words and signs, for comparing them whatever their white space."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\w+|[^\w\s]")


def lexical_tokens(text: str) -> list[str]:
    """Every word (letters, digits, underscores) and every other sign that is not white space, comments and strings included."""
    return _TOKEN.findall(text)
