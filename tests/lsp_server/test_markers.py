"""Markers as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp_server.markers import holds_marker, is_marker, markers, touches_marker

TEXT = "é ___a, ____ 😀___ x"


def test_places_are_bytes() -> None:
    found = list(markers(TEXT, "___"))
    assert [(TEXT.encode()[place.start : place.end], place.name) for place in found] == [(b"___a", "a"), (b"___", None)]


@pytest.mark.parametrize(
    ("text", "whole", "inside"),
    [
        ("___", True, True),
        ("___total", True, True),
        ("___total_2", True, True),
        ("___ ", False, True),
        ("x = ___y", False, True),
        ("____", False, False),
        ("___x__", False, False),
        ("__name__", False, False),
        ("", False, False),
    ],
)
def test_whole_and_inside(text: str, whole: bool, inside: bool) -> None:
    assert is_marker(text, "___") is whole
    assert holds_marker(text, "___") is inside


def test_touching() -> None:
    source = TEXT.encode()
    touched = {offset for offset in range(len(source) + 1) if touches_marker(source, offset, "___") and source[offset] & 0xC0 != 0x80}
    first, second = source.index(b"___a"), source.index("😀".encode()) + 4
    assert touched == {*range(first, first + 5), *range(second, second + 4)}


def test_a_cursor_far_into_a_long_text() -> None:
    source = "😀".encode() * 1000 + b" ___a " + b"a" * 5000
    place = source.index(b"___a")
    assert touches_marker(source, place + 2, "___") and not touches_marker(source, place + 300, "___")


@given(st.text(alphabet="_a1 é.😀", max_size=12))
def test_whatever_is_found_is_a_marker_and_no_part_of_a_word(text: str) -> None:
    source = text.encode()
    for place in markers(text, "___"):
        word = source[place.start : place.end].decode()
        assert is_marker(word, "___") and word == f"___{place.name or ''}"
        before, after = source[: place.start].decode()[-1:], source[place.end :].decode()[:1]
        assert not any(sign == "_" or sign.isalnum() for sign in (before, after))
