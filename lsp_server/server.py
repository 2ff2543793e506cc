"""The language server put together: which handler answers which message."""

from __future__ import annotations

from lsprotocol import types

from lsp_server import code_actions, commands, completion, configuration_sync, document_sync, inline_completion
from lsp_server.configuration import Layer
from lsp_server.hover import hover
from lsp_server.language_server import LacunaServer
from lsp_server.own_requests import fill, holes, surprise_map


def create_server(command_line: Layer) -> LacunaServer:
    """A server with all features. What the command line sets overrules the client's settings."""
    server = LacunaServer(command_line)
    server.feature(types.INITIALIZE)(configuration_sync.initialize)
    server.feature(types.INITIALIZED)(configuration_sync.initialized)
    server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(configuration_sync.did_change_configuration)
    server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)(configuration_sync.did_change_workspace_folders)
    server.feature(types.TEXT_DOCUMENT_DID_OPEN)(document_sync.did_open)
    server.feature(types.TEXT_DOCUMENT_DID_CHANGE)(document_sync.did_change)
    server.feature(types.TEXT_DOCUMENT_DID_CLOSE)(document_sync.did_close)
    server.feature(types.TEXT_DOCUMENT_CODE_ACTION, code_actions.OPTIONS)(code_actions.list_code_actions)
    server.feature(types.CODE_ACTION_RESOLVE)(code_actions.resolve_code_action)
    server.feature(types.TEXT_DOCUMENT_HOVER)(hover)
    server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, inline_completion.OPTIONS)(inline_completion.inline_completion)
    server.feature(types.TEXT_DOCUMENT_COMPLETION, completion.OPTIONS)(completion.completion)
    server.feature(holes.HOLES)(holes.holes)
    server.feature(fill.FILL)(fill.fill)
    server.feature(surprise_map.SURPRISE_MAP)(surprise_map.surprise_map)
    server.command(commands.FILL)(commands.fill)
    server.command(commands.CHOOSE_FILL)(commands.choose_fill)
    return server
