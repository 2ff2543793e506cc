"""The settings: one table of what there is, and how the places that may set something are laid one over the other.

Each setting is declared once, as a field of `Settings` with its kind and a sentence. Whatever reads, checks or describes settings
(editors' configuration, lacuna.toml, the reference page, the JSON Schema) goes by that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from engine.devices import DEVICES
from engine.options import METHODS, FillOptions
from lsp_server.holes import MARKER
from lsp_server.setting_kinds import Choice, Folder, Kind, Number, Switch, UnfitValue, WholeNumber, Word, shown

LOG_LEVELS = ("debug", "info", "warning", "error")

T = TypeVar("T")
_EMPTY = (None, "")


def _setting(default: T, kind: Kind[T], description: str, *, unset: str = "", in_workspace: bool = True) -> T:
    """A field of `Settings`. `unset` says what a default of None means; `in_workspace`: whether lacuna.toml may set it."""
    metadata = {"kind": kind, "description": description, "unset": unset, "in_workspace": in_workspace}
    result: T = field(default=default, metadata=metadata)
    return result


@dataclass(frozen=True)
class Settings:
    """All settings. The names that people write are those of the fields in camelCase: `topP`."""

    marker: str = _setting(MARKER, Word(MARKER), "The word that stands for a hole.")
    temperature: float = _setting(
        0.4, Number(0, 10), "How freely fills are drawn: 0 gives the likeliest token each time, 1 the model's own distribution."
    )
    top_p: float = _setting(1.0, Number(0, 1, above=True), "The share of probability that is kept for each token; the rest is never drawn.")
    alternatives: int = _setting(3, WholeNumber(1, 64), "How many suggestions a request asks for.")
    method: str = _setting(
        "fused", Choice(METHODS), "How tokens are drawn: all methods draw from the same distribution, at different speeds."
    )
    max_tokens: int | None = _setting(None, WholeNumber(1, 4096), "The most tokens that one hole may get.", unset="by the kind of hole")
    model: Path | None = _setting(  # noqa: RUF009  # as the others it is a field, which the rule doesn't see
        None, Folder(), "The folder of the model.", unset="the model that comes with Lacuna", in_workspace=False
    )
    device: str = _setting(
        "auto", Choice(DEVICES), "What the model runs on: 'auto' is an NVIDIA card where that can be used, and else the CPU."
    )
    seed: int | None = _setting(
        None, WholeNumber(0, 2**63 - 1), "Makes the same request draw the same fills.", unset="drawn anew each time"
    )
    inline_completion: bool = _setting(True, Switch(), "Whether text is proposed at the cursor while you type.")
    inline_delay_ms: int = _setting(75, WholeNumber(0, 10_000), "How many milliseconds you must pause before a proposal is computed.")
    inline_min_probability: float = _setting(
        0.3, Number(0, 1), "Proposals whose tokens have a lower mean probability than this are not shown unasked."
    )
    plain_completion: str = _setting(
        "auto",
        Choice(("auto", "on", "off")),
        "Whether proposals stand in the completion menu too: 'auto' puts them there where the editor shows none at the cursor.",
    )
    surprise_hints: bool = _setting(False, Switch(), "Whether the least expected places of a file are marked by hints.")
    surprise_hint_bits: float = _setting(8.0, Number(0, 64), "From how many bits of surprise on a token gets such a hint.")
    unload_after_minutes: float = _setting(
        30.0, Number(0, 10_080), "After how many idle minutes the model gives its memory back; 0 keeps it for ever."
    )
    log_level: str = _setting(
        "info", Choice(LOG_LEVELS), "How much the server writes into its log; at 'debug' your code may be a part of that."
    )

    def fill_options(self) -> FillOptions:
        """The engine's options for a request by these settings."""
        return FillOptions(count=self.alternatives, temperature=self.temperature, top_p=self.top_p, seed=self.seed, method=self.method)


@dataclass(frozen=True)
class Setting:
    """One row of the table: the `name` that people write, and the `field` of Settings; the others as in its declaration."""

    name: str
    field: str
    kind: Kind[Any]
    default: Any
    description: str
    unset: str
    in_workspace: bool


def camel_case(name: str) -> str:
    """The name that goes over the wire for a field's."""
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


SCHEMA: Mapping[str, Setting] = {
    setting.name: setting
    for setting in (Setting(camel_case(row.name), row.name, default=row.default, **row.metadata) for row in fields(Settings))
}


@dataclass(frozen=True)
class Problem:
    """Something wrong in one place's settings: which of them (None: all), and the rest of a sentence about it."""

    name: str | None
    sentence: str


@dataclass(frozen=True)
class Layer:
    """What one place sets, by the fields of Settings, each value checked. `source` is that place in words."""

    source: str
    values: Mapping[str, object] = field(default_factory=dict)


def read_layer(values: object, source: str) -> tuple[Layer, tuple[Problem, ...]]:
    """The sound values of an object with the names of SCHEMA, and what is wrong with the others: those count as not set.

    null and an empty text set nothing. Names that aren't in SCHEMA are passed over: editors keep their own among ours.
    """
    if values is None:
        return Layer(source), ()
    if not isinstance(values, Mapping):
        return Layer(source), (Problem(None, f"must be an object with names such as temperature and alternatives, not {shown(values)}"),)
    sound: dict[str, object] = {}
    problems = []
    for name, setting in SCHEMA.items():
        value = values.get(name)
        if value in _EMPTY:
            continue
        try:
            sound[setting.field] = setting.kind.read(value)
        except UnfitValue:
            problems.append(Problem(name, f"{name} must be {setting.kind.accepted}, not {shown(value)}"))
    return Layer(source, sound), tuple(problems)


@dataclass(frozen=True)
class Layers:
    """What each place sets. A later field overrules an earlier one.

    A project's lacuna.toml comes first, since whoever sits at the editor must be able to overrule a project that they only opened, and
    a command line, which is typed for this one run, overrules all.
    """

    file: Layer = Layer("lacuna.toml")
    initialization: Layer = Layer("the editor's initialization options")
    editor: Layer = Layer("the editor's settings")
    command_line: Layer = Layer("the command line")

    @property
    def settings(self) -> Settings:
        """The settings that hold."""
        merged: dict[str, Any] = {}
        for layer in self._in_order:
            merged |= layer.values
        return Settings(**merged)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value comes from, by its name in SCHEMA."""
        found = dict.fromkeys(SCHEMA, "default")
        for layer in self._in_order:
            found |= {name: layer.source for name, setting in SCHEMA.items() if setting.field in layer.values}
        return found

    @property
    def _in_order(self) -> tuple[Layer, ...]:
        return self.file, self.initialization, self.editor, self.command_line
