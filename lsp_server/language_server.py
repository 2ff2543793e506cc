"""The language server's state: what all features share."""

from __future__ import annotations

import importlib.metadata

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from lsp_server.buffer import Unit
from lsp_server.client_abilities import ClientAbilities
from lsp_server.configuration import Layer, Layers, Settings
from lsp_server.documents import Documents
from lsp_server.inference import Inference
from lsp_server.proposal_cache import ProposalCache
from lsp_server.protocol import LacunaProtocol
from lsp_server.recent_fills import RecentFills
from lsp_server.turns import Turns


class LacunaServer(LanguageServer):
    """Open documents, the model's thread, settings and what the client can do."""

    protocol: LacunaProtocol

    def __init__(self, command_line: Layer) -> None:
        super().__init__("lacuna-lsp", importlib.metadata.version("lacuna-lsp"), protocol_cls=LacunaProtocol)
        self.documents = Documents()
        self.inference = Inference()
        self.recent_fills = RecentFills()
        self.proposals = ProposalCache()
        self.turns = Turns()
        self.layers = Layers(command_line=command_line)
        self.abilities = ClientAbilities()

    @property
    def layers(self) -> Layers:
        """The settings by where they come from."""
        return self._layers

    @layers.setter
    def layers(self, layers: Layers) -> None:
        self._layers = layers
        self.settings: Settings = layers.settings

    @property
    def unit(self) -> Unit:
        """What the client counts characters in, as agreed in `initialize`."""
        match self.workspace.position_encoding:
            case types.PositionEncodingKind.Utf8:
                return "utf-8"
            case types.PositionEncodingKind.Utf32:
                return "utf-32"
            case _:
                return "utf-16"

    def tell(self, message: str, kind: types.MessageType = types.MessageType.Info) -> None:
        """Show the user one sentence."""
        self.window_show_message(types.ShowMessageParams(type=kind, message=message))

    def note(self, message: str, kind: types.MessageType = types.MessageType.Log) -> None:
        """Write one sentence into the editor's log of this server."""
        self.window_log_message(types.LogMessageParams(type=kind, message=message))
