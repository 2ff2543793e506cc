"""Recipes: everything that decides what a training run yields, one TOML file per model size in `export/recipe_files/`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from engine.errors import LacunaError
from export.contexts import ContextMix
from export.examples import Prompting
from export.holes import HoleMix
from export.model import ModelConfig

_TABLES: dict[str, type[Any]] = {"model": ModelConfig, "holes": HoleMix, "prompting": Prompting, "context": ContextMix}
_TYPES: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "str": str, "bool": bool}


@dataclass(frozen=True)
class Recipe:
    """`rows` per packed line, `batch` lines a step (on all devices together); Muon for the hidden matrices, AdamW for the rest.

    Learning rates rise over `warmup` steps, stay, and fall linearly to 0 over the last `decay` share of all steps.
    `average` is the decay of the exponential moving average of the weights, which is what is validated and exported; it reaches back over
    a tenth of the run at most.
    `ahead` is the weight of draft rows (asked 2 to `furthest` slots ahead, a quarter as many as content rows).
    """

    name: str
    model: ModelConfig
    rows: int
    batch: int
    muon_rate: float
    adam_rate: float
    warmup: int
    decay: float
    average: float
    ahead: float
    furthest: int
    seed: int
    holes: HoleMix = HoleMix()  # noqa: RUF009 - frozen
    prompting: Prompting = Prompting()  # noqa: RUF009 - frozen
    context: ContextMix = ContextMix()  # noqa: RUF009 - frozen


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises LacunaError that names the file and the field for anything missing, unknown or mistyped."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LacunaError(f"the recipe {path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LacunaError(f"the recipe {path} is not valid TOML: {error}") from None
    parts = {name: _fit(path, f"{name}.", kind, raw.pop(name, {})) for name, kind in _TABLES.items()}
    recipe: Recipe = _fit(path, "", Recipe, {**raw, **parts, "name": path.stem})
    return recipe


def _fit(path: Path, prefix: str, kind: type[Any], raw: dict[str, Any]) -> Any:
    known = {field.name: field for field in fields(kind)}
    for name in raw:
        if name not in known:
            raise LacunaError(f"the recipe {path} has a field {prefix}{name} that is unknown; remove it")
    for name, field in known.items():
        if name not in raw:
            if field.default is field.default_factory:  # neither default given
                raise LacunaError(f"the recipe {path} lacks {prefix}{name}; add it")
            continue
        expected = _TYPES.get(str(field.type))
        if expected is not None and (not isinstance(raw[name], expected) or (expected is not bool and isinstance(raw[name], bool))):
            raise LacunaError(f"the recipe {path} gives {prefix}{name} as {raw[name]!r}; it must be of type {field.type}")
    return kind(**raw)
