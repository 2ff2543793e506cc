"""The table of settings, and what becomes of values good and bad."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from lsp_server.configuration import SCHEMA, Layer, Layers, Settings, read_layer


def settings_of(values: object) -> Settings:
    layer, problems = read_layer(values, "the editor's settings")
    assert problems == ()
    return Layers(editor=layer).settings


@pytest.mark.parametrize(
    "values", [None, {}, {"temperature": None, "maxTokens": None, "model": None}, {"model": ""}, {"trace": {"server": "off"}}]
)
def test_defaults(values: object) -> None:
    assert settings_of(values) == Settings()


def test_every_setting_is_read() -> None:
    values = {
        "marker": "TODO_",
        "temperature": 0,
        "topP": 0.9,
        "alternatives": 5.0,
        "method": "sequential",
        "maxTokens": 40,
        "model": "/models/mine",
        "device": "cpu",
        "seed": 7,
        "inlineCompletion": False,
        "inlineDelayMs": 0,
        "inlineMinProbability": 1,
        "plainCompletion": "on",
        "surpriseHints": True,
        "surpriseHintBits": 5.5,
        "unloadAfterMinutes": 0,
        "logLevel": "debug",
    }
    assert set(values) == set(SCHEMA)
    settings = settings_of(values)
    assert settings == Settings(
        *("TODO_", 0.0, 0.9, 5, "sequential", 40, Path("/models/mine"), "cpu", 7, False, 0, 1.0, "on", True, 5.5, 0.0, "debug")
    )
    assert [type(getattr(settings, row.name)) for row in fields(Settings)][:4] == [str, float, float, int]
    options = settings.fill_options()
    assert (options.count, options.temperature, options.top_p, options.method, options.seed) == (5, 0.0, 0.9, "sequential", 7)


def test_defaults_are_values_that_may_be_set() -> None:
    for setting in SCHEMA.values():
        if setting.default is None:
            assert setting.unset
        else:
            assert setting.kind.read(setting.default) == setting.default


def test_home_in_the_model_folder() -> None:
    assert settings_of({"model": "~/m"}).model == Path.home() / "m"


@pytest.mark.parametrize("values", [[], "fast", 7, True])
def test_what_is_no_object_sets_nothing(values: object) -> None:
    layer, (problem,) = read_layer(values, "here")
    assert layer == Layer("here") and problem.name is None and "must be an object" in problem.sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("temperature", "hot", 'must be a number from 0 to 10, not "hot"'),
        ("temperature", True, "must be a number from 0 to 10, not true"),
        ("temperature", 11, "must be a number from 0 to 10, not 11"),
        ("temperature", float("nan"), "not nan"),
        ("topP", 0, "must be a number above 0 and at most 1, not 0"),
        ("seed", -1, "must be a whole number from 0 to "),
        ("seed", 1.5, "not 1.5"),
        ("alternatives", 2.5, "must be a whole number from 1 to 64, not 2.5"),
        ("alternatives", float("inf"), "not inf"),
        ("alternatives", 0, "from 1 to 64, not 0"),
        ("alternatives", 10**400, "from 1 to 64, not 1000"),
        ("method", "magic", "must be one of 'fused', 'assd', 'assd-ngram', 'sequential', not \"magic\""),
        ("method", ["fused"], 'not ["fused"]'),
        ("maxTokens", 0, "must be a whole number from 1 to 4096, not 0"),
        ("marker", 3, "must be a word of one line, such as '___', not 3"),
        ("marker", " ", 'not " "'),
        ("marker", "a\nb", r'not "a\nb"'),
        ("model", 3, "must be the path of a folder, not 3"),
        ("model", "a\0b", "must be the path of a folder"),
        ("surpriseHints", 1, "must be true or false, not 1"),
        ("logLevel", "loud", "must be one of 'debug', 'info', 'warning', 'error', not \"loud\""),
        ("inlineDelayMs", -1, "from 0 to 10000, not -1"),
    ],
)
def test_a_bad_value_is_named_with_what_is_accepted_and_the_rest_counts(name: str, value: object, sentence: str) -> None:
    other = "marker" if name != "marker" else "method"
    layer, (problem,) = read_layer({name: value, other: "assd"}, "here")
    assert problem.name == name and problem.sentence.startswith(f"{name} must be ") and sentence in problem.sentence
    assert layer.values == {other: "assd"}


def test_a_long_value_is_quoted_in_short() -> None:
    _, (problem,) = read_layer({"temperature": "x" * 10_000}, "here")
    assert len(problem.sentence) < 200


def test_later_places_overrule_earlier_ones_and_each_value_knows_its_own() -> None:
    layers = Layers(
        file=Layer("lacuna.toml", {"temperature": 0.1, "top_p": 0.1, "alternatives": 1, "seed": 1}),
        initialization=Layer("initialization", {"top_p": 0.2, "alternatives": 2, "seed": 2}),
        editor=Layer("editor", {"alternatives": 3, "seed": 3}),
        command_line=Layer("flags", {"seed": 4}),
    )
    settings = layers.settings
    assert (settings.temperature, settings.top_p, settings.alternatives, settings.seed) == (0.1, 0.2, 3, 4)
    sources = layers.sources
    assert [sources[name] for name in ("temperature", "topP", "alternatives", "seed", "marker")] == [
        *("lacuna.toml", "initialization", "editor", "flags", "default"),
    ]
