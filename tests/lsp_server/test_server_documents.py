"""Incremental sync: after any edits, text and tree are those of the text opened afresh."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

from lsp_server.buffer import Unit
from lsp_server.documents import Document, Documents
from lsp_server.syntax import count_errors
from tests.lsp_server.language_client import position_of
from tests.lsp_server.sample_code import THREE_HOLES

FRAGMENTS = [
    *("x", "(", ")", ":", '"', "'''", "# ", "___", "if x:", "def f(a):\n    return a\n"),
    *(" ", "\n", "\r\n", "\r", "\t", "    ", "é", "😀", "\u2028", "\x0c"),
]
UNITS: tuple[Unit, ...] = ("utf-8", "utf-16", "utf-32")


def opened(text: str, language: str = "python", version: int = 1) -> Document:
    return Document.opened(types.TextDocumentItem("file:///project/sample.py", language, version, text))


def change(text: str, start: int, end: int, new: str, unit: Unit) -> types.TextDocumentContentChangePartial:
    return types.TextDocumentContentChangePartial(types.Range(position_of(text, start, unit), position_of(text, end, unit)), new)


def shape(document: Document) -> list[tuple[str, int, int]]:
    """All nodes of the tree with their places."""
    assert document.tree is not None
    nodes, stack = [], [document.tree.root_node]
    while stack:
        node = stack.pop()
        nodes.append((node.type, node.start_byte, node.end_byte))
        stack.extend(node.children)
    return nodes


def splits_a_line_end(text: str, index: int) -> bool:
    """No editor has a cursor between the two characters of a \\r\\n."""
    return text[index - 1 : index + 1] == "\r\n"


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(UNITS))
def test_edits_give_the_text_and_the_tree_of_a_fresh_open(data: st.DataObject, unit: Unit) -> None:
    text = data.draw(st.sampled_from([THREE_HOLES, "", "a = '😀' + b\r\nc = ___\r\n", "\tx = 1\rdef f(): pass"]))
    document = opened(text)
    for version in range(2, data.draw(st.integers(2, 8))):
        changes = []
        for _ in range(data.draw(st.integers(1, 3))):
            places = [index for index in range(len(text) + 1) if not splits_a_line_end(text, index)]
            start, end = sorted((data.draw(st.sampled_from(places)), data.draw(st.sampled_from(places))))
            end = min(end, start + 12)
            end -= splits_a_line_end(text, end)
            new = "".join(data.draw(st.lists(st.sampled_from(FRAGMENTS), max_size=3)))
            changes.append(change(text, start, max(start, end), new, unit))
            text = text[:start] + new + text[max(start, end) :]
        document = document.changed(version, changes, unit)
        assert document.version == version
        assert document.buffer.text == text
        fresh = opened(text)
        assert fresh.tree is not None and document.tree is not None
        # Recovery from errors may depend on the way there; a text without errors has one tree.
        if count_errors(fresh.tree) == 0:
            assert shape(document) == shape(fresh)


def test_an_older_snapshot_stays_as_it_was() -> None:
    before = opened(THREE_HOLES)
    text, nodes = before.buffer.text, shape(before)
    after = before.changed(2, [change(text, 0, 20, "", "utf-16")], "utf-16")
    assert before.buffer.text == text and shape(before) == nodes
    assert after.buffer.text == text[20:]


def test_a_change_without_a_range_replaces_the_text() -> None:
    changes: list[types.TextDocumentContentChangeEvent] = [
        types.TextDocumentContentChangeWholeDocument("a = 1\n"),
        change("a = 1\n", 4, 5, "2", "utf-16"),
    ]
    document = opened(THREE_HOLES).changed(2, changes, "utf-16")
    assert document.buffer.text == "a = 2\n"
    assert shape(document) == shape(opened("a = 2\n"))


def test_positions_past_the_end_are_brought_inside() -> None:
    far = types.Range(types.Position(99, 99), types.Position(3, 7))
    document = opened("a = 1\n").changed(2, [types.TextDocumentContentChangePartial(far, "b = 2\n")], "utf-16")
    assert document.buffer.text == "a = 1\nb = 2\n"


def test_a_language_without_grammar_and_an_empty_one_are_no_error() -> None:
    assert opened("whatever ___", language="klingon").tree is None
    assert opened("x = 1", language="").tree is not None
    assert opened("x = ___", language="klingon").changed(2, [change("x = ___", 0, 1, "yy", "utf-8")], "utf-8").buffer.text == "yy = ___"


def test_a_lone_surrogate_does_no_harm() -> None:
    text = "s = '\ud83d'; t = ___\n"
    document = opened(text)
    assert document.buffer.position(document.buffer.source.index(b"___"), "utf-16") == (0, text.index("___"))


def test_only_the_newest_version_is_current() -> None:
    documents = Documents()
    first = opened("a")
    documents.put(first)
    assert documents.is_current(first)
    second = first.changed(2, [change("a", 0, 1, "b", "utf-16")], "utf-16")
    documents.put(second)
    assert documents.get(first.uri) is second and not documents.is_current(first)
    documents.close(first.uri)
    documents.close(first.uri)
    assert documents.get(first.uri) is None and not documents.is_current(second)
