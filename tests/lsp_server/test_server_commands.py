"""workspace/executeCommand: what clients without edit-resolve get, and the choice among alternatives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.lsp_server.language_client import capabilities, editor
from tests.lsp_server.sample_code import HOLE, ONE_HOLE, THREE_HOLES

SURE = {"temperature": 0.6, "alternatives": 4, "maxTokens": 24}


async def test_a_client_that_cannot_resolve_edits_gets_a_command_that_applies_them() -> None:
    async with editor(settings=SURE, abilities=capabilities(resolve=False)) as ed:
        document = ed.open(THREE_HOLES)
        action = await ed.action(document, "Fill all 3 holes", 0)
        assert action.data is None and action.edit is None
        await ed.execute(action.command)
        applied = await ed.until(types.WORKSPACE_APPLY_EDIT)
        assert applied.edit.document_changes[0].text_document.version == 1
        assert HOLE not in document.text


async def test_a_client_without_action_literals_gets_bare_commands() -> None:
    async with editor(settings=SURE, abilities=capabilities(literals=False, resolve=False, versioned=False)) as ed:
        document = ed.open(ONE_HOLE)
        listed = await ed.actions(document, document.text.index(HOLE))
        assert listed and all(isinstance(command, types.Command) for command in listed)
        assert isinstance(listed[0], types.Command)
        await ed.execute(listed[0])
        assert HOLE not in document.text


async def test_the_user_chooses_among_alternatives() -> None:
    asked: list[Sequence[types.MessageActionItem]] = []

    def pick_last(items: Sequence[types.MessageActionItem]) -> types.MessageActionItem | None:
        asked.append(items)
        return items[-1]

    async with editor(settings=SURE) as ed:
        document = ed.open(ONE_HOLE)
        action = await ed.action(document, "Fill this hole: choose", document.text.index(HOLE))
        await ed.execute(action.command)
        assert HOLE in document.text, "nothing may be applied where nothing was chosen"
        ed.pick = pick_last
        await ed.execute(action.command)
        assert HOLE not in document.text
        (items,) = asked
        assert all("log-likelihood -" in item.title for item in items)


async def test_bad_arguments_are_answered_with_a_sentence() -> None:
    malformed: list[list[object] | None] = [None, [], ["nonsense"], [{"uri": 3}]]
    async with editor() as ed:
        for arguments in malformed:
            with pytest.raises(JsonRpcException, match=r"^Lacuna: "):
                await ed.execute(types.Command("Fill", "lacuna.fill", arguments=arguments))


async def test_an_unknown_command_is_refused() -> None:
    async with editor() as ed:
        with pytest.raises(JsonRpcException, match="no command"):
            await ed.execute(types.Command("Fill", "lacuna.nothing"))
