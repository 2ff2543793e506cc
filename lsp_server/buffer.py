"""A text as the editor's side sees it: UTF-8 bytes, and the way from byte offsets to lines and columns and back."""

from __future__ import annotations

import stat
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from engine.errors import LacunaError
from lsp_server.line_starts import LineStarts

Unit = Literal["utf-8", "utf-16", "utf-32"]

LARGEST_FILE = 64 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Buffer:
    """UTF-8 `source` and the `name` (a path or a URI) that messages call it by.

    All offsets are bytes into `source`. Lines and characters count from 0; a character is one code unit of the
    given `unit`. A line ends at \\n, \\r\\n or \\r, as the language server protocol has it.
    """

    source: bytes
    name: str = "<buffer>"

    @classmethod
    def from_text(cls, text: str, name: str) -> Buffer:
        """A buffer of `text`. A lone surrogate, which UTF-8 can't hold, becomes a question mark of the same width."""
        return cls(text.encode("utf-8", errors="replace"), name)

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Buffer:
        """A buffer of a file's bytes, less a byte order mark. Raises LacunaError when they are no UTF-8."""
        buffer = cls(data.removeprefix(BOM), name)
        try:
            buffer.source.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LacunaError(f"{name} is not UTF-8 text (byte {error.start} is {buffer.source[error.start]:#04x})") from error
        return buffer

    @classmethod
    def read(cls, path: Path) -> Buffer:
        """The file at `path`. Raises LacunaError where it is missing, no plain file, unreadable, huge or no UTF-8."""
        return cls.from_bytes(read_plain_file(path), str(path))

    @cached_property
    def text(self) -> str:
        return self.source.decode("utf-8")

    @cached_property
    def line_starts(self) -> LineStarts:
        """Offsets at which the lines begin; the first is 0. A text that ends with a line end has an empty last line."""
        return LineStarts.of(self.source)

    def replaced(self, start: int, end: int, text: bytes) -> Buffer:
        """The buffer with `text` in the place of bytes `start` to `end`; both must be settled. Quick in a large one, too."""
        whole = memoryview(self.source)
        buffer = Buffer(b"".join((whole[:start], text, whole[end:])), self.name)
        # Where the property would put it.
        vars(buffer)["line_starts"] = self.line_starts.after(start, end, buffer.source)
        return buffer

    @cached_property
    def newline(self) -> str:
        """The line end that most lines have; \\n where none has any."""
        windows = self.source.count(b"\r\n")
        counts = {"\n": self.source.count(b"\n") - windows, "\r\n": windows, "\r": self.source.count(b"\r") - windows}
        return max(counts, key=lambda newline: counts[newline])

    def line_at(self, offset: int) -> int:
        """The line that holds `offset`."""
        return bisect_right(self.line_starts, min(max(offset, 0), len(self.source))) - 1

    def line_end(self, line: int) -> int:
        """Where the text of `line` ends, before its line end."""
        if line + 1 >= len(self.line_starts):
            return len(self.source)
        end = self.line_starts[line + 1]
        return end - 2 if self.source[end - 2 : end] == b"\r\n" else end - 1

    def next_line(self, line: int) -> int:
        """Where the line after `line` starts: past its line end, or the end of the text."""
        return self.line_starts[line + 1] if line + 1 < len(self.line_starts) else len(self.source)

    def settle(self, offset: int) -> int:
        """`offset` brought inside the text, and back to the start of the character or \\r\\n that it stands in."""
        offset = min(max(offset, 0), len(self.source))
        while offset < len(self.source) and self.source[offset] & 0xC0 == 0x80:
            offset -= 1
        if 0 < offset < len(self.source) and self.source[offset - 1 : offset + 1] == b"\r\n":
            offset -= 1
        return offset

    def offset(self, line: int, character: int, unit: Unit) -> int:
        """Byte offset of a position. Past a line's end it is the line's end, past the last line the end of the text.

        A position inside a character (half a surrogate pair, say) is that character's start.
        """
        if line < 0:
            return 0
        if line >= len(self.line_starts):
            return len(self.source)
        start, end = self.line_starts[line], self.line_end(line)
        character = max(character, 0)
        if unit == "utf-8":
            return self.settle(min(start + character, end))
        row = self.source[start:end]
        if row.isascii():
            return start + min(character, len(row))
        text = row.decode("utf-8")
        if unit == "utf-32":
            return start + len(text[:character].encode("utf-8"))
        units = text.encode("utf-16-le")[: 2 * character]
        return start + len(units.decode("utf-16-le", errors="ignore").encode("utf-8"))

    def position(self, offset: int, unit: Unit) -> tuple[int, int]:
        """(line, character) of a byte offset, which is settled first; inside a line end it is the line's end."""
        offset = self.settle(offset)
        line = self.line_at(offset)
        row = self.source[self.line_starts[line] : min(offset, self.line_end(line))]
        if unit == "utf-8" or row.isascii():
            return line, len(row)
        text = row.decode("utf-8")
        return line, len(text) if unit == "utf-32" else len(text.encode("utf-16-le")) // 2


def read_plain_file(path: Path) -> bytes:
    """The bytes of a plain file. Raises LacunaError, in one sentence, where there is none to read."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise LacunaError(f"{path} is a folder; give a file")
        if not stat.S_ISREG(status.st_mode):
            raise LacunaError(f"{path} is no plain file; give - to read standard input")
        if status.st_size > LARGEST_FILE:
            raise LacunaError(f"{path} has {status.st_size:,} bytes; at most {LARGEST_FILE:,} are read")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise LacunaError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:
        raise LacunaError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error
