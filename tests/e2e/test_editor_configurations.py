"""What docs/editors.md shows for editors that can't be run here: it parses, and the server takes its command, languages and settings."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Sequence
from typing import Any

from lsp_server.languages import tables
from tests.e2e.editor_page import configuration
from tests.lsp_server.language_client import editor


async def accepts(command: Sequence[str], settings: dict[str, Any]) -> None:
    """The server starts so, and has no complaint about the settings."""
    program, *arguments = command
    assert program == "lacuna-lsp"
    async with editor(*arguments, settings=settings) as ed:
        document = ed.open("total = ___\n")
        titles = [action.title for action in await ed.actions(document, document.text.index("___"))]
        assert "Fill this hole" in titles
        assert not ed.messages()


async def test_helix() -> None:
    page = tomllib.loads(configuration("Helix", "toml"))
    server = page["language-server"]["lacuna"]
    assert set(server) == {"command", "args", "config"}
    assert page["language"] and all("lacuna" in language["language-servers"] for language in page["language"])
    await accepts([server["command"], *server["args"]], server["config"])


async def test_sublime() -> None:
    server = json.loads(configuration("Sublime Text", "json"))["clients"]["lacuna"]
    assert set(server) == {"enabled", "command", "selector", "initializationOptions"} and server["enabled"]
    assert all(scope.startswith("source.") for scope in server["selector"].split(" | "))
    await accepts(server["command"], server["initializationOptions"])


async def test_jetbrains() -> None:
    page = json.loads(configuration("JetBrains", "json"))
    known = {identifier for language in tables() for identifier in language.ids}
    assert {mapping["languageId"] for mapping in page["fileTypeMappings"]} == known
    await accepts(shlex.split(page["programArgs"]["default"]), {})
