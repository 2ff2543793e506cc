"""How far a suggestion at the cursor goes, and where it is cut."""

from __future__ import annotations

import pytest

from lsp_server.buffer import Buffer
from lsp_server.extent import BUDGETS, Extent, cuts, extent_at
from lsp_server.languages import tables
from lsp_server.syntax import parse


def at_bar(text: str, language: str = "python") -> Extent:
    """The extent at the bar in `text`, which is taken out."""
    offset = len(text[: text.index("|")].encode())
    buffer = Buffer(text.replace("|", "", 1).encode())
    return extent_at(buffer, parse(buffer.source, language), offset)


@pytest.mark.parametrize(
    ("text", "extent"),
    [
        ("x = |\n", Extent("line")),
        ("x = |", Extent("line")),
        ("x = |   \n", Extent("line")),
        ("|", Extent("line")),
        ("x = 1\n|\n", Extent("line")),
        ("x = |1\n", Extent("expression")),
        ("total(|)\n", Extent("expression")),
        ("|x = 1\n", Extent("expression")),
        ("def f():\n    |\n", Extent("block", 4)),
        ("def f():\n    |", Extent("block", 4)),
        ("def f():\n\t|\n", Extent("block", 4)),
        ("def f():\r\n    |\r\n\r\nx = 1\r\n", Extent("block", 4)),
        ("def f():\r    |\r\rx = 1\r", Extent("block", 4)),
        ("def f():\n\n\n    |\n\n\nx = 1\n", Extent("block", 4)),
        ("def f():\n    |\n    return 1\n", Extent("line")),  # the block is there already
        ("def f():\n    x = 1\n    |\n", Extent("line")),
        ("def f():\n|\n", Extent("line")),
        ("x = f(\n    |\n", Extent("line")),  # one argument, not a block
        ("x = [\n    |\n", Extent("line")),
        ("x = 1 + \\\n    |\n", Extent("line")),
        ("# Some |\n", Extent("words")),
        ("# Some |words\n", Extent("words")),
        ("#|\n", Extent("words")),
        ("|# Some\n", Extent("expression")),
        ("x = 1  # why|", Extent("words")),
        ("x = 'some |'\n", Extent("words")),
        ("x = 'some'|\n", Extent("line")),
        ('def f():\n    """Some\n    |\n    """\n', Extent("words")),
        ("x = f'some {|}'\n", Extent("expression")),
        ("x = f'some {x} |'\n", Extent("words")),
        ("x = '😀 é|'\n", Extent("words")),
        ("x = '😀'; y = |\n", Extent("line")),
    ],
)
def test_the_extent_follows_from_the_syntax(text: str, extent: Extent) -> None:
    assert at_bar(text) == extent


@pytest.mark.parametrize("language", [table.ids[0] for table in tables()])
def test_comments_are_known_in_every_language(language: str) -> None:
    table = next(table for table in tables() if language in table.ids)
    comment = table.line_comment
    for text in (f"{comment} some |\n", f"{comment} some |", f"{comment} some| words\n", f"\n{comment}{comment[-1]} some |\n"):
        assert at_bar(text, language) == Extent("words"), text
    # What is typed on the next line is no comment, though a grammar may count the line end to the comment.
    for text in (f"{comment} some\n|\n", f"{comment}{comment[-1]} some\n|", f"{comment}{comment[-1]}{comment[-1]} some\n|\nx\n"):
        assert at_bar(text, language).kind != "words", text


@pytest.mark.parametrize("language", ["plaintext", "cobol"])
def test_without_a_grammar_lines_and_indentation_are_left(language: str) -> None:
    assert at_bar("# some |\n", language) == Extent("line")
    assert at_bar("if x then\n  |\nend\n", language) == Extent("block", 2)
    assert at_bar("f(|)\n", language) == Extent("expression")


def test_a_line_of_a_megabyte_is_looked_at_near_the_cursor_only() -> None:
    half = b"x = '" + b"a" * 1_000_000 + b"'"
    assert extent_at(Buffer(half + b" + " + half), None, len(half)) == Extent("expression")
    assert extent_at(Buffer(half), None, len(half)) == Extent("line")


def test_budgets_grow_with_the_extent() -> None:
    assert BUDGETS["words"] <= BUDGETS["expression"] < BUDGETS["line"] < BUDGETS["block"]
    assert Extent("block", 4).budget == BUDGETS["block"]


LINE, BLOCK, SHORT = Extent("line"), Extent("block", 4), Extent("expression")


@pytest.mark.parametrize(
    ("extent", "text", "complete", "first"),
    [
        (LINE, "items)", True, "items)"),
        (LINE, "items)\n    return x", True, "items)"),
        (LINE, "items)\n    retu", False, "items)"),
        (LINE, "items) + nam", False, "items) +"),  # the last word may be half a word
        (LINE, "item", False, None),
        (LINE, "", True, None),
        (LINE, "  ", True, None),
        (LINE, "\n    return x", True, None),
        (SHORT, "a, b", True, "a, b"),
        (SHORT, "a,\n  b", True, "a,"),
        (BLOCK, "x = 1\n    return x", True, "x = 1\n    return x"),
        (BLOCK, "x = 1\n    return x\n\n\ndef g():\n    pass", True, "x = 1\n    return x"),
        (BLOCK, "x = 1\n\n    return x\n  y", True, "x = 1\n\n    return x"),
        (BLOCK, "x = 1\n\treturn x\nz", True, "x = 1\n\treturn x"),
        (BLOCK, "x = 1\n    return x + nam", False, "x = 1"),
        (BLOCK, "\n    x = 1", True, None),
    ],
)
def test_what_is_preferred(extent: Extent, text: str, complete: bool, first: str | None) -> None:
    assert next(cuts(text, extent, complete=complete), None) == first


@pytest.mark.parametrize("extent", [LINE, BLOCK, SHORT, Extent("words")])
@pytest.mark.parametrize("complete", [True, False])
def test_cuts_are_distinct_beginnings_that_say_something(extent: Extent, complete: bool) -> None:
    text = "total(a, b)\n    if x[0] > 1:\n        return {'é': 😀}\n    return 7"
    found = list(cuts(text, extent, complete=complete))
    assert 1 <= len(found) <= 8 and len(set(found)) == len(found)
    for cut in found:
        assert text.startswith(cut) and cut.strip()
        assert complete or cut != text
    assert all("\n" not in cut for cut in found) or extent.kind in ("line", "block")


def test_a_line_may_go_on_where_its_end_is_no_place_to_stop() -> None:
    assert list(cuts("f(\n    a,\n)", LINE, complete=True))[:3] == ["f(", "f(\n    a,", "f(\n    a,\n)"]
    assert list(cuts("f(a, b", LINE, complete=True)) == ["f(a, b", "f(a,", "f(a", "f(", "f"]


def test_a_block_has_an_end() -> None:
    text = "x = 1" + "\n    x += 1" * 40
    assert next(cuts(text, BLOCK, complete=True)).count("\n") == 11
