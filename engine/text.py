"""Text to tokens and back: the model's byte-level BPE, which every text survives unchanged."""

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

    def encode(self, text: str) -> list[int]:
        """Token ids of one piece of text; never a special one. A lone surrogate, which no UTF-8 file holds, becomes '?'."""
        return list(self._tokenizer.encode(text.encode("utf-8", "replace").decode("utf-8")).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens, end marks left out; bytes that form no character become U+FFFD."""
        ids = [token for token in tokens if token != self._eoh]
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))
