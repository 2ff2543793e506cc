"""Text to tokens and back: by a byte-level BPE, which every text survives unchanged; `engine.sentencepiece_text` has the other kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from engine.errors import ModelError
from engine.manifest import Manifest, checked_file


class Text:
    """The tokenizer of a model folder. Raises ModelError when it is damaged or of another size than the manifest says."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        path = checked_file(folder, manifest.tokenizer)
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelError(f"{path} is not a tokenizer ({str(error)[:120].rstrip('.')}); export the model again") from None
        size = self._tokenizer.get_vocab_size()
        if size != manifest.vocabulary:
            raise ModelError(f"{path} has {size} entries, but its manifest says {manifest.vocabulary}; export the model again")
        # In a file "<eoh>" is five characters that somebody typed, not an end mark.
        self._tokenizer.encode_special_tokens = True
        self._eoh = manifest.special_ids.eoh

    def encode(self, text: str, *, going_on: bool = False) -> list[int]:
        """Token ids of one piece of text; never a special one. A lone surrogate, which no UTF-8 file holds, becomes '?'.

        `going_on`: its first word is the rest of one that began before it, where the tokens of words tell that.
        """
        return self._ids(self._tokenizer, text)

    @staticmethod
    def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
        return list(tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8"), add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int], before: str = "") -> str:
        """The text of some tokens behind the text `before`, end marks left out; bytes that form no character become U+FFFD."""
        ids = [token for token in tokens if token != self._eoh]
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))


def goes_on(before: str) -> bool:
    """Whether a word right behind this text belongs to a word that it ends with."""
    return bool(before) and not before[-1].isspace()
