"""The VS Code extension's manifest says of settings what the program does, and names nothing that isn't there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from docs.settings_page import properties
from lsp_server.configuration import SCHEMA
from lsp_server.holes import MARKER
from lsp_server.languages import tables

ROOT = Path(__file__).parents[1]
CLIENT = ROOT / "vscode-client"
MANIFEST: dict[str, Any] = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))
CONTRIBUTES: dict[str, Any] = MANIFEST["contributes"]
SETTINGS: dict[str, Any] = {name: value for part in CONTRIBUTES["configuration"] for name, value in part["properties"].items()}
# Proposals while one types come in VS Code only to those who want them: many have another source of them already.
DIFFERENT = "lacuna.inlineCompletion"


def sources() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted((CLIENT / "src").rglob("*.ts")))


def test_settings_of_the_server_are_its_own() -> None:
    for name, described in properties().items():
        if name != DIFFERENT:
            assert SETTINGS[name] == described, f"{name}: take it from docs/settings.json"


def test_the_setting_that_differs_differs_in_its_default_alone() -> None:
    own = SETTINGS[DIFFERENT]
    assert SCHEMA["inlineCompletion"].default is True
    assert own["default"] is False
    assert own["type"] == "boolean"
    assert own["scope"] == properties()[DIFFERENT]["scope"]


def test_no_setting_of_the_client_hides_one_of_the_server() -> None:
    own = [name.removeprefix("lacuna.") for name in SETTINGS if name not in properties()]
    assert sorted(own) == ["codeLens", "languages", "python", "server.command"]


def test_what_runs_programs_or_reads_models_is_no_matter_of_a_workspace() -> None:
    risky = ["lacuna.server.command", "lacuna.python", "lacuna.model"]
    assert all(SETTINGS[name]["scope"] == "machine" for name in risky)
    assert sorted(MANIFEST["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]) == sorted(risky)


def test_every_language_with_a_table_is_looked_at() -> None:
    known = sorted(name for table in tables() for name in table.ids)
    assert sorted(SETTINGS["lacuna.languages"]["default"]) == known
    assert sorted(MANIFEST["activationEvents"]) == sorted(f"onLanguage:{name}" for name in known)
    assert sorted(snippet["language"] for snippet in CONTRIBUTES["snippets"]) == known


def test_the_snippet_types_the_marker() -> None:
    snippets = json.loads((CLIENT / "snippets" / "holes.json").read_text(encoding="utf-8"))
    assert [snippet["body"] for snippet in snippets.values()] == [MARKER]


def test_commands_are_those_of_the_client() -> None:
    declared = {command["command"] for command in CONTRIBUTES["commands"]}
    registered = {f"lacuna.{name}" for name in re.findall(r'\bcommand\("(\w+)"', sources())}
    assert declared == registered - {"lacuna.fillAt"}
    places = [*CONTRIBUTES["keybindings"], *(row for menu in CONTRIBUTES["menus"].values() for row in menu)]
    assert {place["command"] for place in places} <= declared


def test_every_colour_that_is_used_is_declared() -> None:
    declared = {colour["id"] for colour in CONTRIBUTES["colors"]}
    used = set(re.findall(r'ThemeColor\("(lacuna\.\w+)"\)', sources()))
    assert used <= declared
    assert {name for name in declared if "surprise" in name} == {f"lacuna.surprise{level}" for level in range(1, 5)}


def test_the_version_is_that_of_the_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert MANIFEST["version"] == project["version"]
    lock = json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))
    assert lock["version"] == MANIFEST["version"]


def test_the_list_of_packages_names_no_registry() -> None:
    assert "resolved" not in (CLIENT / "package-lock.json").read_text(encoding="utf-8")
