"""The settings a person may give, from an editor's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import LacunaError
from engine.options import FillOptions
from lsp_server.holes import MARKER


@dataclass(frozen=True)
class Settings:
    """What an editor may set. In its configuration the names are `marker`, `temperature`, `topP`, `alternatives`,
    `method`, `maxTokens`, `model`, `seed`, `inlineCompletion`, `inlineDelayMs`, `inlineMinProbability` and `plainCompletion`.

    `alternatives` is the number of suggestions a request; `max_tokens` None: a budget by the hole's kind; `model`
    None: the default model. `seed` makes the same request draw the same fills; None draws anew each time.
    """

    marker: str = MARKER
    temperature: float = 0.4
    top_p: float = 1.0
    alternatives: int = 3
    method: str = "fused"
    max_tokens: int | None = None
    model: Path | None = None
    seed: int | None = None
    inline_completion: bool = True
    inline_delay_ms: int = 75
    inline_min_probability: float = 0.3
    plain_completion: str = "auto"
    surprise_hints: bool = False
    surprise_hint_bits: float = 8.0
    unload_after_minutes: float = 30.0
    log_level: str = "info"

    @classmethod
    def parse(cls, values: object) -> Settings:
        """Settings from an editor's JSON object. None, null and names left out mean the defaults; unknown names, which a
        client may keep for itself, are passed over. Raises LacunaError for a value of the wrong type or out of range.
        """
        if values is None:
            return cls()
        if not isinstance(values, Mapping):
            raise LacunaError("the settings must be an object with names such as temperature and alternatives")
        defaults = cls()
        marker = _string(values, "marker", defaults.marker)
        if not marker.strip() or len(marker.splitlines()) > 1:
            raise LacunaError("the setting marker must be a word of one line, such as ___")
        max_tokens = _whole_number(values, "maxTokens", 0)
        if max_tokens < 0:
            raise LacunaError(f"the setting maxTokens must be at least 1, not {max_tokens}")
        model = _string(values, "model", "")
        settings = cls(
            marker=marker,
            temperature=_number(values, "temperature", defaults.temperature),
            top_p=_number(values, "topP", defaults.top_p),
            alternatives=_whole_number(values, "alternatives", defaults.alternatives),
            method=_string(values, "method", defaults.method),
            max_tokens=max_tokens or None,
            model=Path(model).expanduser() if model else None,
            seed=_whole_number(values, "seed", 0) if values.get("seed") is not None else None,
            inline_completion=_flag(values, "inlineCompletion", defaults.inline_completion),
            inline_delay_ms=_whole_number(values, "inlineDelayMs", defaults.inline_delay_ms),
            inline_min_probability=_number(values, "inlineMinProbability", defaults.inline_min_probability),
            plain_completion=_string(values, "plainCompletion", defaults.plain_completion),
        )
        if settings.seed is not None and settings.seed < 0:
            raise LacunaError(f"the setting seed must be at least 0, not {settings.seed}")
        # The engine's own limits, so that a bad value is refused here and not at the first fill.
        settings.fill_options()
        return settings

    def fill_options(self) -> FillOptions:
        """The engine's options for a request by these settings."""
        return FillOptions(count=self.alternatives, temperature=self.temperature, top_p=self.top_p, seed=self.seed, method=self.method)


def _string(values: Mapping[object, object], name: str, default: str) -> str:
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise LacunaError(f"the setting {name} must be a text, not {value!r}")
    return value


def _flag(values: Mapping[object, object], name: str, default: bool) -> bool:
    value = values.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise LacunaError(f"the setting {name} must be true or false, not {value!r}")
    return value


def _number(values: Mapping[object, object], name: str, default: float) -> float:
    value = values.get(name)
    if value is None:
        return default
    # bool is a kind of int in Python, but no number in a person's settings.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LacunaError(f"the setting {name} must be a number, not {value!r}")
    return float(value)


def _whole_number(values: Mapping[object, object], name: str, default: int) -> int:
    value = float(_number(values, name, default))
    if not value.is_integer():
        raise LacunaError(f"the setting {name} must be a whole number, not {value}")
    return int(value)
