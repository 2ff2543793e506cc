"""Telling why the GPU doesn't run the model: once, and as loudly as somebody asked for it."""

from __future__ import annotations

from lsprotocol import types

from engine.devices import Device
from lsp_server.language_server import LacunaServer


class DeviceNews:
    """Looks at what the model runs on, whenever that may have changed. A reason is told once a session.

    What was to be expected goes into the log of those who debug; the rest is a warning there, and in lacuna/status. A message on the
    screen is for those who asked for the GPU, and for those who had it.
    """

    def __init__(self, ls: LacunaServer) -> None:
        self._ls = ls
        self._told: set[tuple[str, Device]] = set()
        self._had_gpu = False

    def look(self) -> None:
        infiller, wanted = self._ls.inference.infiller, self._ls.inference.device
        if infiller is None:
            return
        device = infiller.device
        self._had_gpu |= device.kind != "cpu"
        if device.reason is None or (wanted, device) in self._told:
            return
        self._told.add((wanted, device))
        self._ls.note(device.sentence, types.MessageType.Warning if device.is_news else types.MessageType.Debug)
        if device.is_news and (wanted == "cuda" or self._had_gpu):
            self._ls.tell(f"Lacuna: {device.sentence}.", types.MessageType.Warning)
