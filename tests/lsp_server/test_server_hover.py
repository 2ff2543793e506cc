"""textDocument/hover."""

from __future__ import annotations

import asyncio
import math
import re

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import Editor, EditorDocument, capabilities, editor, index_of
from tests.lsp_server.sample_code import HOLE, ONE_HOLE

TEXT = ONE_HOLE.replace(HOLE, "item.price")


async def words_on(ed: Editor, document: EditorDocument, index: int) -> tuple[str, str]:
    """The hover's text, and what of the document it is about."""
    shown = await ed.hover(document, index)
    assert shown is not None and isinstance(shown.contents, types.MarkupContent) and shown.range is not None
    start, end = (index_of(document.text, place, ed.unit) for place in (shown.range.start, shown.range.end))
    return shown.contents.value, document.text[start:end]


async def test_it_tells_likelihood_rank_and_expectation_of_the_smallest_node() -> None:
    async with editor() as ed:
        document = ed.open(TEXT)
        said, about = await words_on(ed, document, TEXT.index("price") + 2)
        assert about == "price"
        headline, expectation, picture = said.split("\n\n")
        pattern = r"`price`: ([\d.]+) bits per token, log-likelihood (-[\d.]+) \((\d+) tokens with the end\), rank (\d+)( at worst)?"
        figures = re.fullmatch(pattern, headline)
        assert figures is not None, said
        bits, logprob, tokens = float(figures[1]), float(figures[2]), int(figures[3])
        assert (tokens == 2) == (figures[5] is None), "a word and its end mark, or a word of several tokens"
        assert math.isclose(-logprob / math.log(2) / tokens, bits, abs_tol=0.02)
        assert expectation.startswith("The model would have written ")
        fence, *lines, end = picture.splitlines()
        assert (fence, end) == ("```text", "```")
        assert 3 <= len(lines) <= 4 and sum("<- here" in line for line in lines) == 1
        chances = [re.match(r"[█▉▊▋▌▍▎▏ ]{10} +(< )?([\d.e-]+) %  \S", line) for line in lines]
        values = [float(match[2]) for match in chances if match]
        assert len(values) == len(lines) and values == sorted(values, reverse=True)


async def test_a_range_of_several_tokens_tells_the_worst_rank_and_pictures_the_least_likely_token() -> None:
    text = TEXT.replace("item.price", "zebra_quagmire")
    async with editor() as ed:
        said, about = await words_on(ed, ed.open(text), text.index("zebra"))
        assert about == "zebra_quagmire"
        worst = re.search(r"rank (\d+) at worst", said)
        assert worst is not None and int(worst[1]) > 1
        assert re.search(r"  \S+ <- here, rank [\d,]+\n```$", said)


async def test_a_mouse_that_moved_on_stops_the_older_hover() -> None:
    text = TEXT + 'text = "' + "zebra quagmire " * 200 + '"\n'
    async with editor() as ed:
        document = ed.open(text)
        await ed.until_ready()
        older = asyncio.create_task(ed.hover(document, text.index("zebra")))
        await asyncio.sleep(0)
        assert await ed.hover(document, text.index("price")) is not None
        with pytest.raises(JsonRpcException) as refusal:
            await older
        assert refusal.value.code == types.LSPErrorCodes.RequestCancelled


async def test_on_a_hole_it_tells_what_the_model_would_write() -> None:
    async with editor() as ed:
        document = ed.open(ONE_HOLE)
        said, about = await words_on(ed, document, ONE_HOLE.index(HOLE) + 1)
        assert about == HOLE
        assert said.startswith("Lacuna would write ")


async def test_the_range_is_right_beside_emoji() -> None:
    async with editor() as ed:
        text = "mood = '😀😀'; price = tax + 1\r\n"
        document = ed.open(text)
        assert (await words_on(ed, document, text.index("price")))[1] == "price"


async def test_a_client_without_markdown_gets_plain_text() -> None:
    abilities = capabilities()
    assert abilities.text_document is not None
    abilities.text_document.hover = None
    async with editor(abilities=abilities) as ed:
        document = ed.open(TEXT)
        shown = await ed.hover(document, TEXT.index("price"))
        assert shown is not None and isinstance(shown.contents, types.MarkupContent)
        assert shown.contents.kind == types.MarkupKind.PlainText and "`" not in shown.contents.value
        assert re.search(r"^[#.]{10} +(< )?[\d.e-]+ %  \S", shown.contents.value, re.MULTILINE)
        assert not re.search("[█▉▊▋▌▍▎▏]", shown.contents.value)


async def test_there_may_be_nothing_to_say() -> None:
    async with editor() as ed:
        assert await ed.hover(ed.open(""), 0) is None
