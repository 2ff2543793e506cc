"""Likelihoods in words and small pictures, for hovers and hints."""

from __future__ import annotations

import re

from lsp_server.buffer import Buffer
from lsp_server.scoring import ScoredToken

_LONGEST = 60
_BAR_WIDTH = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# What steers a terminal or can't be seen must not hide in what is shown.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_VISIBLE = str.maketrans({"\n": "⏎", "\r": "␍", "\t": "⇥", " ": "␣"})


def code(text: str, *, markdown: bool) -> str:
    """`text` on one line as code, safe for any back quotes inside."""
    line = _cut(_CONTROL.sub("\ufffd", " ".join(text.split()) or visible(text)))
    if not markdown:
        return f"“{line}”"
    quotes = "`" * (1 + _longest_quotes(line))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{quotes}{pad}{line}{pad}{quotes}"


def code_block(lines: list[str], *, markdown: bool) -> str:
    """Lines that keep their columns."""
    if not markdown:
        return "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(_longest_quotes, lines)))
    return "\n".join([f"{fence}text", *lines, fence])


def visible(text: str) -> str:
    """A token's text with signs for white space at its ends and whatever can't be seen; what is nothing is the end of the text."""
    body = text.strip()
    if not body:
        return text.translate(_VISIBLE) or "(the end)"
    before, _, after = text.partition(body)
    # The blank before a word is most tokens' first character, and tells nothing.
    before = before.removeprefix(" ") if before == " " else before.translate(_VISIBLE)
    return _cut(before + _CONTROL.sub("\ufffd", body.replace("\n", "⏎")) + after.translate(_VISIBLE))


def surface(buffer: Buffer, token: ScoredToken) -> str:
    """The token's text. One may end inside a character, as tokens are made of bytes: it then has replacement characters."""
    return buffer.source[token.start : token.end].decode("utf-8", errors="replace")


def percent(probability: float) -> str:
    return f"{100 * probability:.3g} %" if probability >= 0.001 else "< 0.1 %"


def bar(probability: float, *, blocks: bool) -> str:
    """A probability as a bar of ten characters: of block elements, or of plain ones."""
    if not blocks:
        full = round(probability * _BAR_WIDTH)
        return "#" * full + "." * (_BAR_WIDTH - full)
    full, eighths = divmod(round(probability * _BAR_WIDTH * 8), 8)
    return ("█" * full + _EIGHTHS[eighths] * (full < _BAR_WIDTH)).ljust(_BAR_WIDTH)


def wanted(token: ScoredToken, *, markdown: bool, most: int = 3) -> str:
    """What the model held likelier, or likeliest, with probabilities."""
    return ", ".join(f"{code(visible(text), markdown=markdown)} {percent(chance)}" for text, chance in token.alternatives[:most])


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _longest_quotes(line: str) -> int:
    return max((len(match) for match in re.findall("`+", line)), default=0)
