"""XLNet's tokenizer as a `tokenizer.json` that Lacuna reads: Unigram pieces, a word's space marked at its beginning.

Text is normalised and cut as a `tokenizer.json` says, or as `transformers.XLNetTokenizer` does it: at white space, whose kind and amount
is lost but for one space before a word. The paper's checkpoint for code (Guo & Ermon, arXiv 2504.20456) keeps more of it: a line break,
a tab and each two spaces are written as special tokens that code doesn't need otherwise. With `code_whitespace` those entries of the
vocabulary are the white space itself, so that no text has to be rewritten before and after. Special tokens that stand for nothing in a
text can't be had by typing their names: their entries begin with a space, and no word does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import Unigram

from engine.errors import LacunaError
from export.sentencepiece_model import load_sentencepiece

PIECES, TOKENIZER_JSON = "spiece.model", "tokenizer.json"
SPACE_MARK = "▁"
_SPECIAL = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>")
# The paper's mapping. It also has "<pad>" for three spaces, which never comes about: spaces are replaced by twos before.
CODE_WHITESPACE = {"<cls>": "\n", "<sep>": "\t", "<unk>": "  "}
_CHANGES = (
    "two backquotes or apostrophes in a row become a quotation mark, accents and compatibility forms of characters their plain form, "
    "and characters that the vocabulary lacks {unknown}; {spaces}"
)
_CODE_CHANGES = _CHANGES.format(
    unknown="two spaces",
    spaces="of an odd number of spaces the last is lost, but for a single one before a word; carriage returns are lost",
)
_PLAIN_CHANGES = _CHANGES.format(
    unknown="an unknown mark", spaces="any white space becomes one space, so that line breaks and indentation are lost"
)


@dataclass(frozen=True)
class XlnetTokenizer:
    """`json` for the engine; `size` of the vocabulary; `barred` ids that stand in no text; `changes`: what does not come back unchanged."""

    json: str
    size: int
    barred: tuple[int, ...]
    changes: str


@dataclass(frozen=True)
class _Read:
    """Pieces and scores, the id of the unknown one, further tokens and whether they are special, how text is normalised and cut."""

    pieces: tuple[tuple[str, float], ...]
    unknown: int
    added: tuple[tuple[AddedToken, bool], ...]
    normaliser: Any
    words: Any


def tokenizer_file(place: Path) -> Path:
    """The tokenizer in a folder, or `place` itself if it is a file. Raises LacunaError when there is none."""
    if place.is_file():
        return place
    for name in (TOKENIZER_JSON, PIECES):
        if (place / name).is_file():
            return place / name
    raise LacunaError(
        f"{place} has neither {TOKENIZER_JSON} nor {PIECES}; name the tokenizer of the model it was trained from with --tokenizer"
    )


def load_tokenizer(path: Path, vocabulary: int, *, code_whitespace: bool) -> XlnetTokenizer:
    """Raises LacunaError for a file that is no Unigram tokenizer, or one of another size than `vocabulary`."""
    read = _from_json(path) if path.suffix == ".json" else _from_pieces(path)
    names = [piece for piece, _ in read.pieces]
    kept = CODE_WHITESPACE if code_whitespace else {}
    for name in kept:
        if name not in names:
            raise LacunaError(f"{path} has no {name}, which code's white space would be written with; export without --code-whitespace")
    special = {*_SPECIAL, *(token.content for token, is_special in read.added if is_special)}
    renamed = [(kept.get(piece) or (f" {piece}" if piece in special else piece), score) for piece, score in read.pieces]
    tokenizer = Tokenizer(Unigram(renamed, unk_id=read.unknown, byte_fallback=False))
    tokenizer.normalizer = read.normaliser
    tokenizer.pre_tokenizer = read.words
    tokenizer.add_tokens([AddedToken(space, normalized=False, special=False) for space in kept.values()])
    # Of these the special ones are not found in a text as long as `encode_special_tokens` is set, which the engine does.
    further = [(token, is_special) for token, is_special in read.added if token.content not in names]
    tokenizer.add_tokens([token for token, _ in further])
    size = tokenizer.get_vocab_size()
    if size != vocabulary:
        raise LacunaError(f"{path} has {size} entries, but the model's vocabulary is {vocabulary}; it belongs to another model")
    hidden = [index for index, name in enumerate(names) if name in special - kept.keys()]
    hidden += [len(names) + index for index, (_, is_special) in enumerate(further) if is_special]
    return XlnetTokenizer(tokenizer.to_str(), size, tuple(hidden), _CODE_CHANGES if code_whitespace else _PLAIN_CHANGES)


def _from_pieces(path: Path) -> _Read:
    model = load_sentencepiece(path)
    names = [piece for piece, _ in model.pieces]
    if "<unk>" not in names:
        raise LacunaError(f"{path} has no <unk>, so it is no XLNet tokenizer")
    steps: list[Any] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(), normalizers.StripAccents()]
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    words = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=SPACE_MARK, prepend_scheme="always")]
    return _Read(model.pieces, names.index("<unk>"), (), normalizers.Sequence(steps), pre_tokenizers.Sequence(words))


def _from_json(path: Path) -> _Read:
    try:
        text = path.read_text(encoding="utf-8")
        tokenizer = Tokenizer.from_str(text)
    except OSError as error:
        raise LacunaError(f"{path} can't be read ({error.strerror})") from None
    except Exception as error:  # tokenizers raises bare Exception
        raise LacunaError(f"{path} is not a tokenizer ({str(error)[:120].rstrip('.')}); download it again") from None
    raw = json.loads(text)
    model = raw["model"]
    if model.get("type") != "Unigram" or not isinstance(model.get("unk_id"), int):
        raise LacunaError(f"{path} is no Unigram tokenizer with an unknown piece, which XLNet's are")
    if SPACE_MARK not in json.dumps(raw.get("pre_tokenizer"), ensure_ascii=False):
        raise LacunaError(f"{path} doesn't mark the spaces of words with {SPACE_MARK}, as XLNet's tokenizers do")
    added = tuple((token, token.special) for _, token in sorted(tokenizer.get_added_tokens_decoder().items()))
    pieces = tuple((piece, score) for piece, score in model["vocab"])
    return _Read(pieces, model["unk_id"], added, tokenizer.normalizer, tokenizer.pre_tokenizer)
