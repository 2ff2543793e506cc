"""textDocument/completion, for editors that show nothing inline."""

from __future__ import annotations

import asyncio

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import PATIENCE, Editor, EditorDocument, capabilities, editor, index_of, position_of
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE, THREE_HOLES
from tests.lsp_server.test_server_inline_completion import AT_ONCE, SURE, log


async def ask(ed: Editor, document: EditorDocument, index: int | None = None) -> types.CompletionList | None:
    """The menu before the character at `index` (None: at the text's end)."""
    at = position_of(document.text, len(document.text) if index is None else index, ed.unit)
    params = types.CompletionParams(types.TextDocumentIdentifier(document.uri), at)
    async with asyncio.timeout(PATIENCE):
        answer = await ed.client.text_document_completion_async(params)
    assert answer is None or isinstance(answer, types.CompletionList)
    return answer


async def ask_until_answered(ed: Editor, document: EditorDocument) -> types.CompletionList:
    """As a person's editor does while they type: a busy machine may need longer than a menu waits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await ask(ed, document)
            if answer is not None and not log(ed, "completion")[-1].startswith("dropped, nothing came"):
                return answer


def with_inline() -> types.ClientCapabilities:
    """An editor that shows text inline."""
    able = capabilities()
    assert able.text_document is not None
    able.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    return able


@pytest.mark.parametrize(
    ("setting", "inline", "answers"),
    [(None, False, True), ("auto", True, False), ("on", True, True), ("on", False, True), ("off", False, False)],
)
async def test_the_setting_and_the_client_decide(setting: str | None, inline: bool, answers: bool) -> None:
    async with editor(settings=AT_ONCE | {"plainCompletion": setting}, abilities=with_inline() if inline else capabilities()) as ed:
        assert ed.server is not None and ed.server.capabilities.completion_provider is not None
        await ed.until_ready()
        document = ed.open(SURE)
        assert (await ask(ed, document) is not None) is answers
        if answers:
            assert (await ask_until_answered(ed, document)).items


async def test_an_item_replaces_the_word_before_the_cursor_and_begins_with_it() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0, "alternatives": 4}) as ed:
        await ed.until_ready()
        for number, text in enumerate((SURE.removesuffix("l("), SURE, SURE.replace("return total(", "é = '😀'; return tot"))):
            word = text[max(text.rfind(" "), text.rfind("(")) + 1 :]
            document = ed.open(text, uri=f"file:///project/sample{number}.py")
            answer = await ask_until_answered(ed, document)
            assert answer.is_incomplete and answer.items
            assert [item.sort_text for item in answer.items] == sorted(str(item.sort_text) for item in answer.items)
            for item in answer.items:
                assert isinstance(item.text_edit, types.TextEdit)
                assert item.text_edit.new_text == item.filter_text
                assert item.text_edit.new_text.startswith(word) and len(item.text_edit.new_text) > len(word)
                assert item.label.strip() and "\n" not in item.label and len(item.label) <= 60
                assert str(item.detail).startswith("Lacuna: log-likelihood -")
                start, end = (index_of(text, at, ed.unit) for at in (item.text_edit.range.start, item.text_edit.range.end))
                assert (start, end) == (len(text) - len(word), len(text))


async def test_a_block_is_shown_as_a_whole_beside_its_first_line() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0}) as ed:
        await ed.until_ready()
        text = SURE.removesuffix("    if not items:\n        return 0.0\n    return total(") + "    "
        answer = await ask_until_answered(ed, ed.open(text))
        blocks = [item for item in answer.items if isinstance(item.text_edit, types.TextEdit) and "\n" in item.text_edit.new_text]
        assert blocks
        for item in blocks:
            assert item.label.endswith("…") and isinstance(item.text_edit, types.TextEdit)
            assert item.documentation == item.text_edit.new_text


async def test_typing_on_needs_no_model_and_unlikely_ones_are_kept_back() -> None:
    async with editor(settings=AT_ONCE | {"temperature": 0.1}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        first = await ask_until_answered(ed, document)
        assert first.items[0].filter_text == "items)"
        ed.edit(document, len(SURE), len(SURE), "it")
        again = await ask(ed, document)
        assert again is not None and again.items[0].filter_text == "items)"
        assert log(ed, "completion")[-1] == "from the cache"
        ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({"inlineMinProbability": 0.999, **AT_ONCE}))
        none = await ask_until_answered(ed, document)
        assert not none.items
        assert log(ed, "completion")[-1].startswith("suppressed, mean token probability 0.")


async def test_nothing_touches_a_marker() -> None:
    async with editor(settings=AT_ONCE) as ed:
        await ed.until_ready()
        document = ed.open(ONE_HOLE)
        answer = await ask(ed, document, document.text.index(HOLE) + 3)
        assert answer is not None and not answer.items


async def test_the_menu_of_other_sources_never_waits_for_a_busy_model() -> None:
    async with editor(settings=ENDLESS | AT_ONCE) as ed:
        document = ed.open(THREE_HOLES)
        other = ed.open(SURE, uri="file:///project/other.py")
        filling = asyncio.create_task(ed.resolve(await ed.action(document, "Fill all 3 holes", 0)))
        await ed.until_running()
        answer = await ask(ed, other)
        assert answer is not None and not answer.items
        assert log(ed, "completion") == ["dropped, nothing came within 0.5 s"]
        assert not filling.done()
        ed.cancel()
        with pytest.raises(JsonRpcException):
            await filling


async def test_a_newer_request_overtakes_an_older_one() -> None:
    async with editor(settings={"inlineDelayMs": 400}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        older = asyncio.ensure_future(ask(ed, document))
        newer = asyncio.ensure_future(ask(ed, document))
        answer = await older
        assert answer is not None and not answer.items
        assert log(ed, "completion") == ["dropped, a newer request took this one's place"]
        await newer
        assert await ask(ed, EditorDocument("file:///project/closed.py", "x")) is None
