"""Settings: initialization options, workspace/didChangeConfiguration, workspace/configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lsprotocol import types

from tests.lsp_server.language_client import PATIENCE, Editor, capabilities, editor


async def finds(ed: Editor, marker: str) -> bool:
    """Whether the server takes `marker` for a hole."""
    document = ed.open(f"x = {marker}\n", uri=f"file:///project/{marker}.py")
    return any(action.title == "Fill this hole" for action in await ed.actions(document, 5))


def change(ed: Editor, settings: object) -> None:
    ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))


async def test_initialization_options_are_taken() -> None:
    async with editor(settings={"marker": "HOLE"}) as ed:
        assert await finds(ed, "HOLE") and not await finds(ed, "___")


async def test_a_changed_configuration_is_taken_with_and_without_the_section_s_name() -> None:
    async with editor() as ed:
        change(ed, {"lacuna": {"marker": "HOLE"}})
        assert await finds(ed, "HOLE")
        change(ed, {"marker": "GAP"})
        assert await finds(ed, "GAP")


async def test_a_bad_value_is_told_and_the_rest_is_taken() -> None:
    async with editor(settings={"marker": "HOLE"}) as ed:
        for bad, marker, told in (
            ({"lacuna": {"temperature": "hot"}}, "HOLE", 'temperature must be a number from 0 to 10, not "hot"'),
            ({"lacuna": {"marker": "GAP", "topP": 7}}, "GAP", "topP must be "),
            # No settings at all: the present ones stay.
            ({"lacuna": 7}, "GAP", "must be an object"),
            # What an editor sets goes over what it brought at the start.
            ({"lacuna": {"marker": ["x"]}}, "HOLE", "marker must be "),
        ):
            before = len(ed.messages())
            change(ed, bad)
            assert await finds(ed, marker)
            (message,) = ed.messages()[before:]
            assert message.startswith("Lacuna: the editor's settings: ") and told in message
    async with editor(settings={"temperature": "hot", "marker": "GAP"}) as ed:
        assert "initialization options: temperature" in (await ed.until(types.WINDOW_SHOW_MESSAGE)).message
        assert await finds(ed, "GAP")


async def test_settings_are_asked_for_where_the_client_answers() -> None:
    async with editor(abilities=capabilities(configuration=True)) as ed:
        asked = await ed.until(types.WORKSPACE_CONFIGURATION)
        assert [item.section for item in asked.items] == ["lacuna"]
        ed.settings = {"marker": "HOLE"}
        ed.heard.clear()
        change(ed, None)
        await ed.until(types.WORKSPACE_CONFIGURATION)
        # Answer and next request cross; how soon the answer counts is not promised.
        async with asyncio.timeout(PATIENCE):
            while not await finds(ed, "HOLE"):
                await asyncio.sleep(0.01)


async def test_another_model_folder_is_loaded(tmp_path: Path) -> None:
    async with editor() as ed:
        await ed.until_ready()
        change(ed, {"lacuna": {"model": str(tmp_path / "nowhere")}})
        told = await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert "nowhere" in told.message
        ed.heard.clear()
        change(ed, {"lacuna": {"temperature": 0.5}})
        await ed.until_ready()
