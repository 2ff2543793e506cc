"""Tokens that steer a model must not leak into a person's code."""

from __future__ import annotations

import re

from lsp_server.candidate import Candidate
from lsp_server.postprocess.surroundings import Surroundings

# Our own, and those that models at large were trained with and that stand in much code about them. Some are names as well: right
# after a word they are arguments of a generic type.
_SPECIAL = re.compile(
    r"<[|｜][\w▁-]+[|｜]>"
    r"|</?(?:bos|sof|eos|eof|eoh|eot|eom|pad|unk|fim[_-]\w+|extra_id_\d+|file_sep|repo_name|reponame|gh_stars)>"
    r"|(?<!\w)</?(?:s|mask|sep|cls|hole|SUF|MID|EOT)>"
)


def check(candidate: Candidate, surroundings: Surroundings) -> str | None:
    """Refuse a fill with the name of a special token, unless the buffer itself speaks of that token."""
    for fill in candidate.fills:
        for match in _SPECIAL.finditer(fill.text):
            if match.group().encode("utf-8") not in surroundings.buffer.source:
                return f"it holds the special token {match.group()}"
    return None
