"""Syntax trees: languages, errors, and trees kept in step with edits."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Tree

from lsp_server import syntax
from lsp_server.edits import Edit, apply_edits, ranges_after, tree_after
from lsp_server.languages import language_of
from lsp_server.syntax import count_errors, edited, leaf_at, parse, parse_again, smallest_node

SOURCE = 'def f(a):\n    if a:\n        return "é😀"\n    return [1, 2]\n'.encode()


def python_tree(source: bytes) -> Tree:
    tree = parse(source, "python")
    assert tree is not None
    return tree


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.py", "python"),
        ("file:///home/me/a%20b.pyi", "python"),
        ("C:\\code\\A.PY", "python"),
        ("a.py.txt", "plaintext"),
        ("Makefile", "plaintext"),
        ("untitled:Untitled-1", "plaintext"),
        ("", "plaintext"),
    ],
)
def test_language_by_suffix(name: str, language: str) -> None:
    assert language_of(name) == language


def test_no_grammar_no_tree() -> None:
    assert parse(b"x = 1", "plaintext") is None
    assert parse(b"x = 1", "klingon") is None


def test_parsing_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syntax, "PARSE_SECONDS", -1.0)
    assert parse(b"a b ) c ( [ } " * 100_000, "python") is None


def test_what_was_parsed_is_let_go() -> None:
    source = b"x = 1\n" * 2000
    tree = python_tree(source)
    tracemalloc.start()
    try:
        for number in range(20):
            after = source[:6] + b"y" * number + source[6:]
            parse_again(after, edited(tree, source, 6, 6, after))
            del after
        assert tracemalloc.get_traced_memory()[0] < len(source)
    finally:
        tracemalloc.stop()


def test_count_errors() -> None:
    assert count_errors(python_tree(SOURCE)) == 0
    assert count_errors(python_tree(b"x = (1, 2\n")) >= 1
    assert count_errors(python_tree(b"def f(:\n  pass\nx = = 3\n")) >= 2


def test_nodes_under_a_place() -> None:
    tree = python_tree(SOURCE)
    number = SOURCE.index(b"1, 2")
    assert smallest_node(tree, number, number + 1).type == "integer"
    keyword = leaf_at(tree, 0)
    assert keyword is not None and keyword.type == "def"
    assert leaf_at(tree, SOURCE.index(b"    if")) is None


edits = st.tuples(
    st.integers(0, 60), st.integers(0, 20), st.sampled_from(["", "x", "\n", "\n    ", "(", ")", "😀", "é", "if a:\n", '"', "\r\n"])
)


@settings(deadline=None, max_examples=60)
@given(st.lists(edits, max_size=8))
def test_a_tree_kept_in_step_finds_errors_where_a_new_one_does(script: list[tuple[int, int, str]]) -> None:
    text, tree = SOURCE.decode(), python_tree(SOURCE)
    for start, length, new in script:
        start = min(start, len(text))
        end = min(start + length, len(text))
        before, after = text, text[:start] + new + text[end:]
        changed = edited(tree, before.encode(), len(before[:start].encode()), len(before[:end].encode()), after.encode())
        again = parse_again(after.encode(), changed)
        assert again is not None
        text, tree = after, again
    fresh = python_tree(text.encode())
    assert tree.root_node.has_error == fresh.root_node.has_error
    assert tree.root_node.end_byte == fresh.root_node.end_byte
    if not fresh.root_node.has_error:
        assert str(tree.root_node) == str(fresh.root_node)


def test_edited_leaves_the_tree_as_it_was() -> None:
    tree = python_tree(SOURCE)
    before = str(tree.root_node)
    edited(tree, SOURCE, 0, 3, b"x" + SOURCE[3:])
    assert str(tree.root_node) == before and not tree.root_node.has_changes


def test_several_edits_at_once() -> None:
    changes = (Edit(6, 7, "value, other"), Edit(SOURCE.index(b"[1, 2]"), SOURCE.index(b"[1, 2]") + 6, "é"))
    after = apply_edits(SOURCE, changes)
    assert after == SOURCE.replace(b"f(a)", b"f(value, other)").replace(b"[1, 2]", "é".encode())
    assert [after[start:end].decode() for start, end in ranges_after(changes)] == ["value, other", "é"]
    tree = tree_after(python_tree(SOURCE), SOURCE, changes)
    assert tree is not None and str(tree.root_node) == str(python_tree(after).root_node)
