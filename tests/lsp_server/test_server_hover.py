"""textDocument/hover."""

from __future__ import annotations

import math
import re

from lsprotocol import types

from tests.lsp_server.language_client import Editor, EditorDocument, capabilities, editor, index_of
from tests.lsp_server.sample_code import HOLE, ONE_HOLE

TEXT = ONE_HOLE.replace(HOLE, "item.price")


async def words_on(ed: Editor, document: EditorDocument, index: int) -> tuple[str, str]:
    """The hover's text, and what of the document it is about."""
    shown = await ed.hover(document, index)
    assert shown is not None and isinstance(shown.contents, types.MarkupContent) and shown.range is not None
    start, end = (index_of(document.text, place, ed.unit) for place in (shown.range.start, shown.range.end))
    return shown.contents.value, document.text[start:end]


async def test_it_tells_likelihood_and_expectation_of_the_smallest_node() -> None:
    async with editor() as ed:
        document = ed.open(TEXT)
        said, about = await words_on(ed, document, TEXT.index("price") + 2)
        assert about == "price"
        figures = re.search(r"log-likelihood (-[\d.]+), ([\d.]+) bits per token \((\d+) tokens\)", said)
        assert figures is not None, said
        logprob, bits, tokens = float(figures[1]), float(figures[2]), int(figures[3])
        assert tokens >= 2, "a word and its end mark"
        assert math.isclose(-logprob / math.log(2) / tokens, bits, abs_tol=0.02)
        assert "The model would have written" in said


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


async def test_there_may_be_nothing_to_say() -> None:
    async with editor() as ed:
        assert await ed.hover(ed.open(""), 0) is None
