"""lacuna/holes and lacuna/fill, as docs/protocol.md has them, against the real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import default_converter

from tests.lsp_server.language_client import PATIENCE, Editor, EditorDocument, capabilities, editor, index_of, position_of
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE, THREE_HOLES

SURE = {"temperature": 0.6, "alternatives": 4, "maxTokens": 24}


def plain(value: Any) -> Any:
    """What came as JSON, of the tuples with names that pygls makes of it."""
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


async def ask(ed: Editor, method: str, params: object) -> Any:
    async with asyncio.timeout(PATIENCE):
        return plain(await ed.client.protocol.send_request_async(method, params))


def range_of(ed: Editor, document: EditorDocument, start: int, end: int) -> dict[str, Any]:
    places = (position_of(document.text, start, ed.unit), position_of(document.text, end, ed.unit))
    first, last = ({"line": place.line, "character": place.character} for place in places)
    return {"start": first, "end": last}


def named(document: EditorDocument, **more: object) -> dict[str, object]:
    return {"textDocument": {"uri": document.uri}, **more}


def chosen(edits: list[dict[str, Any]], document: EditorDocument) -> types.WorkspaceEdit:
    """The edits of an alternative as a client applies them."""
    made = default_converter().structure(edits, list[types.TextEdit])  # type: ignore[no-untyped-call]
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
    return types.WorkspaceEdit(document_changes=[types.TextDocumentEdit(identifier, made)])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_holes_are_told_where_they_are(encoding: str) -> None:
    text = "mood = '😀👩‍🚀'; count = ___ # 😀 ___\r\n\ttotal = ___\rlast = x___\n"
    async with editor(abilities=capabilities(encodings=[encoding])) as ed:
        document = ed.open(text)
        ed.edit(document, len(text), len(text), "___\n")
        result = await ask(ed, "lacuna/holes", named(document))
        assert (result["version"], result["marker"]) == (2, HOLE)
        places = [index_of(document.text, types.Position(**hole["range"]["start"]), ed.unit) for hole in result["holes"]]
        assert places == [text.index(HOLE), text.index("total = ___") + 8, len(text)]
        assert [hole["kind"] for hole in result["holes"]] == ["marker"] * 3
        assert not (await ask(ed, "lacuna/holes", named(ed.open("x = 1\n", uri="untitled:1"))))["holes"]


async def test_ranges_are_filled_jointly() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(THREE_HOLES)
        first, start = document.text.index(HOLE), document.text.index("0.0")
        ranges = [range_of(ed, document, start, start + 3), range_of(ed, document, first + 1, first + 1)]
        result = await ask(ed, "lacuna/fill", named(document, version=1, ranges=ranges, count=2))
        assert result["version"] == 1 and 1 <= len(result["alternatives"]) <= 2
        assert result["passes"] >= 1 and result["milliseconds"] > 0 and isinstance(result["refused"], list)
        likelihoods = [one["logLikelihood"] for one in result["alternatives"]]
        assert likelihoods == sorted(likelihoods, reverse=True) and all(one < 0 for one in likelihoods)
        best = result["alternatives"][0]
        assert best["texts"] == [edit["newText"] for edit in best["edits"]] and len(best["texts"]) == 2
        assert best["tokens"] > 0 and best["bitsPerToken"] > 0 and best["preview"] and isinstance(best["mended"], list)
        ed.apply(chosen(best["edits"], document))
        filled = THREE_HOLES.replace(HOLE, best["texts"][0], 1).replace("0.0", best["texts"][1], 1)
        assert document.text == filled
        listed = await ed.actions(document, first)
        ready = [action for action in listed if action.title.startswith("Use instead: ")]
        assert len(ready) == len(result["alternatives"]) - 1


async def test_without_ranges_all_markers_are_filled() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(THREE_HOLES)
        for params in (named(document), named(document, ranges=[], version=None, unknown=[1])):
            result = await ask(ed, "lacuna/fill", params)
            assert len(result["alternatives"][0]["edits"]) == 3


async def test_a_cursor_between_words_is_a_hole_of_its_own() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(ONE_HOLE)
        at = document.text.index("total(items") + len("total(items")
        result = await ask(ed, "lacuna/fill", named(document, ranges=[range_of(ed, document, at, at)] * 2))
        (edit,) = result["alternatives"][0]["edits"]
        assert edit["range"] == range_of(ed, document, at, at)


async def test_a_cursor_in_a_stub_means_the_stub() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open('def total(items):\n    mood = "😀"\n    return sum(items)\n\n\ndef mean(items):\n    ...\n')
        at, start = document.text.index("mean"), document.text.index("...")
        result = await ask(ed, "lacuna/fill", named(document, ranges=[range_of(ed, document, at, at)]))
        (edit,) = result["alternatives"][0]["edits"]
        assert edit["range"] == range_of(ed, document, start, start + 3) and edit["newText"].strip() not in ("", "...", "pass")


async def test_tied_markers_get_one_text_and_say_whether_it_was_drawn_exactly() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open('def area(___w, h):\n    mood = "😀"; return ___w * h\n')
        result = await ask(ed, "lacuna/fill", named(document))
        for alternative in result["alternatives"]:
            assert len(set(alternative["texts"])) == 1 and alternative["texts"][0].strip()
        assert isinstance(result["exact"], bool)


async def test_progress_is_shown_under_the_client_s_token() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(THREE_HOLES)
        await ask(ed, "lacuna/fill", named(document, workDoneToken="mine"))
        kinds = [params.value["kind"] for method, params in ed.heard if method == types.PROGRESS and params.token == "mine"]
        assert kinds[0] == "begin" and kinds[-1] == "end"


async def test_another_version_and_a_change_meanwhile_drop_the_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        with pytest.raises(JsonRpcException) as refusal:
            await ask(ed, "lacuna/fill", named(document, version=7))
        assert refusal.value.code == types.LSPErrorCodes.ContentModified
        running = asyncio.create_task(ask(ed, "lacuna/fill", named(document, version=1)))
        await ed.until_running()
        ed.edit(document, 0, 0, "# a note\n")
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.ContentModified
        await ed.until(
            types.WINDOW_SHOW_MESSAGE, lambda params: params.message == "Lacuna dropped the fill: the document changed meanwhile."
        )


async def test_cancel_stops_the_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(THREE_HOLES)
        running = asyncio.create_task(ask(ed, "lacuna/fill", named(document)))
        await ed.until_running()
        ed.cancel()
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.RequestCancelled


POSITION = {"line": 0, "character": 0}
BAD_PARAMS: list[tuple[object, str]] = [
    (None, "must have a textDocument"),
    ([], "must have a textDocument"),
    ({"type_name": "1 2"}, "must have a textDocument"),
    ({"textDocument": "file:///project/sample.py"}, "must have a textDocument"),
    ({"textDocument": {"uri": "file:///project/none.py"}}, "is not open"),
    ({"version": "1"}, "version"),
    ({"version": True}, "version"),
    ({"count": 1.5}, "count"),
    ({"count": 0}, "between 1 and 64"),
    ({"count": 65}, "between 1 and 64"),
    ({"ranges": {}}, "must be a list"),
    ({"ranges": [[0, 1]]}, "is no range"),
    ({"ranges": [{"start": POSITION}]}, "is no range"),
    ({"ranges": [{"start": POSITION, "end": {"line": -1, "character": 0}}]}, "is no range"),
    (
        {"ranges": [{"start": POSITION, "end": {"line": 1, "character": 3}}, {"start": POSITION, "end": {"line": 2, "character": 0}}]},
        "overlap",
    ),
    ({"workDoneToken": {}}, "workDoneToken"),
]


async def test_bad_params_are_answered_with_a_sentence() -> None:
    async with editor() as ed:
        document = ed.open('a = 1\nbb = 2\n"""c"""\n')
        for params, words in BAD_PARAMS:
            whole = params if not isinstance(params, dict) or {"textDocument", "type_name"} & set(params) else {**named(document), **params}
            with pytest.raises(JsonRpcException, match=f"^Lacuna: .*{words}") as refusal:
                await ask(ed, "lacuna/fill", whole)
            assert refusal.value.code == types.LSPErrorCodes.RequestFailed, params
        with pytest.raises(JsonRpcException, match="there is no hole"):
            await ask(ed, "lacuna/fill", named(document))
        with pytest.raises(JsonRpcException, match="must have a textDocument"):
            await ask(ed, "lacuna/holes", {})
