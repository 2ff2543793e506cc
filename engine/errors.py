"""The errors that reach a person, each one plain sentence."""

from __future__ import annotations


class LacunaError(Exception):
    """Something a user can mend; the message names what is wrong and what to do."""


class ModelError(LacunaError):
    """A model folder that can't be used: missing, truncated, altered, of another format or with broken weights."""


class DeviceError(LacunaError):
    """The GPU can't be used, or failed during a pass: no memory left on it, or lost. What was asked for can still be had from the CPU."""


class PassageError(LacunaError):
    """A passage that the model can't take: no hole, too many rows, a budget out of range."""


class Cancelled(Exception):
    """Raised by an `on_pass` hook to stop a fill; no decoder swallows it."""
