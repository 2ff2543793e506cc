"""The open documents, each an immutable snapshot of text and syntax tree.

pygls keeps documents too, but breaks lines wherever `str.splitlines` does (form feeds, U+2028, ...), where the protocol
knows only \\n, \\r\\n and \\r: in a file with such a character its positions drift. So Lacuna keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from urllib.parse import urlsplit

from lsprotocol import types
from tree_sitter import Tree

from lsp_server.buffer import Buffer, Unit
from lsp_server.context import OtherFile
from lsp_server.languages import language_of
from lsp_server.syntax import edited, parse, parse_again

# Of more files, or of a larger one, the model is shown no definitions.
_MOST_OTHERS = 8
_LARGEST_OTHER = 1024 * 1024


@dataclass(frozen=True)
class Document:
    """One version of an open text. A request keeps the one it started with, so `is` tells whether the text moved on.

    `tree` is None for a language without a grammar. It is never changed in place: another thread may be reading it.
    """

    uri: str
    version: int
    language: str
    buffer: Buffer
    tree: Tree | None

    @classmethod
    def opened(cls, item: types.TextDocumentItem) -> Document:
        """A document as `textDocument/didOpen` brings it. Any language id will do; the file's suffix stands in for an empty one."""
        language = item.language_id.lower() or language_of(item.uri)
        return cls._parsed(item.uri, item.version, language, Buffer.from_text(item.text, item.uri))

    @classmethod
    def _parsed(cls, uri: str, version: int, language: str, buffer: Buffer) -> Document:
        return cls(uri, version, language, buffer, parse(buffer.source, language))

    def changed(self, version: int, changes: Sequence[types.TextDocumentContentChangeEvent], unit: Unit) -> Document:
        """The document after all `changes`, made one after the other. The tree is reparsed where the text changed only.

        A text that took too long to parse when it came whole has no tree, and gets none until it comes whole again: a try
        at each key press would make typing slow.
        """
        buffer, tree = self.buffer, self.tree
        for change in changes:
            if not isinstance(change, types.TextDocumentContentChangePartial):
                buffer = Buffer.from_text(change.text, self.uri)
                tree = parse(buffer.source, self.language)
                continue
            places = (buffer.offset(place.line, place.character, unit) for place in (change.range.start, change.range.end))
            # No editor should send an end before a start. Those that do mean what lies between.
            start, end = sorted(places)
            before = buffer.source
            buffer = buffer.replaced(start, end, Buffer.from_text(change.text, self.uri).source)
            if tree is not None:
                tree = edited(tree, before, start, end, buffer.source)
        if tree is not None and buffer is not self.buffer:
            tree = parse_again(buffer.source, tree)
        return Document(self.uri, version, self.language, buffer, tree)

    @cached_property
    def as_other(self) -> OtherFile | None:
        """The document as other files' contexts see it, one and the same for this version; None where it has no tree or is very large.

        Its index of definitions is made where it is first read: in the model's thread.
        """
        return None if self.tree is None or len(self.buffer.source) > _LARGEST_OTHER else OtherFile(self.buffer, self.tree)

    def range(self, start: int, end: int, unit: Unit) -> types.Range:
        """The protocol's range of the bytes `start` to `end`."""
        return types.Range(types.Position(*self.buffer.position(start, unit)), types.Position(*self.buffer.position(end, unit)))

    def offsets(self, range_: types.Range, unit: Unit) -> tuple[int, int]:
        """The bytes of a protocol's range; an end before the start counts as the start."""
        start = self.buffer.offset(range_.start.line, range_.start.character, unit)
        return start, max(start, self.buffer.offset(range_.end.line, range_.end.character, unit))


class Documents:
    """The documents that the editor has open, by URI, those last that were used last."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents.values())

    def get(self, uri: str) -> Document | None:
        """The newest version of a document, None where it isn't open."""
        return self._documents.get(uri)

    def is_current(self, document: Document) -> bool:
        """Whether the document is still open and still at this version."""
        return self._documents.get(document.uri) is document

    def put(self, document: Document) -> None:
        """Open a document or replace it by a newer version."""
        self.close(document.uri)
        self._documents[document.uri] = document

    def others_of(self, document: Document) -> tuple[OtherFile, ...]:
        """What else is open in the document's language, the most recently used first. The document counts as used from now on.

        Documents of another URI scheme are left out: an editor opens older versions of a file under such.
        """
        if self.is_current(document):
            self.put(document)
        scheme = urlsplit(document.uri).scheme
        others = (
            other.as_other
            for other in reversed(self._documents.values())
            if other.uri != document.uri and other.language == document.language and urlsplit(other.uri).scheme == scheme
        )
        return tuple(islice((other for other in others if other is not None), _MOST_OTHERS))

    def close(self, uri: str) -> None:
        """Forget a document; one that isn't open is no error."""
        self._documents.pop(uri, None)
