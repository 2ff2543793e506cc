"""What other open files give to the context of one."""

from __future__ import annotations

import math
import re

from lsprotocol import types

from lsp_server.documents import Document, Documents
from tests.lsp_server.language_client import Editor, EditorDocument, editor

HELPERS = "def frobnicate(zebra_crossing, alpaca_wool):\n    return zebra_crossing\n"
TEXT = "from helpers import frobnicate\n\nx = frobnicate(zebra_crossing=1, alpaca_wool=___)\n"


def opened(documents: Documents, uri: str, text: str = "x = 1\n", language: str = "python") -> Document:
    document = Document.opened(types.TextDocumentItem(uri, language, 1, text))
    documents.put(document)
    return document


def names(documents: Documents, document: Document) -> list[str]:
    return [other.buffer.name for other in documents.others_of(document)]


def test_the_most_recently_used_comes_first() -> None:
    documents = Documents()
    a, b, c = (opened(documents, f"file:///{name}.py") for name in "abc")
    assert names(documents, a) == [c.uri, b.uri]
    # A request in `a` was a use of it, and so is a change of `b`.
    assert names(documents, c) == [a.uri, b.uri]
    documents.put(b.changed(2, [types.TextDocumentContentChangeWholeDocument("y = 2\n")], "utf-16"))
    assert names(documents, c) == [b.uri, a.uri]
    documents.close(b.uri)
    assert names(documents, c) == [a.uri]


def test_asking_for_an_older_version_does_not_bring_it_back() -> None:
    documents = Documents()
    old = opened(documents, "file:///a.py")
    new = old.changed(2, [types.TextDocumentContentChangeWholeDocument("y = 2\n")], "utf-16")
    documents.put(new)
    assert documents.others_of(old) == ()
    assert documents.get(old.uri) is new


def test_only_files_of_the_language_that_are_not_huge_and_not_too_many() -> None:
    documents = Documents()
    here = opened(documents, "file:///here.py")
    opened(documents, "file:///large.py", "x = 1\n" * 200_000)
    opened(documents, "file:///a.txt", language="plaintext")
    opened(documents, "git:/here.py?ref=HEAD")
    assert names(documents, here) == []
    plain = opened(documents, "file:///b.txt", language="plaintext")
    assert names(documents, plain) == []
    for number in range(30):
        opened(documents, f"file:///{number}.py")
    assert names(documents, here) == [f"file:///{number}.py" for number in range(29, 21, -1)]


def test_the_index_of_a_version_is_made_once() -> None:
    documents = Documents()
    here, there = opened(documents, "file:///here.py"), opened(documents, "file:///there.py", HELPERS)
    (first,) = documents.others_of(here)
    assert "definitions" not in vars(first), "no index is made before a context asks for it"
    index = first.definitions
    (again,) = documents.others_of(here)
    assert again is first and again.definitions is index
    documents.put(there.changed(2, [types.TextDocumentContentChangeWholeDocument("y = 2\n")], "utf-16"))
    (newer,) = documents.others_of(here)
    assert newer is not first and list(newer.definitions) == [b"y"]


async def bits(ed: Editor, document: EditorDocument) -> float:
    hover = await ed.hover(document, document.text.index("zebra"))
    assert hover is not None and isinstance(hover.contents, types.MarkupContent)
    found = re.search(r"([\d.]+) bits per token", hover.contents.value)
    assert found is not None
    return float(found.group(1))


async def test_hover_knows_what_is_open() -> None:
    async with editor("--stdio") as ed:
        document = ed.open(TEXT)
        alone = await bits(ed, document)
        ed.open("nothing of use", "file:///project/notes.txt", "plaintext")
        assert await bits(ed, document) == alone
        helpers = ed.open(HELPERS, "file:///project/helpers.py")
        assert await bits(ed, document) < alone / 2
        ed.edit(helpers, 0, len(helpers.text), "")
        assert await bits(ed, document) == alone
        ed.edit(helpers, 0, 0, HELPERS.replace("\n", "\r\n"))
        assert await bits(ed, document) < alone / 2
        ed.close(helpers)
        assert await bits(ed, document) == alone


async def prompt_rows(ed: Editor, kind: str) -> int:
    """Rows of the prompt of the newest request of a kind."""
    found = (
        re.search(r"(\d+) prompt rows run, (\d+) reused", params.message)
        for method, params in ed.heard
        if method == types.WINDOW_LOG_MESSAGE and params.message.startswith(kind)
    )
    *_, newest = (match for match in found if match is not None)
    return sum(map(int, newest.groups()))


async def test_fills_and_proposals_know_what_is_open() -> None:
    async with editor("--stdio", settings={"temperature": 0.6}) as ed:
        document = ed.open(TEXT)
        rows: list[tuple[int, int]] = []
        for _ in range(2):
            await ed.resolve(await ed.action(document, "Fill this hole", document.text.index("___")))
            # On a line that has the name, before the hole: a marker's own place is no place for proposals.
            position = types.Position(2, len("x = frobnicate("))
            context = types.InlineCompletionContext(types.InlineCompletionTriggerKind.Invoked)
            identifier = types.TextDocumentIdentifier(document.uri)
            await ed.client.text_document_inline_completion_async(types.InlineCompletionParams(context, identifier, position))
            rows.append((await prompt_rows(ed, "Filling the hole"), await prompt_rows(ed, "inline")))
            ed.open(HELPERS, "file:///project/helpers.py")
        (fill_alone, inline_alone), (fill_with, inline_with) = rows
        assert fill_with > fill_alone and inline_with > inline_alone


async def test_surprise_maps_know_what_is_open() -> None:
    async with editor("--stdio") as ed:
        document = ed.open(TEXT)

        async def surprise() -> float:
            params = {"textDocument": {"uri": document.uri}}
            answer = await ed.client.protocol.send_request_async("lacuna/surpriseMap", params)
            return math.fsum(token.bits for token in answer.tokens)

        alone = await surprise()
        helpers = ed.open(HELPERS, "file:///project/helpers.py")
        assert await surprise() < alone
        # The version of the document is the same all the time.
        ed.close(helpers)
        assert await surprise() == alone
