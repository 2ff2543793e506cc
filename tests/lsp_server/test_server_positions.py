"""Fills land where they belong, whatever the client counts in and whatever stands beside the hole."""

from __future__ import annotations

import pytest
from lsprotocol import types

from tests.lsp_server.language_client import capabilities, editor
from tests.lsp_server.sample_code import HOLE

SURE = {"temperature": 1.0, "alternatives": 16, "maxTokens": 24, "seed": 1}

BESIDE = {
    "emoji": "mood = '😀👩‍🚀'; count = ___ # 😀 é\nnext = '😀' + str(___)\n",
    "carriage returns": "def f(items):\r\n    count = 0\r\n    for item in items:\r\n        count += ___\r\n    return ___\r\n",
    "tabs": "def f(items):\n\tcount = 0\n\tfor item in items:\n\t\tcount += ___\n\treturn ___\n",
    "old line ends": "count = ___\rtotal = ___\r",
    "other white space": "count = 1\x0c\ntext = 'a\u2028b\x85'; total = ___ + count\nmore = ___\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_fills_land_in_their_holes(encoding: str) -> None:
    async with editor(settings=SURE, abilities=capabilities(encodings=[encoding])) as ed:
        assert ed.unit == encoding
        for number, (name, text) in enumerate(BESIDE.items()):
            document = ed.open(text, uri=f"file:///project/sample{number}.py")
            # An edit first, so that the positions of incremental sync count too.
            at = text.index(HOLE)
            ed.edit(document, at, at, "é😀"[: 2 * (name == "emoji")])
            ed.edit(document, at, at + 2 * (name == "emoji"), "")
            assert document.text == text
            action = await ed.resolve(await ed.action(document, "Fill all 2 holes", 0))
            assert action.edit is not None
            ed.apply(action.edit)
            before, between, after = text.split(HOLE)
            assert document.text.startswith(before) and document.text.endswith(after), name
            assert between in document.text[len(before) : len(document.text) - len(after)], name
            assert HOLE not in document.text
            if name == "carriage returns":
                assert "\n" not in document.text.replace("\r\n", "")


async def test_the_client_s_preference_decides_and_utf_16_is_the_default() -> None:
    async with editor(abilities=capabilities(encodings=["utf-32", "utf-8"])) as ed:
        assert ed.unit == "utf-32"
    async with editor(abilities=types.ClientCapabilities()) as ed:
        assert ed.unit == "utf-16"
        document = ed.open("x = '😀'; y = ___\n")
        assert (await ed.actions(document, document.text.index(HOLE)))[0].title == "Fill this hole"
