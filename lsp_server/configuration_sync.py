"""initialize, initialized, workspace/didChangeConfiguration, workspace/didChangeWorkspaceFolders: the client's abilities, and the
settings from the editor and from the project's lacuna.toml."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from lsp_server.client_abilities import ClientAbilities
from lsp_server.client_process import exit_with_client
from lsp_server.configuration import Layer, Layers, read_layer
from lsp_server.device_news import DeviceNews
from lsp_server.language_server import LacunaServer
from lsp_server.log import log_to_editor
from lsp_server.model_loading import ModelLoading
from lsp_server.settings_file import NAME, find_in, read_settings_file
from lsp_server.surprise_hints import renew_all_hints

SECTION = "lacuna"


def initialize(ls: LacunaServer, params: types.InitializeParams) -> None:
    """Note what the client can do and wants. The model is not touched: `initialize` must answer at once."""
    ls.abilities = ClientAbilities.of(params.capabilities)
    ls.inference.on_load = ModelLoading(ls).follow
    news = DeviceNews(ls)

    def on_change() -> None:
        ls.show_status()
        news.look()

    ls.inference.on_change = on_change
    _adopt(ls, "initialization", params.initialization_options)
    read_project(ls)


async def initialized(ls: LacunaServer, params: types.InitializedParams) -> None:
    """Read the settings where the client lets them be read, and watch what may change on the disk."""
    ls.show_status()
    exit_with_client(ls)
    _watch_project(ls)
    await _pull(ls)


async def did_change_configuration(ls: LacunaServer, params: types.DidChangeConfigurationParams) -> None:
    """Take the new settings, out of the notification or, where it brings none, by asking for them."""
    if params.settings:
        _adopt(ls, "editor", params.settings)
    else:
        await _pull(ls)


def did_change_workspace_folders(ls: LacunaServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
    """Another folder's lacuna.toml may count now."""
    read_project(ls)
    _watch_project(ls)


async def _pull(ls: LacunaServer) -> None:
    if not ls.abilities.pulls_configuration:
        return
    try:
        asked = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        values = await asyncio.shield(ls.workspace_configuration_async(asked))
    except JsonRpcException as error:
        ls.note(f"the client gave no settings: {error}")
        return
    # A client without such a section answers null.
    if values and values[0] is not None:
        _adopt(ls, "editor", values[0])


def _adopt(ls: LacunaServer, place: Literal["initialization", "editor"], values: object) -> None:
    """Take over what one place sets, less what is wrong there, which the user is told."""
    if isinstance(values, dict) and SECTION in values:
        values = values[SECTION]
    before: Layer = getattr(ls.layers, place)
    layer, problems = read_layer(values, before.source)
    # No object at all is no word about any setting.
    if not any(problem.name is None for problem in problems):
        _apply(ls, replace(ls.layers, **{place: layer}))
    for problem in problems:
        _complain(ls, f"{before.source}: {problem.sentence}")


def read_project(ls: LacunaServer) -> None:
    """Read the lacuna.toml of the first workspace folder that has one."""
    path = find_in(_roots(ls))
    if path is None:
        if ls.layers.file.values:
            ls.note(f"{ls.layers.file.source} has gone, and its settings with it")
        _apply(ls, replace(ls.layers, file=Layers().file))
        return
    found = read_settings_file(path)
    _apply(ls, replace(ls.layers, file=found.layer))
    ls.note(f"read {path}", settings=len(found.layer.values), problems=len(found.problems))
    for problem in found.problems:
        _complain(ls, problem)


def _watch_project(ls: LacunaServer) -> None:
    ls.watcher.watch(NAME, [root / NAME for root in _roots(ls)], partial(read_project, ls))


def _roots(ls: LacunaServer) -> list[Path]:
    """The workspace's folders on this machine, in the client's order."""
    uris = [folder.uri for folder in ls.workspace.folders.values()] or [ls.workspace.root_uri]
    paths = [to_fs_path(uri) for uri in uris if uri and uri.startswith("file:")]
    return [Path(path) for path in paths if path]


def _complain(ls: LacunaServer, problem: str) -> None:
    ls.tell(f"Lacuna: {problem}" if problem.endswith("?") else f"Lacuna: {problem}.", types.MessageType.Warning)


def _apply(ls: LacunaServer, layers: Layers) -> None:
    """Let other settings hold from now on."""
    ls.layers, ls.settings = layers, layers.settings
    log_to_editor(ls.editor_log, ls.settings.log_level)
    ls.inference.idle_seconds = 60 * ls.settings.unload_after_minutes
    if (ls.inference.folder, ls.inference.device) != (ls.settings.model, ls.settings.device):
        ls.inference.folder, ls.inference.device = ls.settings.model, ls.settings.device
        ls.inference.renew()
    renew_all_hints(ls)
