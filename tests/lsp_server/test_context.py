"""What goes into the model's window."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import PassageError
from engine.infiller import Infiller
from engine.passage import Passage
from lsp_server.buffer import Buffer
from lsp_server.context import END_MARKS, largest_budget, passage_for
from lsp_server.holes import Hole, find_markers, hole_from_range
from lsp_server.line_ends import to_model
from lsp_server.syntax import parse
from tests.lsp_server.narrowed import Narrowed

FUNCTION = '''
    @decorated
    def method_{n}(
        self,
        first: int,
    ) -> int:
        """Number {n}."""
        if first > {n}:
            return [
                first,
                {n},
            ]
        return first - {n}
'''
CLASS = "import os\nfrom pathlib import Path\n\n\nclass Thing(Base):\n" + "".join(FUNCTION.format(n=n) for n in range(60))


def passage(text: str, infiller: Infiller, language: str = "python", max_tokens: int = 8) -> Passage:
    """The passage of all markers in `text`, which is seen to fit and to be the document's own beside each hole."""
    buffer = Buffer(text.encode(), "t.py")
    tree = parse(buffer.source, language)
    holes = find_markers(buffer, tree, max_tokens=max_tokens)
    made = passage_for(buffer, tree, holes, infiller)
    check(buffer, holes, made, infiller)
    return made


def check(buffer: Buffer, holes: tuple[Hole, ...], made: Passage, infiller: Infiller) -> None:
    assert sum(map(infiller.count_tokens, made.pieces)) + sum(made.budgets) + END_MARKS <= infiller.window
    borders = [0, *(border for hole in holes for border in (hole.start, hole.end)), len(buffer.source)]
    for index, (piece, (start, end)) in enumerate(zip(made.pieces, list(pairwise(borders))[::2], strict=True)):
        there = to_model(buffer.source[start:end].decode())
        if index > 0:
            assert_beside(piece, there, same_start(piece, there))
        if index < len(holes):
            assert_beside(piece, there, same_start(piece[::-1], there[::-1]))
    text = to_model(buffer.text)
    assert not made.at_start or text.startswith(made.pieces[0][:1])
    assert not made.at_end or text.endswith(made.pieces[-1][-1:])
    if sum(map(len, made.pieces)) == len(text) - sum(len(buffer.source[hole.start : hole.end].decode()) for hole in holes):
        assert made.at_start and made.at_end


def assert_beside(piece: str, there: str, same: int) -> None:
    """At least a character beside a hole is the document's own, or there is no text at all."""
    assert same > 0 or not there or not piece


def same_start(first: str, second: str) -> int:
    count = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        count += 1
    return count


def test_a_small_file_goes_in_whole(infiller: Infiller) -> None:
    made = passage("x = ___\n", infiller)
    assert made == Passage(("x = ", "\n"), (8,), at_start=True, at_end=True)


def test_line_ends_are_the_models(infiller: Infiller) -> None:
    assert passage("a\r\nx = ___\r\nb\rc\r\n", infiller).pieces == ("a\nx = ", "\nb\nc\n")


def test_holes_at_both_ends(infiller: Infiller) -> None:
    made = passage("___ + ___", infiller)
    assert made == Passage(("", " + ", ""), (8, 8), at_start=True, at_end=True)


def test_no_hole_is_refused(infiller: Infiller) -> None:
    with pytest.raises(PassageError, match="no hole"):
        passage_for(Buffer(b"x", "t.py"), None, (), infiller)


def test_budgets_above_the_window_are_refused(infiller: Infiller) -> None:
    with pytest.raises(PassageError, match="don't fit a window of 64"):
        passage("___ + ___", Narrowed(infiller, 64), max_tokens=40)


def test_scopes_and_imports_come_with_a_hole(infiller: Infiller) -> None:
    text = CLASS.replace("return first - 40", "return ___")
    made = passage(text, Narrowed(infiller, 240))
    before, after = made.pieces
    assert before.startswith("import os\nfrom pathlib import Path\nclass Thing(Base):\n")
    assert "    def method_40(\n        self,\n        first: int,\n    ) -> int:\n" in before
    assert before.endswith("        return ")
    assert after.startswith("\n\n    @decorated\n")
    assert not made.at_end


def test_a_blank_line_belongs_to_the_scope_of_its_indentation(infiller: Infiller) -> None:
    text = CLASS.replace("return first - 40\n", "return first - 40\n        \n")
    buffer = Buffer(text.encode(), "t.py")
    place = text.index("return first - 40\n        \n") + len("return first - 40\n        ")
    hole = hole_from_range(buffer, place, place, 8)
    made = passage_for(buffer, parse(buffer.source, "python"), (hole,), Narrowed(infiller, 240))
    assert "    def method_40(\n" in made.pieces[0] and "class Thing(Base):\n" in made.pieces[0]
    assert "method_41" not in made.pieces[0]


def test_what_is_taken_around_a_hole_is_without_gaps(infiller: Infiller) -> None:
    text = "".join(f"line {n}\n" for n in range(400)).replace("line 200\n", "___\n")
    before, after = passage(text, Narrowed(infiller, 100), "plaintext").pieces
    assert text.split("___")[0].endswith(before) and text.split("___")[1].startswith(after)
    assert before and after


@pytest.mark.parametrize("language", ["python", "plaintext"])
def test_a_line_longer_than_the_window_is_cut_at_a_character(infiller: Infiller, language: str) -> None:
    left, right = "x = [" + "'é😀', " * 3000, ", '😀'" * 3000 + "]\n"
    made = passage(left + "___" + right, Narrowed(infiller, 100), language)
    assert left.endswith(made.pieces[0]) and right.startswith(made.pieces[1])
    assert made.pieces[0] and made.pieces[1]
    assert not made.at_start and not made.at_end


def test_holes_on_one_long_line_share_what_is_between_them(infiller: Infiller) -> None:
    between = "a + " * 3000
    made = passage(f"x = ___ + {between}___\n", Narrowed(infiller, 100))
    assert made.pieces[0] == "x = " and made.pieces[2] == "\n"
    assert made.pieces[1].startswith(" + a + ") and made.pieces[1].endswith("a + ")
    assert len(made.pieces[1]) > 40


LARGE = {
    "code": CLASS * 80 + "x = ___\n" + CLASS * 80,
    "one line": "x = [" + "1, " * 170_000 + "___, " + "2, " * 170_000 + "]\n",
    "one word": "x" * 500_000 + " = ___ " + "y" * 500_000,
    "blank lines": "\n" * 2_000_000 + "___" + "\n" * 2_000_000,
    "emoji": "'" + "😀" * 150_000 + "' + ___ + '" + "😀" * 150_000 + "'",
    "spaces": " " * 2_000_000 + "___" + " " * 2_000_000,
}


@pytest.mark.parametrize("name", LARGE)
def test_large_files_take_no_longer_than_small_ones(infiller: Infiller, name: str) -> None:
    buffer = Buffer(LARGE[name].encode(), "t.py")
    holes = find_markers(buffer, None, max_tokens=32)
    tree = parse(buffer.source, "python")
    began = time.perf_counter()
    made = passage_for(buffer, tree, holes, infiller)
    # Far above what it takes, for a busy machine; tokenising megabytes would take more.
    assert time.perf_counter() - began < 2
    check(buffer, holes, made, infiller)


lines = st.sampled_from(
    [
        "x = ___",
        "def f(a):",
        "    return ___",
        "    if a:",
        "        ___",
        "    # é😀 note",
        "",
        "class A:",
        "import os",
        "y = [",
        "]",
        "z = ___ + ___",
        "😀" * 30,
    ]
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(lines, min_size=1, max_size=60),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(24, 400),
    st.sampled_from(["python", "plaintext"]),
)
def test_any_passage_fits_and_keeps_what_is_beside_its_holes(
    infiller: Infiller, rows: list[str], newline: str, window: int, language: str
) -> None:
    buffer = Buffer(newline.join(rows).encode(), "t.py")
    tree = parse(buffer.source, language)
    narrow = Narrowed(infiller, window)
    holes = find_markers(buffer, tree, max_tokens=3)[: largest_budget(narrow) // 3][:8]
    if holes:
        check(buffer, holes, passage_for(buffer, tree, holes, narrow), narrow)


def test_typing_seldom_moves_what_is_cut(infiller: Infiller) -> None:
    """Three lines are typed in the middle of a file that doesn't fit: most passages begin and end where the one before did."""
    typed = "total = sum(first for first in self.values if first > 0)\n        if not total:\n            raise ValueError(f'no {self}')"
    head, tail = CLASS.split("        return first - 40\n")
    narrow = Narrowed(infiller, 400)
    moved, previous = 0, None
    for end in range(8, len(typed) + 1):
        buffer = Buffer((head + "        " + typed[:end] + "\n" + tail).encode(), "t.py")
        cursor = len((head + "        " + typed[:end]).encode())
        made = passage_for(buffer, parse(buffer.source, "python"), (Hole(cursor, cursor, "range", 32),), narrow)
        check(buffer, (Hole(cursor, cursor, "range", 32),), made, narrow)
        around = made.pieces[0].removesuffix(typed[:end]), made.pieces[1]
        moved += previous is not None and around != previous
        previous = around
    assert moved <= 6
