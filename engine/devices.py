"""What a model can run on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")  # what may be asked for


@dataclass(frozen=True)
class Device:
    """Where a model runs: `kind`, and a `name` that a person knows, such as "NVIDIA H200".

    `reason`, where there is one, says in one sentence (without capital and full stop) why that isn't the GPU, or why the CPU had to answer
    in its place, and what to do about it. `is_news`: whoever asked for the device did not expect that, so it is worth a warning.
    """

    kind: Kind
    name: str
    reason: str | None = None
    is_news: bool = False

    @property
    def sentence(self) -> str:
        """The reason, and what it is one for."""
        return str(self.reason) if self.kind != "cpu" else f"the CPU runs the model: {self.reason}"


CPU = Device("cpu", "CPU")


def on_the_cpu(reason: str, is_news: bool = True) -> Device:
    """The CPU in the GPU's place."""
    return Device("cpu", "CPU", reason, is_news)
