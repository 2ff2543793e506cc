"""Surprise maps: how a text is cut, what the scores are, and what is kept of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.errors import Cancelled, LacunaError
from engine.infiller import Infiller
from engine.results import Progress
from lsp_server import documents, surprise_map
from lsp_server.buffer import Buffer
from lsp_server.documents import Document
from lsp_server.scoring import score_range
from lsp_server.surprise_cache import SurpriseCache
from lsp_server.surprise_map import SurpriseMap, chunks
from lsp_server.syntax import parse
from tests.lsp_server.narrowed import Narrowed

OWN = Path(documents.__file__).read_text(encoding="utf-8")
ODD = '''import os\t# é😀


def mood(tags):
\t"""Says 😀😀."""
\treturn {tag: "😀é" for tag in tags}


class Pair:
    left = 1

    right = [
        1,
        2,
    ]
'''


def map_of(infiller: Infiller, text: str, language: str = "python") -> SurpriseMap:
    buffer = Buffer(text.encode(), "t")
    return surprise_map.surprise_map(buffer, parse(buffer.source, language), 0, len(buffer.source), infiller)


def document_of(text: str, version: int = 1) -> Document:
    buffer = Buffer(text.encode(), "t")
    return Document("file:///t.py", version, "python", buffer, parse(buffer.source, "python"))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "text",
    [OWN, ODD, "x = 1", "\n\n\n", "x = [" + "1234, " * 300 + "]\n", "'" + "😀é" * 300 + "'", "    a\n\n  b\n\nc\n" * 40, " " * 5000 + "x"],
    ids=["own", "odd", "short", "blank", "long line", "emoji", "stairs", "spaces"],
)
def test_chunks_are_the_text_and_none_is_too_long(infiller: Infiller, text: str, newline: str) -> None:
    source = text.replace("\n", newline).encode()
    buffer = Buffer(source, "t")
    cuts = chunks(buffer, parse(source, "python"), 0, len(source), infiller, 64)
    assert b"".join(source[start:end] for start, end in cuts) == source
    for start, end in cuts:
        assert start < end and buffer.settle(start) == start
        assert infiller.count_tokens(source[start:end].decode().replace(newline, "\n")) <= 64


def test_chunks_begin_where_statements_do(infiller: Infiller) -> None:
    buffer = Buffer(ODD.encode(), "t")
    cuts = chunks(buffer, parse(buffer.source, "python"), 0, len(buffer.source), infiller, 20)
    texts = [buffer.source[start:end].decode() for start, end in cuts]
    assert texts[0] == "import os\t# é😀\n\n\n" and "class Pair:\n    left = 1\n\n" in texts
    assert texts[-1].startswith("    right = [") and texts[-1].endswith("]\n"), "a statement of several lines stays whole"


def test_a_range_has_the_chunks_of_the_whole(infiller: Infiller) -> None:
    buffer = Buffer(OWN.encode(), "t")
    tree = parse(buffer.source, "python")
    whole = chunks(buffer, tree, 0, len(buffer.source), infiller)
    for start in range(0, len(buffer.source) - 500, 311):
        part = chunks(buffer, tree, start, start + 500, infiller)
        assert part == tuple(span for span in whole if span[0] < start + 500 and start < span[1])
    assert chunks(buffer, tree, 7, 7, infiller) == ()


def test_an_edit_moves_few_borders(infiller: Infiller) -> None:
    def cut(text: str) -> set[str]:
        buffer = Buffer(text.encode(), "t")
        return {text.encode()[start:end].decode() for start, end in chunks(buffer, parse(buffer.source, "python"), 0, 10**5, infiller)}

    before, after = (
        cut(OWN),
        cut(OWN.replace("buffer, tree = self.buffer, self.tree", "buffer, tree = self.buffer, self.tree\n        x = 1")),
    )
    assert len(before) > 8
    assert len(after - before) <= 3


def test_the_largest_file_is_refused_and_a_range_of_it_is_quick(infiller: Infiller) -> None:
    buffer = Buffer(b"x = 1\n" * 1_000_000, "large.py")
    with pytest.raises(LacunaError, match="name a range of at most 131,072"):
        chunks(buffer, None, 0, len(buffer.source), infiller)
    cuts = chunks(buffer, None, 3_000_000, 3_001_000, infiller)
    assert cuts[0][0] <= 3_000_000 and cuts[-1][1] >= 3_001_000 and len(cuts) < 100


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_each_chunk_has_its_own_score_and_nothing_is_left_out(infiller: Infiller, newline: str) -> None:
    text = ODD.replace("\n", newline) * 3
    source, found = text.encode(), map_of(infiller, text)
    buffer, tree = Buffer(source, "t"), parse(text.encode(), "python")
    assert b"".join(source[token.start : token.end] for token in found.tokens) == source
    cuts = chunks(buffer, tree, 0, len(source), infiller)
    assert found.passes == len(cuts) >= 4
    for start, end in cuts:
        own = [token for token in found.tokens if start <= token.start < end]
        alone = score_range(buffer, tree, start, end, infiller)
        assert sum(token.logprob for token in own) == pytest.approx(alone.logprob - alone.tokens[-1].logprob, abs=1e-4)
    assert found.bits_per_token == pytest.approx(-sum(token.logprob for token in found.tokens) / math.log(2) / len(found.tokens), abs=1e-6)


def test_a_chunk_is_given_what_precedes_and_what_follows(infiller: Infiller) -> None:
    text = "colour = 1\n\n\nshade = 2\n\n\ntint = 3\n"
    narrow = Narrowed(infiller, 100)
    assert map_of(narrow, text).passes == 3
    assert [passage.pieces for passage in narrow.passages] == [
        ("", "shade = 2\n\n\ntint = 3\n"),
        ("colour = 1\n\n\n", "tint = 3\n"),
        ("colour = 1\n\n\nshade = 2\n\n\n", ""),
    ]


def test_plain_text_and_unknown_languages_have_maps(infiller: Infiller) -> None:
    assert len(map_of(infiller, "Dear all,\n\n😀 thanks.\n", "klingon").tokens) > 3
    assert map_of(infiller, "").tokens == () and map_of(infiller, "").bits_per_token == 0


def test_a_map_is_cancelled_between_passes(infiller: Infiller) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    buffer, narrow = Buffer(OWN.encode(), "t"), Narrowed(infiller, 200)
    with pytest.raises(Cancelled):
        surprise_map.surprise_map(buffer, None, 0, len(buffer.source), narrow, stop)
    assert len(narrow.passages) == 1


def scored(cache: SurpriseCache, document: Document, infiller: Infiller) -> tuple[int, float]:
    """How many chunks took a pass, and the sum of all bits."""
    cuts = chunks(document.buffer, document.tree, 0, len(document.buffer.source), infiller)
    found = [cache.score(document, chunk, infiller) for chunk in cuts]
    return sum(chunk.is_new for chunk in found), sum(token.bits for chunk in found for token in chunk.tokens)


def test_nothing_is_scored_twice(infiller: Infiller) -> None:
    cache, document = SurpriseCache(), document_of(ODD)
    narrow = Narrowed(infiller, 200)
    passes, bits = scored(cache, document, narrow)
    assert passes == len(narrow.passages) == 3
    assert scored(cache, document, narrow) == (0, bits)
    # Undone edits and other versions with the same text are served too.
    assert scored(cache, document_of(ODD, 2), narrow) == (0, bits)
    assert len(narrow.passages) == passes


def test_an_edit_costs_passes_only_where_it_is_seen(infiller: Infiller) -> None:
    cache, narrow = SurpriseCache(), Narrowed(infiller, 160)
    total, _ = scored(cache, document_of(OWN), narrow)
    edited = document_of(OWN.replace("didOpen", "didClose"), 2)
    passes, bits = scored(cache, edited, narrow)
    assert 0 < passes < total / 2
    assert bits == pytest.approx(scored(SurpriseCache(), edited, narrow)[1], abs=1e-2)


def test_a_version_number_that_comes_again_is_another_document(infiller: Infiller) -> None:
    cache = SurpriseCache()
    scored(cache, document_of("x = 1\n"), infiller)
    other = document_of("y = 2\n")
    passes, bits = scored(cache, other, infiller)
    assert passes == 1 and bits == pytest.approx(scored(SurpriseCache(), other, infiller)[1], abs=1e-3)


def test_another_model_s_scores_are_forgotten(infiller: Infiller) -> None:
    cache, document = SurpriseCache(), document_of(ODD)
    first, second = Narrowed(infiller, 200), Narrowed(infiller, 200)
    assert scored(cache, document, first)[0] == scored(cache, document, second)[0] == len(second.passages) > 0


def test_what_is_kept_is_bounded(infiller: Infiller) -> None:
    cache, document = SurpriseCache(most_tokens=60), document_of(ODD)
    passes, bits = scored(cache, document, infiller)
    again, same = scored(cache, document, infiller)
    assert again == passes and same == pytest.approx(bits, abs=1e-3)
    assert cache._answers.tokens <= 60 and cache._versions.tokens <= 60
