"""Text to tokens and back where words carry the space before them (sentencepiece): not every text comes back unchanged.

A piece of text beside a hole is cut out of a longer one, so two questions arise that a whole text doesn't pose. *Does it begin with a
word of its own, or go on with the one before?* A token such as `▁return` is both " return" in the middle of a line and "return" at its
beginning, as white space other than a single space is a token of its own or lost. So a space mark is a space only where what stands
before doesn't end in white space already.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import Metaspace

from engine.manifest import Manifest
from engine.text import Text, goes_on

_MARK = "▁"
_WORD = re.compile(r"\S*")


class SentencePieceText(Text):
    """Raises ModelError as `Text` does."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        super().__init__(folder, manifest)
        self._going_on = Tokenizer.from_str(self._tokenizer.to_str())
        self._going_on.encode_special_tokens = True
        self._going_on.pre_tokenizer = Metaspace(replacement=_MARK, prepend_scheme="never")
        self._surfaces = [self._tokenizer.id_to_token(token) or "" for token in range(manifest.vocabulary)]

    def encode(self, text: str, *, going_on: bool = False) -> list[int]:
        begun = 0
        head: list[int] = []
        if going_on:
            match = _WORD.match(text)
            begun = match.end() if match else 0
            head = self._ids(self._going_on, text[:begun])
        return [*head, *self._ids(self._tokenizer, text[begun:])]

    def decode(self, tokens: Sequence[int], before: str = "") -> str:
        text = before
        for token in tokens:
            surface = self._surfaces[token]
            if surface.startswith(_MARK) and not goes_on(text):
                surface = surface[1:]
            text += surface.replace(_MARK, " ")
        return text[len(before) :]
