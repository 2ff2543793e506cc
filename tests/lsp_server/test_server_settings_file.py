"""lacuna.toml in a workspace: read at the start, watched, and overruled by the editor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsprotocol import types

from lsp_server.settings_file import NAME
from tests.lsp_server.language_client import Editor, editor


async def finds(ed: Editor, marker: str) -> bool:
    """Whether the server takes `marker` for a hole."""
    uri = f"file:///project/{marker}.py"
    document = ed.documents.get(uri) or ed.open(f"x = {marker}\n", uri=uri)
    return any(action.title == "Fill this hole" for action in await ed.actions(document, 5))


async def settled(ed: Editor, change: Callable[[], object]) -> list[str]:
    """Make a change of the file and wait until the server has seen it; gives the messages to the user that came of it."""
    ed.heard.clear()
    change()
    await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: NAME in params.message)
    # Whatever belongs to it has come before this is answered.
    await finds(ed, "___")
    return ed.messages()


async def told(ed: Editor, part: str) -> str:
    """The message to the user that holds `part`."""
    return str((await ed.until(types.WINDOW_SHOW_MESSAGE, lambda params: part in params.message)).message)


def change(ed: Editor, settings: Any) -> None:
    ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))


async def test_it_is_read_at_the_start_and_overruled_by_the_editor(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('marker = "GAP"\n')
    async with editor(workspace=[tmp_path]) as ed:
        assert await finds(ed, "GAP") and not await finds(ed, "___")
        change(ed, {"lacuna": {"marker": "HOLE"}})
        assert await finds(ed, "HOLE") and not await finds(ed, "GAP")
        # What an editor leaves out, or sends as null, it doesn't set.
        change(ed, {"lacuna": {"marker": None, "temperature": 0.5}})
        assert await finds(ed, "GAP")
    async with editor(workspace=[tmp_path], settings={"marker": "FIRST"}) as ed:
        assert await finds(ed, "FIRST") and not await finds(ed, "GAP")


async def test_what_is_wrong_in_it_is_told_at_the_start_and_the_rest_counts(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text(f'# ours\ntemperature = "hot"\nmarker = "GAP"\ntop_p = 1\nmodel = "{tmp_path.as_posix()}"\n')
    async with editor(workspace=[tmp_path]) as ed:
        assert await finds(ed, "GAP")
        assert ed.messages() == [
            f'Lacuna: {path}:2: temperature must be a number from 0 to 10, not "hot".',
            f'Lacuna: {path}:4: there is no setting "top_p"; did you mean topP?',
            f"Lacuna: {path}:5: model can't be set by a project; set it in the editor or on the command line.",
        ]
        # The model that comes with Lacuna, and no attempt at the one that the project names.
        await ed.until_ready()
        assert len(ed.messages()) == 3
        logged = [params.message for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE and str(tmp_path) in params.message]
        assert logged == [f"read {path} request=r1 settings=1 problems=3"]


async def test_its_changes_take_effect(tmp_path: Path) -> None:
    path = tmp_path / NAME
    async with editor(workspace=[tmp_path]) as ed:
        assert await finds(ed, "___")
        assert not await settled(ed, lambda: path.write_text('marker = "CREATED"\n'))
        assert await finds(ed, "CREATED") and not await finds(ed, "___")
        (wrong,) = await settled(ed, lambda: path.write_text('marker = "WRITTEN"\nalternatives = 0\n'))
        assert wrong == f"Lacuna: {path}:2: alternatives must be a whole number from 1 to 64, not 0."
        assert await finds(ed, "WRITTEN") and not await finds(ed, "CREATED")
        # As most editors save.
        (tmp_path / "new").write_text('marker = "REPLACED"\n')
        assert not await settled(ed, lambda: (tmp_path / "new").replace(path))
        assert await finds(ed, "REPLACED")
        # What can't be read sets nothing, and is told.
        (wrong,) = await settled(ed, lambda: path.write_text('marker = "BROKEN\n'))
        assert wrong.startswith(f"Lacuna: {path}:1: the file is no TOML: ")
        assert await finds(ed, "___")
        assert not await settled(ed, lambda: path.write_text('marker = "MENDED"\n'))
        assert await finds(ed, "MENDED")
        assert not await settled(ed, path.unlink)
        assert await finds(ed, "___") and not await finds(ed, "MENDED")
        # What the editor sets holds, whatever the file says.
        change(ed, {"lacuna": {"marker": "HOLE", "alternatives": 5}})
        (wrong,) = await settled(ed, lambda: path.write_text('marker = "GAP"\ntopP = 7\n'))
        assert "topP" in wrong
        assert await finds(ed, "HOLE") and not await finds(ed, "GAP")


async def test_of_several_folders_the_first_that_has_one_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (second / NAME).write_text('marker = "SECOND"\n')
    async with editor(workspace=[first, second]) as ed:
        assert await finds(ed, "SECOND")
        await settled(ed, lambda: (first / NAME).write_text('marker = "FIRST"\n'))
        assert await finds(ed, "FIRST") and not await finds(ed, "SECOND")
        removed = [types.WorkspaceFolder(first.as_uri(), "first")]
        event = types.WorkspaceFoldersChangeEvent(added=[], removed=removed)
        ed.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        assert await finds(ed, "SECOND")
        await settled(ed, lambda: (second / NAME).write_text('marker = "AGAIN"\n'))
        assert await finds(ed, "AGAIN")


async def test_a_folder_in_its_place_and_one_that_is_not_there_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.mkdir()
    (tmp_path / "new").write_text('marker = "GAP"\n')
    async with editor(workspace=[tmp_path / "nowhere", tmp_path]) as ed:
        assert "is a folder" in await told(ed, NAME)
        assert await finds(ed, "___")

        def replace() -> None:
            path.rmdir()
            (tmp_path / "new").replace(path)

        assert not await settled(ed, replace)
        assert await finds(ed, "GAP")
