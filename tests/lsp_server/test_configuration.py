"""Settings from an editor."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import LacunaError
from lsp_server.configuration import Settings


@pytest.mark.parametrize(
    "values", [None, {}, {"temperature": None, "maxTokens": None, "model": None}, {"model": ""}, {"trace": {"server": "off"}}]
)
def test_defaults(values: object) -> None:
    assert Settings.parse(values) == Settings()


def test_everything_set() -> None:
    values = {
        "marker": "TODO_",
        "temperature": 0,
        "topP": 0.9,
        "alternatives": 5.0,
        "method": "sequential",
        "maxTokens": 40,
        "model": "/models/mine",
        "seed": 7,
    }
    settings = Settings.parse(values)
    assert settings == Settings("TODO_", 0.0, 0.9, 5, "sequential", 40, Path("/models/mine"), 7)
    inline = {"inlineCompletion": False, "inlineDelayMs": 0, "inlineMinProbability": 0.5, "plainCompletion": "off"}
    assert Settings.parse(inline) == Settings(
        inline_completion=False, inline_delay_ms=0, inline_min_probability=0.5, plain_completion="off"
    )
    options = settings.fill_options()
    assert (options.count, options.temperature, options.top_p, options.method, options.seed) == (5, 0.0, 0.9, "sequential", 7)


def test_home_in_the_model_folder() -> None:
    assert Settings.parse({"model": "~/m"}).model == Path.home() / "m"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "must be an object"),
        ("fast", "must be an object"),
        ({"temperature": "hot"}, "setting temperature must be a number"),
        ({"temperature": True}, "setting temperature must be a number"),
        ({"temperature": 11}, "temperature must lie between 0 and 10"),
        ({"temperature": float("nan")}, "temperature must lie between 0 and 10"),
        ({"topP": 0}, "top-p must be above 0"),
        ({"seed": -1}, "setting seed must be at least 0"),
        ({"seed": 1.5}, "setting seed must be a whole number"),
        ({"alternatives": 2.5}, "setting alternatives must be a whole number"),
        ({"alternatives": float("inf")}, "setting alternatives must be a whole number"),
        ({"alternatives": 0}, "between 1 and 64"),
        ({"method": "magic"}, "method must be one of"),
        ({"maxTokens": -1}, "setting maxTokens must be at least 1"),
        ({"marker": 3}, "setting marker must be a text"),
        ({"marker": " "}, "setting marker must be a word"),
        ({"marker": "a\nb"}, "setting marker must be a word"),
        ({"model": 3}, "setting model must be a text"),
        ({"inlineCompletion": 1}, "setting inlineCompletion must be true or false"),
    ],
)
def test_bad_values_are_named(values: object, message: str) -> None:
    with pytest.raises(LacunaError, match=message):
        Settings.parse(values)
