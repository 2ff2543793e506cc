"""Trains the byte-level BPE tokenizer: no normaliser, runs of white space as tokens, every text round-trips."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer

from engine.sequence import SpecialIds

SPECIAL_TOKENS = ("<pad>", "<bos>", "<sof>", "<eof>", "<eoh>")
SPECIAL_IDS = SpecialIds(pad=0, bos=1, sof=2, eof=3, eoh=4)

# A line break owns the indentation after it; a space belongs to the word or operator that it precedes; digits stand alone.
_PIECES = r"[\r\n]+[ \t]*| ?\p{L}+| ?_+\p{L}*|\p{N}| ?[^\s\p{L}\p{N}_]+| +|\t+|\s"


def train_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """A tokenizer of `size` entries, `SPECIAL_TOKENS` first. Its text input never yields a special token."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Sequence([Split(Regex(_PIECES), behavior="isolated"), ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=size, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    # In a file "<eoh>" is five characters that somebody typed, not an end mark.
    tokenizer.encode_special_tokens = True
    return tokenizer
