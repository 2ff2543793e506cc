"""The settings that hold for a command: what lacuna.toml sets, where the command line doesn't say otherwise."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from lsp_server.cli.source import Source
from lsp_server.cli.terminal import harmless
from lsp_server.configuration import Layer, Layers, Settings
from lsp_server.settings_file import NAME, find_upwards, read_settings_file

# A terminal has room for one suggestion, where an editor has a menu.
_ALTERNATIVES = 1

SETTINGS_HELP = (
    f"What the command line leaves out is taken from {NAME} in the file's folder, or in the nearest folder above that has one "
    "(for standard input: the current folder): "
)


def settings_for(source: Source, arguments: argparse.Namespace) -> Settings:
    """The settings of the file's project, overruled by the options that bear a setting's name and were given.

    What is wrong in lacuna.toml is told on stderr, and all else in it counts.
    """
    # Where a path is a link, it is the project of the link.
    path = find_upwards(source.path.absolute().parent if source.path is not None else Path.cwd())
    file = Layers().file
    if path is not None:
        found = read_settings_file(path)
        file = found.layer
        for problem in found.problems:
            print(f"lacuna: {harmless(problem)}", file=sys.stderr)
    file = Layer(file.source, {"alternatives": _ALTERNATIVES, **file.values})
    return Layers(file=file, command_line=Layer("the command line", _given(arguments))).settings


def _given(arguments: argparse.Namespace) -> Mapping[str, object]:
    options = ("marker", "temperature", "top_p", "alternatives", "method", "max_tokens", "seed", "device")
    values = {name: getattr(arguments, name, None) for name in options}
    return {name: value for name, value in values.items() if value is not None}
