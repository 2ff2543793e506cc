"""What values a setting takes: each kind reads a value, says in words what it accepts, and describes itself as JSON Schema."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)
_LONGEST_SHOWN = 60


class UnfitValue(ValueError):
    """Raised by `Kind.read` for a value that the setting doesn't take."""


class Kind(Protocol[T_co]):
    """The values of one setting. `accepted` completes the sentence "it must be ..."."""

    @property
    def accepted(self) -> str: ...

    @property
    def schema(self) -> Mapping[str, object]:
        """The JSON Schema of a value."""

    def read(self, value: object) -> T_co:
        """The value as the program has it, out of JSON or TOML. Raises UnfitValue."""


@dataclass(frozen=True)
class Switch:
    """On or off."""

    accepted: str = "true or false"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "boolean"}

    def read(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise UnfitValue
        return value


@dataclass(frozen=True)
class Number:
    """A number from `least` to `most`; with `above` it may not be `least` itself."""

    least: float
    most: float
    above: bool = False

    @property
    def accepted(self) -> str:
        return (
            f"a number above {self.least:g} and at most {self.most:g}" if self.above else f"a number from {self.least:g} to {self.most:g}"
        )

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.least, "maximum": self.most}

    def read(self, value: object) -> float:
        # bool is a kind of int in Python, but no number in a person's settings. Comparisons with nan are false.
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise UnfitValue
        if self.above and value == self.least:
            raise UnfitValue
        return float(value)


@dataclass(frozen=True)
class WholeNumber:
    """A whole number from `least` to `most`. 5.0 is one too, since JSON has but one kind of number."""

    least: int
    most: int

    @property
    def accepted(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise UnfitValue
        if isinstance(value, float) and not value.is_integer():
            raise UnfitValue
        return int(value)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def accepted(self) -> str:
        return f"one of {', '.join(map(repr, self.words))}"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string", "enum": list(self.words)}

    def read(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise UnfitValue
        return value


@dataclass(frozen=True)
class Word:
    """A text of one line that isn't blank."""

    example: str

    @property
    def accepted(self) -> str:
        return f"a word of one line, such as {self.example!r}"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string"}

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not value.strip() or len(value.splitlines()) > 1:
            raise UnfitValue
        return value


@dataclass(frozen=True)
class Folder:
    """The path of a folder; ~ is the home folder. Whether there is one shows when it is used."""

    accepted: str = "the path of a folder"

    @property
    def schema(self) -> Mapping[str, object]:
        return {"type": "string"}

    def read(self, value: object) -> Path:
        if not isinstance(value, str) or "\0" in value:
            raise UnfitValue
        try:
            return Path(value).expanduser()
        except RuntimeError as error:  # no such user
            raise UnfitValue from error


def shown(value: object) -> str:
    """A value as a message quotes it: as JSON, not too long."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        # A number of thousands of digits, and tables in tables in tables: both can be written in TOML.
        return "a number that is far too long" if isinstance(value, int) else "something that is nested too deeply"
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
