"""Hints at the least expected code, as diagnostics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lsprotocol import types

from lsp_server.buffer import Buffer
from lsp_server.documents import Document
from lsp_server.scoring import ScoredToken
from lsp_server.surprise_hints import MOST_HINTS, surprising_nodes
from lsp_server.syntax import parse
from tests.lsp_server.language_client import Editor, EditorDocument, capabilities, editor, index_of

ODD = '''"""Zebra quagmire; 😀😀."""


def total(items):
    result = 0  # zebra quagmire
    for item in items:
        result += zebra.quagmire(___)
    return result
'''.replace("\n", "\r\n")
ON = {"surpriseHints": True, "surpriseHintBits": 6}


def token(start: int, end: int, bits: float) -> ScoredToken:
    return ScoredToken(start, end, -bits * 0.6931471805599453, 7, (("x", 0.5),))


def document_of(text: str, language: str = "python") -> Document:
    source = text.encode()
    return Document("file:///t", 1, language, Buffer(source, "t"), parse(source, language))


async def hints(ed: Editor, document: EditorDocument, version: int) -> list[types.Diagnostic]:
    """The diagnostics that were published for a version of the document."""

    def fits(params: types.PublishDiagnosticsParams) -> bool:
        return params.uri == document.uri and params.version == version

    return list((await ed.until(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, fits)).diagnostics)


def published(ed: Editor) -> list[types.PublishDiagnosticsParams]:
    return [params for method, params in ed.heard if method == types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS]


def change(ed: Editor, settings: Any) -> None:
    ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))


def test_the_smallest_nodes_of_code_are_named_once_and_the_rest_is_left_out() -> None:
    text = "x = under_score(1)  # word\ny = 'text' + ___\n"
    document = document_of(text)
    at = text.index
    tokens = [
        token(at("under"), at("_score"), 9.0),
        token(at("_score"), at("(1"), 12.0),
        token(at("(1"), at(")"), 3.0),
        token(at(" # word"), at("\ny"), 30.0),
        token(at("\ny"), at("y"), 30.0),
        token(at("text"), at("' +"), 30.0),
        token(at(" ___"), at("\n", at("___")), 30.0),
    ]
    (found,) = surprising_nodes(document, tokens, 8.0, "___")
    assert text[found.start : found.end] == "under_score" and found.token is tokens[1]
    assert surprising_nodes(document, tokens, 12.5, "___") == ()


def test_there_are_never_too_many() -> None:
    text = "".join(f"name_{number} = 1\n" for number in range(100, 200))
    tokens = [token(start, start + 8, 8 + start / 100) for start in range(0, len(text), 13)]
    found = surprising_nodes(document_of(text), tokens, 8.0, "___")
    assert [node.token for node in found] == tokens[-MOST_HINTS:]


def test_plain_text_has_words() -> None:
    text = "some 😀 words here"
    start = text.encode().index(b"words")
    (found,) = surprising_nodes(document_of(text, "klingon"), [token(start - 1, start + 5, 9.0)], 8.0, "___")
    assert text.encode()[found.start : found.end] == b"words"


@pytest.mark.parametrize("unit", ["utf-8", "utf-16", "utf-32"])
async def test_they_come_after_opening_and_go_with_closing(unit: str) -> None:
    async with editor(abilities=capabilities(encodings=[unit]), settings=ON) as ed:
        document = ed.open(ODD)
        found = await hints(ed, document, 1)
        texts = [ODD[index_of(ODD, one.range.start, unit) : index_of(ODD, one.range.end, unit)] for one in found]
        assert 0 < len(found) <= MOST_HINTS
        assert "zebra" in texts and "___" not in texts and len(set(zip(texts, map(str, found), strict=True))) == len(texts)
        for one in found:
            assert (one.severity, one.source) == (types.DiagnosticSeverity.Hint, "lacuna")
            assert "bits, rank" in one.message and "; expected “" in one.message
        ed.close(document)
        await ed.until(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda params: params.uri == document.uri and not params.diagnostics)


async def test_they_follow_edits_once_these_have_settled() -> None:
    async with editor(settings=ON) as ed:
        document = ed.open(ODD)
        await hints(ed, document, 1)
        for letter in "abc":
            ed.edit(document, len(document.text), len(document.text), letter)
        found = await hints(ed, document, 4)
        assert {params.version for params in published(ed)} == {1, 4}
        places = [tuple(index_of(document.text, place, ed.unit) for place in (one.range.start, one.range.end)) for one in found]
        assert "zebra" in [document.text[start:end] for start, end in places]


async def test_they_are_off_unless_wanted_and_go_when_turned_off() -> None:
    async with editor() as ed:
        document = ed.open(ODD)
        assert await ed.hover(document, ODD.index("total")) is not None
        await asyncio.sleep(1.5)
        assert published(ed) == []
        change(ed, ON)
        assert await hints(ed, document, 1)
        ed.heard = [(method, params) for method, params in ed.heard if method != types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS]
        change(ed, {"surpriseHints": False})
        assert await hints(ed, document, 1) == []


async def test_a_file_too_large_gets_none_and_the_log_says_why() -> None:
    async with editor(settings=ON) as ed:
        ed.open("x = 1\n" * 50_000)
        said = await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: params.message.startswith("surprise hints: "))
        assert "are too many to map" in said.message and published(ed) == []
