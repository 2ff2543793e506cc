"""initialize, initialized, workspace/didChangeConfiguration: the client's abilities and the user's settings."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.client_abilities import ClientAbilities
from lsp_server.configuration import Layer, read_layer
from lsp_server.language_server import LacunaServer
from lsp_server.model_loading import load_model

SECTION = "lacuna"


def initialize(ls: LacunaServer, params: types.InitializeParams) -> None:
    """Note what the client can do and wants. The model is not touched: `initialize` must answer at once."""
    ls.abilities = ClientAbilities.of(params.capabilities)
    _adopt(ls, "initialization", params.initialization_options)
    ls.inference.folder = ls.settings.model


async def initialized(ls: LacunaServer, params: types.InitializedParams) -> None:
    """Load the model, and read the settings where the client lets them be read."""
    loading = asyncio.create_task(load_model(ls))
    await _pull(ls)
    await loading


async def did_change_configuration(ls: LacunaServer, params: types.DidChangeConfigurationParams) -> None:
    """Take the new settings, out of the notification or, where it brings none, by asking for them."""
    if params.settings:
        _adopt(ls, "editor", params.settings)
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
        _adopt(ls, "editor", values[0])
        await _load_if_another(ls)


def _adopt(ls: LacunaServer, place: Literal["initialization", "editor"], values: object) -> None:
    """Take over what one place sets, less what is wrong there, which the user is told."""
    if isinstance(values, dict) and SECTION in values:
        values = values[SECTION]
    before: Layer = getattr(ls.layers, place)
    layer, problems = read_layer(values, before.source)
    # No object at all is no word about any setting.
    if any(problem.name is None for problem in problems):
        layer = before
    ls.layers = replace(ls.layers, **{place: layer})
    for problem in problems:
        ls.tell(f"Lacuna: {before.source}: {problem.sentence}.", types.MessageType.Warning)


async def _load_if_another(ls: LacunaServer) -> None:
    if ls.inference.folder != ls.settings.model:
        ls.inference.folder = ls.settings.model
        await load_model(ls)
