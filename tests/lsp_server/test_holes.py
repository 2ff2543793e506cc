"""Holes: markers, selections, ranges and their budgets."""

from __future__ import annotations

import pytest

from engine.errors import LacunaError
from lsp_server.buffer import Buffer
from lsp_server.holes import TIED_BUDGET, find_markers, hole_from_range, hole_from_selection, in_order, with_tied
from lsp_server.syntax import parse


def markers(text: str, language: str = "python", marker: str = "___") -> list[tuple[int, int]]:
    buffer = Buffer(text.encode(), "t.py")
    return [(hole.start, hole.end) for hole in find_markers(buffer, parse(buffer.source, language), marker)]


def selected(text: str, language: str = "python") -> str:
    """What a selection, marked with guillemets in `text`, becomes: the hole's own text in the same marks."""
    start, end = text.index("«"), text.index("»") - 1
    plain = text.replace("«", "").replace("»", "")
    buffer = Buffer(plain.encode(), "t.py")
    first, last = len(plain[:start].encode()), len(plain[:end].encode())
    hole = hole_from_selection(buffer, parse(buffer.source, language), first, last)
    return (
        buffer.source[: hole.start] + "«".encode() + buffer.source[hole.start : hole.end] + "»".encode() + buffer.source[hole.end :]
    ).decode()


def test_markers_are_whole_words_of_code() -> None:
    assert markers("x = ___\nmy___name = ____ + a___\n___(___)\n") == [(4, 7), (32, 35), (36, 39)]


@pytest.mark.parametrize("text", ["# ___\n", "'___'\n", '"""\n___\n"""\n', "x = 'a ___ b'  # ___ \n", "f'{x:___}'\n", ""])
def test_no_marker_in_comments_and_strings(text: str) -> None:
    assert markers(text) == []


def test_a_marker_in_the_braces_of_an_f_string_is_code() -> None:
    assert markers('f"{___} ___"\n') == [(3, 6)]


def test_plain_text_has_markers_anywhere() -> None:
    assert markers("# ___ '___'", "plaintext") == [(2, 5), (7, 10)]


def test_markers_beside_emoji_are_counted_in_bytes() -> None:
    assert markers('x = "😀é" + ___\n') == [(15, 18)]


def test_another_marker() -> None:
    assert markers("x = <FILL>\ny = a<FILL>\n", "plaintext", "<FILL>") == [(4, 10), (16, 22)]


@pytest.mark.parametrize(
    ("text", "ties"),
    [
        ("___a = ___a + ___\n", ["a", "a", None]),
        ("f(___a, ___b, ___a, ___b)\n", ["a", "b", "a", "b"]),
        ("x = ___once\n", [None]),
        ("___a = 1  # ___a\n", [None]),
        ("self.___x = ___x\n", ["x", "x"]),
        ("___first_word = ___first_word\n", ["first_word", "first_word"]),
        ("___1 = ___1\n", ["1", "1"]),
        ("___é = ___é + ___A\n", ["é", "é", None]),
        ("____ = ____a + _____ + ___a__ + ___a_ + ___a__b + a___b + __init__ + __a + _a\n", []),
        ("é___a = é___a\n", []),
    ],
)
def test_markers_of_one_name_are_tied(text: str, ties: list[str | None]) -> None:
    buffer = Buffer(text.encode(), "t.py")
    holes = find_markers(buffer, parse(buffer.source, "python"))
    assert [hole.tie for hole in holes] == ties
    for hole in holes:
        assert buffer.source[hole.start : hole.end].startswith(b"___")
        assert hole.tie is None or buffer.source[hole.start : hole.end].decode() == f"___{hole.tie}"


def test_names_come_behind_markers_that_end_with_an_underscore() -> None:
    buffer = Buffer(b"HOLE HOLE_a HOLES <F>a <F>a", "t.txt")
    assert [buffer.source[hole.start : hole.end] for hole in find_markers(buffer, None, "HOLE")] == [b"HOLE"]
    assert [buffer.source[hole.start : hole.end] for hole in find_markers(buffer, None, "HOLE_")] == [b"HOLE_a"]
    assert [(hole.start, hole.end, hole.tie) for hole in find_markers(buffer, None, "<F>")] == [(18, 21, None), (23, 26, None)]


def test_budgets_of_tied_markers() -> None:
    buffer = Buffer(b"___a = ___a\n___b\n", "t.py")
    assert [hole.budget for hole in find_markers(buffer, None)] == [TIED_BUDGET, TIED_BUDGET, 64]
    assert [hole.budget for hole in find_markers(buffer, None, max_tokens=5)] == [5, 5, 5]


def test_a_tied_hole_brings_the_others_of_its_name() -> None:
    buffer = Buffer(b"___a = ___ + ___a + ___b + ___b\n", "t.py")
    first, plain, second, *others = holes = find_markers(buffer, None)
    assert with_tied((second,), holes) == (first, second)
    assert with_tied((plain,), holes) == (plain,)
    assert with_tied((plain, others[0]), holes) == (plain, *others)
    assert with_tied((), holes) == ()


def test_budgets_of_markers() -> None:
    buffer = Buffer(b"x = ___\n    ___  \n", "t.py")
    assert [hole.budget for hole in find_markers(buffer, None)] == [32, 64]
    assert [hole.budget for hole in find_markers(buffer, None, max_tokens=5)] == [5, 5]


@pytest.mark.parametrize(
    ("selection", "hole"),
    [
        ("«foo(bar)»\n", "«foo(bar)»\n"),
        ("x = f«oo(bar»)\n", "x = «foo(bar)»\n"),
        ("if a:\n«    return b\n»c()\n", "if a:\n    «return b»\nc()\n"),
        ("«x = 1\ny = 2\n»", "«x = 1\ny = 2»\n"),
        ("def f():\n\t«a()\n\tb(»)\n", "def f():\n\t«a()\n\tb()»\n"),
        ("a«»b\n", "a«»b\n"),
        ("if a:\n    «»\n", "if a:\n    «»\n"),
        ("if a:\n  «  \n\n»x\n", "if a:\n    «»\n\nx\n"),
        ("long_name_of_some_kind«_here»\n", "long_name_of_some_kind«_here»\n"),
        ("x = «1 +» 2\n", "x = «1 +» 2\n"),
        ("x = '😀«é»'\r\n", "x = '😀«é»'\r\n"),
    ],
)
def test_selections_snap(selection: str, hole: str) -> None:
    assert selected(selection) == hole


def test_a_selection_of_plain_text_is_trimmed_alone() -> None:
    assert selected("f«oo(bar \n»)", "plaintext") == "f«oo(bar» \n)"


def test_budgets_of_selections() -> None:
    buffer = Buffer(b"x = " + b"abc " * 20 + b"\n" + b"y" * 4000, "t.txt")
    assert hole_from_selection(buffer, None, 0, 1).budget == 32
    assert hole_from_selection(buffer, None, 0, 0).budget == 32
    assert hole_from_selection(buffer, None, 4, 84).budget == 2 * 27 + 8
    assert hole_from_selection(buffer, None, 0, len(buffer.source)).budget == 128
    assert hole_from_selection(buffer, None, 0, len(buffer.source), max_tokens=7).budget == 7


def test_ranges_are_taken_as_they_are() -> None:
    buffer = Buffer("a é\r\nb".encode(), "t.txt")
    hole = hole_from_range(buffer, 1, 2)
    assert (hole.start, hole.end, hole.kind) == (1, 2, "range")
    assert hole_from_range(buffer, 3, 5).start == 2, "inside a character"
    assert hole_from_range(buffer, 0, 5).end == 4, "inside a line end"
    assert hole_from_range(buffer, 0, 99).end == len(buffer.source)


def test_backwards_ranges_are_refused() -> None:
    with pytest.raises(LacunaError, match="ends before it starts"):
        hole_from_range(Buffer(b"abc", "t.py"), 2, 1)


def test_order_and_overlap() -> None:
    buffer = Buffer(b"abcdef\nghi\n", "t.py")
    first, second, touching = hole_from_range(buffer, 1, 3), hole_from_range(buffer, 8, 9), hole_from_range(buffer, 3, 4)
    assert in_order(buffer, (second, touching, first)) == (first, touching, second)
    with pytest.raises(LacunaError, match=r"the holes at 1:2 and 1:3 of t\.py overlap"):
        in_order(buffer, (hole_from_range(buffer, 2, 4), first))
    with pytest.raises(LacunaError, match="overlap"):
        in_order(buffer, (first, first))


def test_none_and_too_many() -> None:
    buffer = Buffer(b"___\n" * 500, "t.py")
    with pytest.raises(LacunaError, match=r"there is no hole in t\.py"):
        in_order(buffer, ())
    with pytest.raises(LacunaError, match="500 holes; at most 128"):
        in_order(buffer, find_markers(buffer, None))
