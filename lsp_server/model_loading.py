"""What is told of a model that is loaded behind the user's back, and the watch over its folder."""

from __future__ import annotations

import asyncio
import time

from lsprotocol import types

from engine.default_model import DEFAULT_MODEL
from engine.devices import Kind
from engine.infiller import Infiller
from lsp_server.language_server import LacunaServer
from lsp_server.progress import WorkDoneProgress
from lsp_server.proposal_cache import ProposalCache
from lsp_server.recent_fills import RecentFills
from lsp_server.surprise_hints import renew_all_hints
from lsp_server.watcher import Fingerprint, fingerprint


class ModelLoading:
    """Goes with each load from its begin to its end."""

    def __init__(self, ls: LacunaServer) -> None:
        self._ls = ls
        self._complaint: str | None = None
        self._loaded: tuple[Fingerprint, Kind] | None = None

    def follow(self, loading: asyncio.Task[Infiller]) -> None:
        """Watch the folder as it is now, and tell how the load goes. Another model in that folder is loaded too."""
        inference = self._ls.inference
        folder = inference.folder or DEFAULT_MODEL
        self._ls.watcher.watch("model", [folder], inference.renew)
        self._ls.keep(asyncio.create_task(self._tell(loading, inference.infiller, fingerprint(folder))))

    async def _tell(self, loading: asyncio.Task[Infiller], before: Infiller | None, files: Fingerprint) -> None:
        """A broken model is told to the user once; requests then go on with the one before, or repeat the reason where there is none."""
        self._ls.note(f"loading the model {self._ls.inference.folder or 'that comes with Lacuna'}")
        started = time.monotonic()
        async with WorkDoneProgress(self._ls, "Loading Lacuna's model"):
            await asyncio.wait([loading])
        if loading.cancelled():
            return
        if (error := loading.exception()) is not None:
            kept = f"Lacuna goes on with the model {before.model_name}" if before else "Lacuna has no model"
            self._complain(f"{kept}: {error}", types.MessageType.Warning if before else types.MessageType.Error)
            return
        self._complaint = None
        infiller = loading.result()
        loaded = (files, infiller.device.kind)
        is_another, self._loaded = self._loaded not in (None, loaded), loaded
        if is_another:
            # The likelihoods in them are the old model's, which may have been unloaded since, or another device's, which rounds otherwise.
            self._ls.recent_fills, self._ls.proposals = RecentFills(), ProposalCache()
            renew_all_hints(self._ls)
        milliseconds = 1000 * (time.monotonic() - started)
        self._ls.note(f"the model {infiller.model_name} is ready ({infiller.device.name}, {milliseconds:.0f} ms)")

    def _complain(self, complaint: str, kind: types.MessageType) -> None:
        if complaint != self._complaint:
            self._ls.tell(complaint, kind)
        self._complaint = complaint
        self._ls.note(complaint, types.MessageType.Warning)
