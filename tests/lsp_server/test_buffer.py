"""Buffer: bytes, lines and columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LacunaError
from lsp_server.buffer import Buffer, Unit

UNITS: tuple[Unit, ...] = ("utf-8", "utf-16", "utf-32")
texts = st.text(alphabet=st.sampled_from("ab \t\n\ré€😀\u2028\u0301"), max_size=60)


@given(texts, st.sampled_from(UNITS))
def test_every_character_boundary_comes_back(text: str, unit: Unit) -> None:
    buffer = Buffer(text.encode(), "t")
    for index in range(len(text) + 1):
        offset = len(text[:index].encode())
        if text[index - 1 : index + 1] == "\r\n" and index > 0:
            assert buffer.offset(*buffer.position(offset, unit), unit) == offset - 1
        else:
            assert buffer.offset(*buffer.position(offset, unit), unit) == offset


@given(texts, st.sampled_from(UNITS), st.integers(-2, 12), st.integers(-2, 70))
def test_any_position_lands_on_a_character_of_its_line(text: str, unit: Unit, line: int, character: int) -> None:
    buffer = Buffer(text.encode(), "t")
    offset = buffer.offset(line, character, unit)
    assert 0 <= offset <= len(buffer.source)
    buffer.source[:offset].decode()
    if 0 <= line < len(buffer.line_starts):
        assert buffer.line_starts[line] <= offset <= buffer.line_end(line)
        assert buffer.position(offset, unit)[1] <= max(character, 0)


@given(texts)
def test_lines_are_those_of_the_protocol(text: str) -> None:
    buffer = Buffer(text.encode(), "t")
    lines = re.split("\r\n|\n|\r", text)
    assert [buffer.source[start : buffer.line_end(line)].decode() for line, start in enumerate(buffer.line_starts)] == lines
    assert buffer.next_line(len(lines) - 1) == len(buffer.source)


@pytest.mark.parametrize(("unit", "character"), [("utf-8", 8), ("utf-16", 5), ("utf-32", 4)])
def test_columns_after_an_emoji(unit: Unit, character: int) -> None:
    buffer = Buffer("x\n\té😀b".encode(), "t")
    assert buffer.position(len(buffer.source), unit) == (1, character)
    assert buffer.offset(1, character, unit) == len(buffer.source)


def test_half_a_surrogate_pair_is_the_start_of_its_character() -> None:
    assert Buffer("😀b".encode(), "t").offset(0, 1, "utf-16") == 0


@pytest.mark.parametrize(
    ("text", "newline"), [("", "\n"), ("a", "\n"), ("a\nb\n", "\n"), ("a\r\nb\r\n", "\r\n"), ("a\rb\r", "\r"), ("a\r\nb\nc\r\n", "\r\n")]
)
def test_newline_is_the_commonest(text: str, newline: str) -> None:
    assert Buffer(text.encode(), "t").newline == newline


def test_a_lone_surrogate_keeps_its_width() -> None:
    buffer = Buffer.from_text("a\ud83db", "t")
    assert buffer.text == "a?b"


def test_read_drops_the_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"\xef\xbb\xbfx = 1\n")
    assert Buffer.read(path).source == b"x = 1\n"


def test_read_refuses_what_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    path.write_bytes("é = 1".encode("latin-1"))
    with pytest.raises(LacunaError, match=r"latin\.py is not UTF-8 text \(byte 0 is 0xe9\)"):
        Buffer.read(path)


def test_read_refuses_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="is a folder"):
        Buffer.read(tmp_path)
    with pytest.raises(LacunaError, match="there is no file"):
        Buffer.read(tmp_path / "none.py")
    with pytest.raises(LacunaError, match="can't be read"):
        Buffer.read(Path("a\0b"))
