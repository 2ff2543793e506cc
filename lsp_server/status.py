"""The notification `lacuna/status`: what the model is doing, and why the last request brought nothing. For an editor's status bar.

Only a client that asks for it (the experimental ability `lacunaStatus`) gets it: others would complain of an unknown message.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lsp_server.configuration import camel_case
from lsp_server.inference import State

STATUS = "lacuna/status"


@dataclass(frozen=True)
class Status:
    """`model`, `model_id` and `device` of the model in use, and `device_reason`, why that isn't the GPU where one could expect it, or why
    the GPU had to let the CPU answer. `message` says in one sentence why there is no model, or why the request `request` brought nothing;
    it goes when the next request begins."""

    state: State
    model: str | None = None
    model_id: str | None = None
    device: str | None = None
    device_reason: str | None = None
    message: str | None = None
    request: str | None = None

    def as_json(self) -> dict[str, str]:
        """The notification's params; what is None is left out."""
        return {camel_case(name): value for name, value in asdict(self).items() if value is not None}
