"""The file that a command works on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.languages import language_of
from lsp_server.syntax import parse

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Source:
    """A buffer with its tree (None: no grammar), and the file it was read from (None: standard input)."""

    buffer: Buffer
    tree: Tree | None
    path: Path | None


def read_source(name: str) -> Source:
    """Read the file `name`, or standard input for -, which is taken for Python. Raises LacunaError for what is no UTF-8 file."""
    if name == STANDARD_INPUT:
        buffer = Buffer.from_bytes(sys.stdin.buffer.read(), "standard input")
        return Source(buffer, parse(buffer.source, "python"), None)
    path = Path(name)
    buffer = Buffer.read(path)
    return Source(buffer, parse(buffer.source, language_of(name)), path)
