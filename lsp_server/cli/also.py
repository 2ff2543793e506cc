"""The option --also: other files of a project, whose definitions the model may be shown as an editor's other open files are."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from engine.errors import LacunaError
from lsp_server.cli.source import STANDARD_INPUT, Source, read_source
from lsp_server.context import OtherFile
from lsp_server.languages import PLAINTEXT, language_of


def add_also_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--also",
        metavar="FILE",
        action="append",
        default=[],
        help="a file of the same language that definitions may be quoted from; may be given several times, the most helpful first",
    )


def other_files(source: Source, arguments: argparse.Namespace) -> tuple[OtherFile, ...]:
    """The files that --also names. Raises LacunaError for one that can't be read, has another language or is the file itself."""
    return tuple(_others(source, arguments.also))


def _others(source: Source, names: list[str]) -> Iterator[OtherFile]:
    for name in names:
        if name == STANDARD_INPUT:
            raise LacunaError("--also needs a file, not standard input")
        other = read_source(name)
        if source.path is not None and os.path.samefile(source.path, name):
            raise LacunaError(f"--also {name} is the file itself, whose holes' text would be seen")
        if source.tree is None:
            raise LacunaError(f"--also {name} is of no use, as there is no grammar for {source.buffer.name}")
        if other.tree is None or other.tree.language != source.tree.language:
            language = language_of(name)
            what = "a text without a grammar" if language == PLAINTEXT or other.tree is None else language
            raise LacunaError(f"--also {name} is {what}; only a file of the same language as {source.buffer.name} is of use")
        yield OtherFile(other.buffer, other.tree)
