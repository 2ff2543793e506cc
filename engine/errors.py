"""The errors that reach a person, each one plain sentence."""

from __future__ import annotations


class LacunaError(Exception):
    """Something a user can mend; the message names what is wrong and what to do."""


class ModelError(LacunaError):
    """A model folder that can't be used: missing, truncated, altered, of another format or with broken weights."""


class DeviceError(LacunaError):
    """The GPU can't be used, or failed during a pass. What was asked for can still be had from the CPU.

    `out_of_memory`: it has not enough memory for this, and may have for something else; else it is lost to this process.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        super().__init__(message)
        self.out_of_memory = out_of_memory


class PassageError(LacunaError):
    """A passage that the model can't take: no hole, too many rows, a budget out of range."""


class Cancelled(Exception):
    """Raised by an `on_pass` hook to stop a fill; no decoder swallows it."""
