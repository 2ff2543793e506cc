"""textDocument/inlineCompletion, as an editor sees it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import PATIENCE, Editor, EditorDocument, capabilities, editor, index_of, position_of
from tests.lsp_server.sample_code import ENDLESS, HOLE, ONE_HOLE, THREE_HOLES

AUTOMATIC, INVOKED = types.InlineCompletionTriggerKind.Automatic, types.InlineCompletionTriggerKind.Invoked
LONG_MS = 10_000
AT_ONCE = {"inlineDelayMs": 0}
# Proposals are short: it takes many of them to keep the model busy.
BUSY = ENDLESS | AT_ONCE | {"alternatives": 64}

# The model is sure of how this goes on: items)
SURE = '''"""Little sums."""


def total(items):
    result = 0
    for item in items:
        result += item
    return result


def mean(items):
    if not items:
        return 0.0
    return total('''


async def ask(
    ed: Editor,
    document: EditorDocument,
    index: int | None = None,
    trigger: types.InlineCompletionTriggerKind = AUTOMATIC,
    selected: types.SelectedCompletionInfo | None = None,
) -> list[types.InlineCompletionItem]:
    """What is proposed before the character at `index` (None: at the text's end)."""
    at = position_of(document.text, len(document.text) if index is None else index, ed.unit)
    context = types.InlineCompletionContext(trigger, selected)
    params = types.InlineCompletionParams(context, types.TextDocumentIdentifier(document.uri), at)
    async with asyncio.timeout(PATIENCE):
        answer = await ed.client.text_document_inline_completion_async(params)
    assert isinstance(answer, list)
    return answer


def texts(items: list[types.InlineCompletionItem]) -> list[str]:
    assert all(isinstance(item.insert_text, str) for item in items)
    return [str(item.insert_text) for item in items]


def log(ed: Editor, kind: str = "inline") -> list[str]:
    """What was logged of proposals so far, less the requests' numbers."""
    messages = [params.message for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE]
    told = [message.removeprefix(f"{kind}: ") for message in messages if message.startswith(f"{kind}: ")]
    return [re.sub(r" request=r\d+$", "", message) for message in told]


def passes(ed: Editor) -> int:
    """How often the model was asked for proposals so far."""
    return sum("passes" in message for message in log(ed))


def type_(ed: Editor, document: EditorDocument, text: str) -> None:
    """Type at the end."""
    ed.edit(document, len(document.text), len(document.text), text)


async def soon(request: Awaitable[list[types.InlineCompletionItem]]) -> asyncio.Task[list[types.InlineCompletionItem]]:
    """A request that was sent and not answered yet."""
    task = asyncio.ensure_future(request)
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


async def test_a_line_is_proposed_at_the_cursor_and_replaces_nothing() -> None:
    async with editor(settings=AT_ONCE) as ed:
        assert ed.server is not None and ed.server.capabilities.inline_completion_provider
        await ed.until_ready()
        document = ed.open(SURE + "\n")
        (item,) = await ask(ed, document, len(SURE))
        assert item.insert_text == "items)"
        here = position_of(SURE, len(SURE), ed.unit)
        assert item.range == types.Range(here, here)
        assert re.search(r"\d tokens, mean token probability 0\.", log(ed)[-1]) and "passes" in log(ed)[-1]


async def test_it_is_proposed_again_as_long_as_the_typed_text_agrees_without_the_model() -> None:
    async with editor(settings=AT_ONCE) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        assert texts(await ask(ed, document)) == ["items)"]
        # Character by character, two of them taken back, then a word.
        for typed, rest in (("i", "tems)"), ("t", "ems)"), ("e", "ms)")):
            type_(ed, document, typed)
            assert texts(await ask(ed, document)) == [rest]
        ed.edit(document, len(document.text) - 2, len(document.text), "")
        assert texts(await ask(ed, document)) == ["tems)"]
        type_(ed, document, "tems")
        assert texts(await ask(ed, document)) == [")"]
        assert log(ed)[1:] == ["from the cache"] * 5
        assert passes(ed) == 1
        # What was proposed is all there, or something else is: the model is asked.
        type_(ed, document, ")")
        await ask(ed, document)
        ed.edit(document, len(document.text) - 2, len(document.text), "z")
        await ask(ed, document)
        assert passes(ed) == 3


async def test_the_cache_needs_no_delay() -> None:
    async with editor(settings={"inlineDelayMs": 1}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        assert texts(await ask(ed, document)) == ["items)"]
        ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({"inlineDelayMs": 2 * LONG_MS}))
        type_(ed, document, "item")
        assert texts(await ask(ed, document)) == ["s)"]


async def test_fast_typing_asks_the_model_once() -> None:
    async with editor(settings={"inlineDelayMs": 400}) as ed:
        await ed.until_ready()
        document = ed.open(SURE[:-6])
        requests = []
        for character in "total(":
            type_(ed, document, character)
            requests.append(asyncio.ensure_future(ask(ed, document)))
        answers = [texts(await request) for request in requests]
        assert answers == [[]] * 5 + [["items)"]]
        assert log(ed)[:5] == ["dropped, a newer request took this one's place"] * 5
        assert passes(ed) == 1


async def test_an_older_request_is_answered_with_nothing_when_a_newer_one_comes() -> None:
    async with editor(settings={"inlineDelayMs": LONG_MS}) as ed:
        await ed.until_ready()
        document, other = ed.open(SURE), ed.open(SURE, uri="file:///project/other.py")
        older = await soon(ask(ed, document))
        elsewhere = await soon(ask(ed, other))
        # Where it was asked for there is no delay.
        assert texts(await ask(ed, document, trigger=INVOKED))
        assert await older == []
        assert "dropped, a newer request took this one's place" in log(ed)
        assert not elsewhere.done()
        elsewhere.cancel()


async def test_a_running_request_is_overtaken_too() -> None:
    async with editor(settings=BUSY) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        older = await soon(ask(ed, document, trigger=INVOKED))
        newer = await soon(ask(ed, document, len(SURE) - 1, trigger=INVOKED))
        assert await older == []
        assert not newer.done()
        ed.edit(document, 0, 0, "#\n")
        assert await newer == []
        assert log(ed) == ["dropped, a newer request took this one's place", "dropped, the document changed meanwhile"]


async def test_a_request_waiting_for_its_delay_sees_an_edit_and_the_end_of_its_document() -> None:
    async with editor(settings={"inlineDelayMs": 300}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        older = await soon(ask(ed, document))
        ed.edit(document, 0, 0, "#\n")
        assert await older == []
        older = await soon(ask(ed, document))
        ed.close(document)
        assert await older == []
        assert log(ed) == ["dropped, the document changed meanwhile", "dropped, the document was closed meanwhile"]
        assert await ask(ed, document) == []


async def test_closing_the_document_stops_a_running_request() -> None:
    async with editor(settings=BUSY) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        running = await soon(ask(ed, document, trigger=INVOKED))
        ed.close(document)
        assert await running == []
        assert log(ed) == ["dropped, the document was closed meanwhile"]


@pytest.mark.parametrize("settings", [{"inlineDelayMs": LONG_MS}, BUSY], ids=["waiting", "running"])
async def test_it_can_be_cancelled(settings: dict[str, object]) -> None:
    async with editor(settings=settings) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        running = await soon(ask(ed, document, trigger=INVOKED if settings is BUSY else AUTOMATIC))
        ed.cancel()
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.RequestCancelled
        # Neither the model's thread nor the turn is taken.
        assert await ed.hover(document, SURE.index("total")) is not None
        running = await soon(ask(ed, document, trigger=INVOKED if settings is BUSY else AUTOMATIC))
        running.cancel()


async def test_what_is_unlikely_is_kept_back_and_the_log_says_so() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0.999}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        assert await ask(ed, document) == []
        assert log(ed)[-1].startswith("suppressed, mean token probability 0.") and " < 0.999; " in log(ed)[-1]
        # Who asks for it sees it, and it is not kept back any longer once the setting allows it.
        assert "items)" in texts(await ask(ed, document, trigger=INVOKED))
        assert await ask(ed, document) == []
        ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({"inlineMinProbability": 0.1, **AT_ONCE}))
        assert texts(await ask(ed, document)) == ["items)"]


async def test_several_are_proposed_where_somebody_asked() -> None:
    async with editor(settings={"alternatives": 5, "temperature": 1.0, "inlineDelayMs": 0, "inlineMinProbability": 0}) as ed:
        await ed.until_ready()
        document = ed.open(SURE.removesuffix("total("))
        several = texts(await ask(ed, document, trigger=INVOKED))
        assert len(several) > 1 and len(set(several)) == len(several)
        # One at a time unasked, from the cache too: the first that what is typed agrees with.
        assert texts(await ask(ed, document)) == several[:1]
        type_(ed, document, several[1][:1])
        (one,) = texts(await ask(ed, document))
        assert several[1][:1] + one in several


async def test_it_can_be_turned_off_but_for_who_asks() -> None:
    async with editor(settings={"inlineCompletion": False}) as ed:
        await ed.until_ready()
        document = ed.open(SURE)
        assert await ask(ed, document) == []
        assert log(ed) == []
        assert texts(await ask(ed, document, trigger=INVOKED))


async def test_what_follows_is_never_repeated() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0}) as ed:
        await ed.until_ready()
        for number, after in enumerate((")", "items)", " items)", ") / len(items)", "\n    return total(items)", ")\n")):
            document = ed.open(SURE + after, uri=f"file:///project/sample{number}.py")
            for trigger in (AUTOMATIC, INVOKED):
                for text in texts(await ask(ed, document, len(SURE), trigger)):
                    line = (SURE + text).rpartition("\n")[2]
                    assert not text.endswith(after.strip()) or (after.strip() == ")" and line.count("(") >= line.count(")") + 1)
                    assert not line.endswith("items") or not after.startswith("items")
                    assert line.strip() != after.strip()


@pytest.mark.parametrize("marker", [HOLE, "HOLE", "<é>"])
async def test_nothing_is_proposed_in_a_marker_or_touching_it(marker: str) -> None:
    async with editor(settings=AT_ONCE | {"marker": marker, "inlineMinProbability": 0}) as ed:
        await ed.until_ready()
        document = ed.open(ONE_HOLE.replace(HOLE, marker))
        start = document.text.index(marker)
        for index in range(start, start + len(marker) + 1):
            for trigger in (AUTOMATIC, INVOKED):
                assert await ask(ed, document, index, trigger) == []
        assert log(ed) == ["nothing, a hole's marker stands here"] * 2 * (len(marker) + 1)


async def test_with_an_item_of_a_menu_selected_the_text_goes_on_from_it() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0}, abilities=capabilities(encodings=["utf-8"])) as ed:
        await ed.until_ready()
        text = SURE.replace("0.0", "'😀'; é = 0").removesuffix("tal(")
        document = ed.open(text)
        word = types.Range(position_of(text, len(text) - 2, ed.unit), position_of(text, len(text), ed.unit))
        selected = types.SelectedCompletionInfo(word, "total(")
        for trigger in (AUTOMATIC, INVOKED):
            for item in await ask(ed, document, trigger=trigger, selected=selected):
                assert item.range == word
                assert str(item.insert_text).startswith("total(") and len(str(item.insert_text)) > len("total(")
        assert texts(await ask(ed, document, selected=selected)) == ["total(items)"]
        # An item that isn't at the cursor is none to go on from.
        above = types.SelectedCompletionInfo(types.Range(types.Position(0, 0), types.Position(0, 2)), "total(")
        assert await ask(ed, document, selected=above) == []


ODD = {
    "emoji": SURE.replace("return total(", "mood = '😀👩‍🚀é'; return total("),
    "carriage returns": SURE.replace("\n", "\r\n"),
    "old line ends": SURE.replace("\n", "\r"),
    "tabs": SURE.replace("    ", "\t"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_it_lands_at_the_cursor(encoding: str) -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0}, abilities=capabilities(encodings=[encoding])) as ed:
        await ed.until_ready()
        for number, (name, text) in enumerate(ODD.items()):
            # Python's grammar knows no old line ends: all after the first comment is a comment to it.
            language = "plaintext" if name == "old line ends" else "python"
            document = ed.open(text, uri=f"file:///project/sample{number}.py", language=language)
            # An edit first, so that the positions of incremental sync count too.
            ed.edit(document, 3, 3, "é😀")
            ed.edit(document, 3, 5, "")
            items = await ask(ed, document)
            assert items, name
            for item in items:
                assert item.range is not None and item.range.start == item.range.end
                assert index_of(text, item.range.start, encoding) == len(text)


async def test_the_lines_of_a_block_end_as_the_text_s() -> None:
    async with editor(settings=AT_ONCE | {"inlineMinProbability": 0, "alternatives": 4}) as ed:
        await ed.until_ready()
        for number, newline in enumerate(("\n", "\r\n", "\r")):
            text = (SURE.removesuffix("    if not items:\n        return 0.0\n    return total(") + "    ").replace("\n", newline)
            document = ed.open(text, uri=f"file:///project/sample{number}.py")
            found = texts(await ask(ed, document, trigger=INVOKED))
            assert any(newline in proposal for proposal in found)
            for proposal in found:
                assert "\n" not in proposal.replace(newline, "") and "\r" not in proposal.replace(newline, "")


async def test_positions_past_the_end_and_unknown_languages_do() -> None:
    async with editor(settings=AT_ONCE) as ed:
        await ed.until_ready()
        for number, language in enumerate(("cobol", "", "plaintext", "python")):
            document = ed.open("x = 1\n", uri=f"file:///project/sample{number}", language=language)
            for position in (types.Position(0, 999), types.Position(999, 0)):
                params = types.InlineCompletionParams(
                    types.InlineCompletionContext(INVOKED), types.TextDocumentIdentifier(document.uri), position
                )
                async with asyncio.timeout(PATIENCE):
                    assert isinstance(await ed.client.text_document_inline_completion_async(params), list)


async def test_while_the_model_is_loading_nothing_comes_and_nothing_waits() -> None:
    async with editor(settings=AT_ONCE) as ed:
        document = ed.open(SURE)
        assert await ask(ed, document) == []
        assert log(ed) == ["nothing yet, the model is still loading"]
        await ed.until_ready()
        assert texts(await ask(ed, document)) == ["items)"]


async def test_who_asks_waits_for_the_model() -> None:
    async with editor(settings=AT_ONCE) as ed:
        document = ed.open(SURE)
        assert "items)" in texts(await ask(ed, document, trigger=INVOKED))
        assert not any("still loading" in message for message in log(ed))


async def test_a_model_that_can_t_be_used_is_told_in_the_log_alone() -> None:
    async with editor("--model", "nowhere", settings=AT_ONCE) as ed:
        document = ed.open(SURE)
        await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert await ask(ed, document) == []
        assert "nowhere" in log(ed)[-1]
        assert len(ed.messages()) == 1


async def test_a_fill_goes_on_beside_it() -> None:
    async with editor(settings=ENDLESS | AT_ONCE) as ed:
        document = ed.open(THREE_HOLES)
        filling = asyncio.create_task(ed.resolve(await ed.action(document, "Fill all 3 holes", 0)))
        await ed.until_running()
        waiting = await soon(ask(ed, document, document.text.index("return total"), INVOKED))
        assert not filling.done()
        ed.edit(document, 0, 0, "#\n")
        assert await waiting == []
        with pytest.raises(JsonRpcException):
            await filling
