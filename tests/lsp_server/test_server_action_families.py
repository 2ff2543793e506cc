"""A better name, annotations and docstrings, end to end: listed, computed and applied as an editor does."""

from __future__ import annotations

import ast
import asyncio
import re
import time

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import Editor, EditorDocument, capabilities, editor
from tests.lsp_server.sample_code import ENDLESS, THREE_HOLES

SURE = {"temperature": 0.6, "alternatives": 16}

SAMPLE = '''"""Little statistics 😀."""


class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner; mood = "😀👩‍🚀é"
        self.balance = balance


def total(items):
    mood = "😀"; count = len(items)
    return mood * count
'''

NAME = "Suggest a better name for count in this file"
ANNOTATE = "Annotate __init__ (3 types)"
DOCUMENT = "Write the docstring of total"
CURSORS = {NAME: "count = ", ANNOTATE: "self.owner", DOCUMENT: "return mood"}

# How a document may look when the fill is in it.
APPLIED = {
    NAME: re.sub(r"\bcount\b", "@", SAMPLE),
    ANNOTATE: SAMPLE.replace("owner, balance=0)", "owner: @, balance: @ = 0) -> @"),
    DOCUMENT: SAMPLE.replace("def total(items):\n", 'def total(items):\n    """@"""\n'),
}


def with_layout(text: str, layout: str) -> str:
    """The text as another person would have it."""
    return {
        "plain": text,
        "carriage returns": text.replace("\n", "\r\n"),
        "tabs": text.replace("    ", "\t"),
    }[layout]


def matches(text: str, expected: str) -> bool:
    """Whether `text` is `expected` with something in the place of each @, and Python."""
    ast.parse(text)
    pattern = re.escape(expected).replace("@", "(.+?)")
    return re.fullmatch(pattern, text, re.DOTALL) is not None


async def apply(ed: Editor, document: EditorDocument, title: str) -> types.CodeAction:
    action = await ed.resolve(await ed.action(document, title, document.text.index(CURSORS[title])))
    assert action.edit is not None
    ed.apply(action.edit)
    return action


@pytest.mark.parametrize(("encoding", "layout"), [("utf-8", "tabs"), ("utf-16", "carriage returns"), ("utf-32", "plain")])
async def test_fills_come_with_what_belongs_around_them(encoding: str, layout: str) -> None:
    async with editor(settings=SURE, abilities=capabilities(encodings=[encoding])) as ed:
        for number, title in enumerate(APPLIED):
            document = ed.open(with_layout(SAMPLE, layout), uri=f"file:///project/sample{number}.py")
            action = await apply(ed, document, title)
            assert action.title.startswith(f"{title}: ") and "log-likelihood -" in action.title
            assert matches(document.text, with_layout(APPLIED[title], layout)), document.text
            assert document.version == 1 + APPLIED[title].count("@"), "one edit for each hole"


GAPS = '''"""Gaps 😀."""


def total(items):
    pass  # TODO: add them up


def mean(items):
    mood = "😀"; print(items, )
    last =
    return count
'''

FILLED_GAPS = {
    "Write the body of total": ("pass", GAPS.replace("pass  # TODO: add them up", "@")),
    "Fill in the argument": (")\n    last", GAPS.replace("items, )", "items, @)")),
    "Fill in the value": ("\n    return count", GAPS.replace("last =", "last =@")),
}


@pytest.mark.parametrize(("encoding", "layout"), [("utf-8", "tabs"), ("utf-16", "carriage returns"), ("utf-32", "plain")])
@pytest.mark.parametrize("title", FILLED_GAPS)
async def test_what_is_missing_at_the_cursor_is_written(title: str, encoding: str, layout: str) -> None:
    cursor, expected = FILLED_GAPS[title]
    async with editor(settings={**SURE, "seed": 1}, abilities=capabilities(encodings=[encoding])) as ed:
        document = ed.open(with_layout(GAPS, layout))
        at = document.text.index(with_layout(cursor, layout))
        resolved = await ed.resolve(await ed.action(document, title, at))
        assert resolved.edit is not None
        ed.apply(resolved.edit)
        pattern = re.escape(with_layout(expected, layout)).replace("@", "(.+?)")
        found = re.fullmatch(pattern, document.text, re.DOTALL)
        assert found is not None and not found[1].startswith("pass"), document.text


async def test_all_occurrences_get_one_name_and_its_alternatives_are_listed_by_likelihood() -> None:
    async with editor(settings={**SURE, "alternatives": 4, "temperature": 1.0}) as ed:
        document = ed.open(SAMPLE)
        action = await apply(ed, document, NAME)
        found = re.search(r'mood = "😀"; (\w+) = len\(items\)\n    return mood \* (\w+)\n', document.text)
        assert found is not None and found[1] == found[2] != "count"
        assert f": {found[1]} ×2  (log-likelihood" in action.title
        others = [one for one in await ed.actions(document, document.text.index("len(")) if one.title.startswith("Use instead: ")]
        likelihoods = [float(re.search(r"log-likelihood (-[\d.]+)", one.title)[1]) for one in others]  # type: ignore[index]
        assert likelihoods == sorted(likelihoods, reverse=True)
        for other in others[:1]:
            assert isinstance(other, types.CodeAction) and other.edit is not None
            ed.apply(other.edit)
            assert matches(document.text, APPLIED[NAME]) and f"; {found[1]} = len" not in document.text


async def test_a_docstring_is_no_wider_than_its_function() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(SAMPLE)
        await apply(ed, document, DOCUMENT)
        function = ast.parse(document.text).body[-1]
        assert isinstance(function, ast.FunctionDef) and ast.get_docstring(function)


async def test_clients_without_resolve_literals_or_versions_are_served_by_commands() -> None:
    async with editor(settings=SURE, abilities=capabilities(resolve=False, literals=False, versioned=False)) as ed:
        for number, title in enumerate(APPLIED):
            document = ed.open(SAMPLE, uri=f"file:///project/sample{number}.py")
            listed = await ed.actions(document, document.text.index(CURSORS[title]))
            (command,) = [one for one in listed if one.title == title]
            assert isinstance(command, types.Command)
            await ed.execute(command)
            assert matches(document.text, APPLIED[title]), document.text
            applied = [params.edit for method, params in ed.heard if method == types.WORKSPACE_APPLY_EDIT][-1]
            assert applied.document_changes is None and list(applied.changes) == [document.uri]


async def test_a_client_that_shows_disabled_actions_is_told_why() -> None:
    abilities = capabilities()
    assert abilities.text_document is not None and abilities.text_document.code_action is not None
    abilities.text_document.code_action.disabled_support = True
    text = "import os\n\nos.getcwd()\n"
    async with editor(abilities=abilities) as ed:
        action = await ed.action(ed.open(text), "Suggest a better name for os", text.index("os"))
        assert action.disabled is not None and "another module gives" in action.disabled.reason
        assert action.edit is None and action.data is None and action.command is None
    async with editor() as ed:
        assert not [one for one in await ed.actions(ed.open(text), text.index("os")) if one.title.startswith("Suggest")]


async def test_the_file_s_holes_can_be_filled_by_kind() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(THREE_HOLES)
        (action,) = await ed.actions(document, 0, only=["source.lacuna.fillAll"])
        assert isinstance(action, types.CodeAction) and action.kind == "source.lacuna.fillAll"
        assert [one.title for one in await ed.actions(document, 0, only=["source"])] == [action.title]
        assert action.title not in [one.title for one in await ed.actions(document, 0)]
        # What editors run when they save by a setting that many have.
        for kind in ("source.fixAll", "source.organizeImports"):
            assert await ed.actions(document, 0, only=[kind]) == []
        resolved = await ed.resolve(action)
        assert resolved.edit is not None
        ed.apply(resolved.edit)
        assert "___" not in document.text
        assert ed.server is not None
        provider = ed.server.capabilities.code_action_provider
        assert isinstance(provider, types.CodeActionOptions) and "source.lacuna.fillAll" in (provider.code_action_kinds or [])


@pytest.mark.parametrize("title", [ANNOTATE, DOCUMENT])
async def test_a_change_meanwhile_drops_the_answer_with_a_reason(title: str) -> None:
    async with editor(settings={**ENDLESS, "seed": 3}) as ed:
        document = ed.open(SAMPLE)
        action = await ed.action(document, title, document.text.index(CURSORS[title]))
        running = asyncio.create_task(ed.resolve(action))
        await ed.until_running()
        ed.edit(document, 0, 0, "# a note\n")
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.ContentModified
        await ed.until(types.WINDOW_SHOW_MESSAGE, lambda params: "dropped the fill: the document changed" in params.message)
        assert document.text == "# a note\n" + SAMPLE
        with pytest.raises(JsonRpcException) as refusal:
            await ed.resolve(action)
        assert refusal.value.code == types.LSPErrorCodes.ContentModified


async def test_a_search_for_a_name_can_be_cancelled() -> None:
    async with editor(settings={**SURE, "alternatives": 64, "temperature": 5}) as ed:
        document = ed.open(SAMPLE)
        running = asyncio.create_task(ed.resolve(await ed.action(document, NAME, document.text.index(CURSORS[NAME]))))
        token = await ed.until_running()
        ed.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        with pytest.raises(JsonRpcException) as refusal:
            await running
        assert refusal.value.code == types.LSPErrorCodes.RequestCancelled
        titles = [p.value["title"] for m, p in ed.heard if m == types.PROGRESS and p.value["kind"] == "begin"]
        assert "Looking for a better name" in titles


async def test_listing_waits_neither_for_the_model_to_load_nor_for_a_fill() -> None:
    async with editor(settings=ENDLESS) as ed:
        document = ed.open(SAMPLE + THREE_HOLES)
        at = document.text.index("count = ")
        assert [one.title for one in await ed.actions(document, at)][-3:] == [NAME, "Annotate total (2 types)", DOCUMENT]
        loaded = [params for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE and "is ready" in params.message]
        assert not loaded, "the listing came only once the model was there"
        running = asyncio.create_task(ed.resolve(await ed.action(document, "Fill all 3 holes", 0)))
        await ed.until_running()
        began = time.monotonic()
        assert [one.title for one in await ed.actions(document, at)][-3:] == [NAME, "Annotate total (2 types)", DOCUMENT]
        assert not running.done(), f"the fill was over after {time.monotonic() - began:.1f} s: it must outlast the listing to tell anything"
        ed.cancel()
        with pytest.raises(JsonRpcException):
            await running
