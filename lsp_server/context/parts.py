"""What a choice of context consists of: stretches of text, each with the reason why it is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from urllib.parse import unquote

from tree_sitter import Tree

from engine.passage import Passage, Wording
from lsp_server.buffer import Buffer
from lsp_server.context.definitions import Definitions, definitions
from lsp_server.line_ends import to_model
from lsp_server.statements import Span


class Reason(StrEnum):
    """Why a part is in the window."""

    FILE = "file"  # all of it fits
    BESIDE = "beside"  # on the lines of a hole
    HEADER = "header"  # of a scope around a hole
    IMPORT = "import"
    DEFINITION = "definition"  # of a name that is used about a hole
    NEAR = "near"


@dataclass(frozen=True)
class OtherFile:
    """Another open file of the same language, whose definitions may be shown. Keep it as long as the text: its index is made once."""

    buffer: Buffer
    tree: Tree

    @property
    def name(self) -> str:
        """The last part of its path or URI, on one line."""
        path = self.buffer.name.replace("\\", "/").rstrip("/")
        last = path.rpartition("/")[2]
        return " ".join((unquote(last) if "://" in path else last).split())

    @cached_property
    def definitions(self) -> Definitions:
        return definitions(self.tree, self.buffer.source)


@dataclass(frozen=True)
class Part:
    """The bytes `spans` of `buffer`, in piece number `piece` of the passage; a `comment` before them names another file."""

    reason: Reason
    piece: int
    buffer: Buffer
    spans: tuple[Span, ...]
    comment: str = ""

    @cached_property
    def text(self) -> str:
        """What the model reads: \n for every line end, and one at the end of what is quoted."""
        text = self.comment + model_text(self.buffer, self.spans)
        return text + "\n" if self.comment and not text.endswith("\n") else text


def model_text(buffer: Buffer, spans: Iterable[Span]) -> str:
    """These bytes as the model reads them, with \n for every line end."""
    return "".join(to_model(buffer.source[start:end].decode("utf-8")) for start, end in spans)


@dataclass(frozen=True)
class Context:
    """What goes into the window around holes of these `budgets`: the parts, in the order of the passage.

    `left_out` is what syntax asks for and the room did not allow: headers, imports and definitions, since of the lines nearby there are
    always more.
    `at_start`, `at_end`, `ties` and `wordings` are the passage's.
    """

    parts: tuple[Part, ...]
    left_out: tuple[Part, ...]
    budgets: tuple[int, ...]
    at_start: bool
    at_end: bool
    ties: tuple[int, ...]
    wordings: tuple[Wording, ...]

    def passage(self) -> Passage:
        pieces = [""] * (len(self.budgets) + 1)
        for part in self.parts:
            pieces[part.piece] += part.text
        return Passage(tuple(pieces), self.budgets, at_start=self.at_start, at_end=self.at_end, ties=self.ties, wordings=self.wordings)
