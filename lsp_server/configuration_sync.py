"""initialize, initialized, workspace/didChangeConfiguration: the client's abilities and the user's settings."""

from __future__ import annotations

import asyncio

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from engine.errors import LacunaError
from lsp_server.client_abilities import ClientAbilities
from lsp_server.configuration import Settings
from lsp_server.language_server import LacunaServer
from lsp_server.model_loading import load_model
from lsp_server.surprise_hints import renew_all_hints

SECTION = "lacuna"


def initialize(ls: LacunaServer, params: types.InitializeParams) -> None:
    """Note what the client can do and wants. The model is not touched: `initialize` must answer at once."""
    ls.abilities = ClientAbilities.of(params.capabilities)
    _adopt(ls, params.initialization_options)
    ls.inference.folder = ls.model_folder


async def initialized(ls: LacunaServer, params: types.InitializedParams) -> None:
    """Load the model, and read the settings where the client lets them be read."""
    loading = asyncio.create_task(load_model(ls))
    await _pull(ls)
    await loading


async def did_change_configuration(ls: LacunaServer, params: types.DidChangeConfigurationParams) -> None:
    """Take the new settings, out of the notification or, where it brings none, by asking for them."""
    if params.settings:
        _adopt(ls, params.settings)
    else:
        await _pull(ls)
    await _load_if_another(ls)


async def _pull(ls: LacunaServer) -> None:
    if not ls.abilities.pulls_configuration:
        return
    try:
        asked = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        values = await asyncio.shield(ls.workspace_configuration_async(asked))
    except JsonRpcException as error:
        ls.note(f"the client gave no settings: {error}")
        return
    # A client without such a section answers null, and one that knows it but has nothing set an empty object.
    if values and values[0]:
        _adopt(ls, values[0])
        await _load_if_another(ls)


def _adopt(ls: LacunaServer, values: object) -> None:
    """Take settings over, or keep the present ones and say what is wrong with the new."""
    if isinstance(values, dict) and SECTION in values:
        values = values[SECTION]
    if not values:
        return
    try:
        ls.settings = Settings.parse(values)
    except LacunaError as error:
        ls.tell(f"Lacuna's settings are not used: {error}", types.MessageType.Warning)
    renew_all_hints(ls)


async def _load_if_another(ls: LacunaServer) -> None:
    if ls.inference.folder != ls.model_folder:
        ls.inference.folder = ls.model_folder
        await load_model(ls)
