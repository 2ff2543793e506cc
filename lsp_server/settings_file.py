"""lacuna.toml: the settings that a project brings along.

The file is flat: a setting a line, by the names of the settings' table. What comes with a project isn't trusted, so that nothing in
it can make Lacuna read another file: it may not name a model.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import LacunaError
from lsp_server.buffer import BOM, read_plain_file
from lsp_server.configuration import SCHEMA, Layer, read_layer
from lsp_server.setting_kinds import shown

NAME = "lacuna.toml"
# tomllib takes time that grows with the square of a name's length: of this much, half a second at worst.
_LARGEST = 8 * 1024
# A file that is no settings file at all shall not fill the screen.
_MOST_PROBLEMS = 8
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class SettingsFile:
    """What a file sets, and what is wrong with the rest of it: sentences that begin with `PATH:LINE: `."""

    path: Path
    layer: Layer
    problems: tuple[str, ...]


def find_in(folders: Iterable[Path]) -> Path | None:
    """The file of the first folder that has one."""
    # os.path's takes a folder that may not be looked into for one without the file, where pathlib's raises.
    return next((path for path in (folder / NAME for folder in folders) if os.path.exists(path)), None)


def find_upwards(folder: Path) -> Path | None:
    """The file of a folder, given by an absolute path, or of the nearest one above it."""
    return find_in((folder, *folder.parents))


def read_settings_file(path: Path) -> SettingsFile:
    """Read a file. Whatever is wrong with it is among the problems; all else that it sets counts."""
    empty = Layer(str(path))
    try:
        data = read_plain_file(path)
        if len(data) > _LARGEST:
            raise LacunaError(f"{path} has {len(data):,} bytes; at most {_LARGEST:,} are read")
    except LacunaError as error:
        return SettingsFile(path, empty, (f"{path}:1: {error}",))
    data = data.removeprefix(BOM)
    try:
        text = data.decode("utf-8")
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return SettingsFile(path, empty, (_syntax_problem(path, data, error),))
    lines = _Lines(text)
    unknown = [name for name in values if name not in SCHEMA]
    problems = [(lines.of(name), _unknown(name, values[name])) for name in unknown[:_MOST_PROBLEMS]]
    for name in [name for name in values if name in SCHEMA and not SCHEMA[name].in_workspace]:
        problems.append((lines.of(name), f"{name} can't be set by a project; set it in the editor or on the command line"))
        del values[name]
    layer, found = read_layer(values, str(path))
    problems += [(lines.of(problem.name or ""), problem.sentence) for problem in found]
    told = [f"{path}:{line}: {sentence}" for line, sentence in sorted(problems)]
    if len(unknown) > _MOST_PROBLEMS:
        told.append(f"{path}:{lines.of(unknown[_MOST_PROBLEMS])}: {len(unknown) - _MOST_PROBLEMS:,} more names are no settings")
    return SettingsFile(path, layer, tuple(told))


def _syntax_problem(path: Path, data: bytes, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = data.count(b"\n", 0, error.start) + 1
        return f"{path}:{line}: the file is no UTF-8 text"
    if isinstance(error, RecursionError):
        return f"{path}:1: the file is no TOML that can be read: it is nested too deeply"
    reason = str(error)
    at = _AT_LINE.search(reason)
    line = int(at[1]) if at and at[1] else data.rstrip().count(b"\n") + 1
    return f"{path}:{line}: the file is no TOML: {_AT_LINE.sub('', reason)}"


def _unknown(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"there is no table {shown(name)}; settings stand by themselves, such as temperature = 0.2"
    near = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), [known.lower() for known in SCHEMA], n=1)
    nearest = next((known for known in SCHEMA if near and known.lower() == near[0]), None)
    hint = f"; did you mean {nearest}?" if nearest else f"; there are {', '.join(SCHEMA)}"
    return f"there is no setting {shown(name)}{hint}"


class _Lines:
    """The lines on which the names of a flat TOML text are set: tomllib doesn't tell."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), 1):
            try:
                names = list(tomllib.loads(line.rstrip("\r")))
            except (ValueError, RecursionError):
                # A value that goes over several lines.
                begun = re.match(r"""\s*(["']?)([\w-]+)\1\s*[.=]""", line)
                names = [begun[2]] if begun else []
            for name in names:
                self._lines.setdefault(name, number)

    def of(self, name: str) -> int:
        """The first line that sets `name`; 1 where none is found."""
        return self._lines.get(name, 1)
