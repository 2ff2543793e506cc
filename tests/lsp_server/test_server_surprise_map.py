"""lacuna/surpriseMap over the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import PATIENCE, Editor, EditorDocument, capabilities, editor, index_of, position_of
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE

TEXT = ONE_HOLE.replace(HOLE, "item.price")
ODD = "mood = '😀é'\r\n\r\n\r\ndef tax(a):\r\n\treturn '😀😀' + a  # 😀\r\n\r\n\r\nlast = mood\r\n"


async def request(ed: Editor, document: EditorDocument | str, **further: Any) -> Any:
    uri = document if isinstance(document, str) else document.uri
    async with asyncio.timeout(PATIENCE):
        return await ed.client.protocol.send_request_async("lacuna/surpriseMap", {"textDocument": {"uri": uri}, **further})


def plain(position: types.Position) -> dict[str, int]:
    return {"line": position.line, "character": position.character}


def text_of(document: EditorDocument, unit: str, token: Any) -> str:
    start, end = (types.Position(place.line, place.character) for place in (token.range.start, token.range.end))
    return document.text[index_of(document.text, start, unit) : index_of(document.text, end, unit)]


def passes(ed: Editor) -> list[int]:
    """How many passes each map took, by the log."""
    said = [params.message.split() for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE and "map:" in params.message]
    return [int(words[words.index("passes") - 1]) for words in said]


@pytest.mark.parametrize("unit", ["utf-8", "utf-16", "utf-32"])
async def test_every_token_has_its_place(unit: str) -> None:
    async with editor(abilities=capabilities(encodings=[unit])) as ed:
        assert ed.unit == unit
        document = ed.open(ODD)
        answer = await request(ed, document)
        assert answer.version == document.version
        assert "".join(text_of(document, unit, token) for token in answer.tokens) == ODD
        assert answer.bitsPerToken == pytest.approx(sum(token.bits for token in answer.tokens) / len(answer.tokens))
        for token in answer.tokens:
            assert token.rank >= 1 and token.bits >= 0 and len(token.alternatives) == 3
            assert all(isinstance(text, str) and 0 <= probability <= 1 for text, probability in token.alternatives)


async def test_a_range_has_the_numbers_of_the_whole() -> None:
    async with editor() as ed:
        document = ed.open(ODD)
        whole = await request(ed, document)
        start, end = ODD.index("def"), ODD.index("# 😀")
        range_ = {"start": plain(position_of(ODD, start, ed.unit)), "end": plain(position_of(ODD, end, ed.unit))}
        part = await request(ed, document, range=range_)
        assert ODD[start:end] in "".join(text_of(document, ed.unit, token) for token in part.tokens)
        assert 0 < len(part.tokens) < len(whole.tokens)
        assert [token for token in whole.tokens if token in part.tokens] == list(part.tokens)
        assert passes(ed)[0] > 0 and passes(ed)[1] == 0
        # Past every end, and of no width.
        far = {"line": 10**6, "character": 10**6}
        assert (await request(ed, document, range={"start": far, "end": far})).tokens == []


async def test_it_is_kept_for_each_version_and_an_edit_costs_what_it_must() -> None:
    async with editor() as ed:
        text = "".join(f"def total_{number}(items):\n    return sum(item.price * {number} for item in items)\n\n\n" for number in range(60))
        document = ed.open(text)
        first = await request(ed, document)
        assert await request(ed, document) == first
        ed.edit(document, 0, 0, "# new\n")
        moved = await request(ed, document)
        assert moved.version == document.version
        before, after, then = passes(ed)
        assert after == 0 and 0 < then < before / 2
        assert len({token.bits for token in moved.tokens} & {token.bits for token in first.tokens}) > len(first.tokens) / 2


async def test_chunks_are_streamed_in_the_order_of_the_text() -> None:
    async with editor() as ed:
        document = ed.open(ODD)
        whole = await request(ed, document)
        answer = await request(ed, document, partialResultToken="part", workDoneToken=7)
        heard = [params for method, params in ed.heard if method == types.PROGRESS]
        parts = [params.value for params in heard if params.token == "part"]
        assert len(parts) == 3 and {part["version"] for part in parts} == {document.version}
        assert [token["bits"] for part in parts for token in part["tokens"]] == [token.bits for token in whole.tokens]
        assert answer.tokens == [] and answer.bitsPerToken == whole.bitsPerToken and answer.version == document.version
        assert [params.value["kind"] for params in heard if params.token == 7 and params.value["kind"] != "report"] == ["begin", "end"]


async def started(ed: Editor, document: EditorDocument) -> asyncio.Task[Any]:
    """A map under way, its first chunk being here."""
    running = asyncio.create_task(request(ed, document, partialResultToken="part"))
    await ed.until(types.PROGRESS, lambda params: params.token == "part")
    return running


async def code_of(running: asyncio.Task[Any]) -> int:
    with pytest.raises(JsonRpcException) as refusal:
        await running
    return refusal.value.code


LONG = "".join(f"def total_{number}(items):\n    return sum(item.price * {number} for item in items)\n\n\n" for number in range(900))


async def test_cancel_stops_a_map() -> None:
    async with editor() as ed:
        document = ed.open(LONG)
        running = await started(ed, document)
        ed.cancel()
        assert await code_of(running) == types.LSPErrorCodes.RequestCancelled
        assert await ed.hover(document, LONG.index("total")) is not None
        assert passes(ed) == [], "it went on to its end"


async def test_a_change_stops_a_map() -> None:
    async with editor() as ed:
        document = ed.open(LONG)
        running = await started(ed, document)
        ed.edit(document, 0, 0, "x = 1\n")
        assert await code_of(running) == types.LSPErrorCodes.ContentModified
        assert passes(ed) == []


async def test_a_newer_map_takes_the_place_of_an_older_one() -> None:
    async with editor() as ed:
        document = ed.open(LONG)
        running = await started(ed, document)
        range_ = {"start": {"line": 0, "character": 0}, "end": {"line": 2, "character": 0}}
        assert len((await request(ed, document, range=range_)).tokens) > 5
        assert await code_of(running) == types.LSPErrorCodes.RequestCancelled


async def test_others_need_not_wait_for_the_whole_map() -> None:
    async with editor() as ed:
        document = ed.open(LONG)
        running = await started(ed, document)
        small = ed.open(TEXT, "file:///project/small.py")
        assert await ed.hover(small, TEXT.index("price")) is not None
        assert not running.done()
        ed.close(document)
        assert await code_of(running) == types.LSPErrorCodes.ContentModified


async def test_what_makes_no_sense_is_refused_in_a_sentence() -> None:
    async with editor(settings=ENDLESS) as ed:
        large = ed.open("x = 1\n" * 50_000)
        for further, word in (
            ({}, "at most 131,072"),
            ({"range": {"start": 3}}, "is no range"),
            ({"partialResultToken": []}, "must be a text or a whole number"),
        ):
            with pytest.raises(JsonRpcException, match=word) as refusal:
                await request(ed, large, **further)
            assert refusal.value.code == types.LSPErrorCodes.RequestFailed
        with pytest.raises(JsonRpcException, match="is not open"):
            await request(ed, "file:///nowhere.py")
        senseless: list[Any] = [{}, {"textDocument": 3}, []]
        for odd in senseless:
            with pytest.raises(JsonRpcException):
                await ed.client.protocol.send_request_async("lacuna/surpriseMap", odd)
        assert (await request(ed, ed.open("", "file:///empty.py"))).tokens == []
