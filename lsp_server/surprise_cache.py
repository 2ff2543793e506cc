"""What is known of chunks' surprises, so that nothing is scored twice.

An answer belongs to its question: the chunk's text and all that the model was shown around it. An edit far enough away changes
neither, and for the same versions of all documents not even the question has to be put together again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import ReferenceType, ref

from engine.infiller import Infiller
from engine.results import TokenScore
from lsp_server.context import OtherFile
from lsp_server.documents import Document
from lsp_server.scoring import ScoredToken
from lsp_server.statements import Span
from lsp_server.surprise_map import chunk_tokens, question_of

# Somewhat more than the largest map has; each store then takes 30 MB at most.
MOST_KEPT_TOKENS = 50_000

T = TypeVar("T")


class _Latest(Generic[T]):
    """Values that were put in or asked for last, of at most `most` tokens together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self.tokens = 0

    def get(self, key: Hashable) -> T | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: Hashable, value: T, tokens: int) -> None:
        self.tokens += tokens - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = value, tokens
        while self.tokens > self._most:
            self.tokens -= self._kept.popitem(last=False)[1][1]


@dataclass(frozen=True)
class ScoredChunk:
    """The tokens of a chunk, and whether a pass was made for them."""

    tokens: tuple[ScoredToken, ...]
    is_new: bool


@dataclass(frozen=True)
class _Known:
    """The tokens of a chunk of one version of a document, while the same versions of others were open."""

    document: ReferenceType[Document]
    others: tuple[ReferenceType[OtherFile], ...]
    tokens: tuple[ScoredToken, ...]

    def is_of(self, document: Document, others: Sequence[OtherFile]) -> bool:
        """A version's number may come again, when a document is closed and opened, so it is the objects that count."""
        if self.document() is not document or len(self.others) != len(others):
            return False
        return all(known() is other for known, other in zip(self.others, others, strict=True))


class SurpriseCache:
    """Scored chunks, by their question and by the version of the document. Belongs to the model's thread."""

    def __init__(self, most_tokens: int = MOST_KEPT_TOKENS) -> None:
        self._most = most_tokens
        self._forget()

    def _forget(self) -> None:
        self._answers: _Latest[tuple[TokenScore, ...]] = _Latest(self._most)
        self._versions: _Latest[_Known] = _Latest(self._most)
        self._infiller: ReferenceType[Infiller] | None = None

    def score(self, document: Document, chunk: Span, infiller: Infiller, others: Sequence[OtherFile] = ()) -> ScoredChunk:
        """One chunk, by one pass or by none. Definitions of `others` are given, too."""
        if self._infiller is None or self._infiller() is not infiller:
            self._forget()
            self._infiller = ref(infiller)
        key = document.uri, document.version, chunk
        known = self._versions.get(key)
        if known is not None and known.is_of(document, others):
            return ScoredChunk(known.tokens, is_new=False)
        question = question_of(document.buffer, document.tree, chunk, infiller, others)
        known_answer = self._answers.get(question)
        answer = known_answer or question.ask(infiller)
        self._answers.put(question, answer, len(answer))
        tokens = chunk_tokens(document.buffer, chunk, answer)
        self._versions.put(key, _Known(ref(document), tuple(map(ref, others)), tokens), len(tokens))
        return ScoredChunk(tokens, is_new=known_answer is None)
