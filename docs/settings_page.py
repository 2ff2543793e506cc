"""Writes what the table of settings says of itself: docs/settings.md for people, docs/settings.json for VS Code's package.json.

`python docs/settings_page.py` after a change of `lsp_server.configuration`; a test compares.
"""

from __future__ import annotations

import json
from pathlib import Path

from lsp_server.configuration import SCHEMA, Setting

FOLDER = Path(__file__).parent
PAGE = FOLDER / "settings.md"
PROPERTIES = FOLDER / "settings.json"

_INTRODUCTION = """\
# Settings

<!-- Written by docs/settings_page.py; change lsp_server/configuration.py instead. -->

Settings come from up to four places. Each overrules those before it:

1. `lacuna.toml` in a workspace folder (the first one that has such a file): a setting a line, as in `temperature = 0.2`. The command
   `lacuna` reads it too, from the folder of the file that it looks at or the nearest one above.
2. What the editor sends when it starts the server (`initializationOptions`).
3. What it sends later, or is asked for: its settings of the section `lacuna`.
4. The command line.

A change of any of them holds at once, for `lacuna.toml` as soon as the file has come to rest. A wrong value is told with what is
accepted, and in `lacuna.toml` with its line; all the others count. The folder of the model is watched, too: another model in it is loaded
beside the one in use and takes its place between two requests, and a broken one is refused while the old one goes on.

| setting | default | accepted | |
|---|---|---|---|
"""


def page() -> str:
    """The reference page, as Markdown."""
    return _INTRODUCTION + "".join(_row(setting) for setting in SCHEMA.values())


def _row(setting: Setting) -> str:
    default = setting.unset if setting.default is None else f"`{json.dumps(setting.default)}`"
    note = "" if setting.in_workspace else " Not from `lacuna.toml`."
    return f"| `{setting.name}` | {default} | {setting.kind.accepted} | {setting.description}{note} |\n"


def properties() -> dict[str, dict[str, object]]:
    """The settings as properties for `contributes.configuration` of a VS Code extension.

    null is every default: an editor sends its defaults along, and those would overrule lacuna.toml. What null comes to is in the
    description.
    """
    return {f"lacuna.{setting.name}": _property(setting) for setting in SCHEMA.values()}


def _property(setting: Setting) -> dict[str, object]:
    default = setting.unset if setting.default is None else json.dumps(setting.default, ensure_ascii=False)
    schema: dict[str, object] = {**setting.kind.schema}
    schema["type"] = [schema["type"], "null"]
    # VS Code draws a menu where there is an enum, and no widget at all for a switch that may be null.
    choices = [True, False] if setting.kind.schema["type"] == "boolean" else schema.get("enum")
    if isinstance(choices, list):
        schema["enum"] = [None, *choices]
    # A setting of the machine can't be set by a workspace, which may be hostile.
    schema["scope"] = "window" if setting.in_workspace else "machine"
    return schema | {"default": None, "markdownDescription": f"{setting.description} Default: {default}."}


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")
    PROPERTIES.write_text(json.dumps(properties(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
