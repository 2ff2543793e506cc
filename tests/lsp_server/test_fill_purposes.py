"""What fills of a name, a type or a docstring must be, beside what all code must be."""

from __future__ import annotations

import pytest
from lsprotocol import types

from engine.results import HoleFill
from lsp_server.bindings import occurrences
from lsp_server.candidate import Candidate
from lsp_server.documents import Document
from lsp_server.edits import Edit
from lsp_server.holes import Hole
from lsp_server.postprocess import docstrings, type_annotations
from lsp_server.postprocess.new_names import NewNames
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.scaffold import Frame, Scaffold


def document(text: str) -> Document:
    return Document.opened(types.TextDocumentItem("untitled:sample", "python", 1, text))


def candidate(holes: tuple[Hole, ...], *texts: str) -> Candidate:
    edits = tuple(Edit(hole.start, hole.end, text) for hole, text in zip(holes, texts, strict=True))
    return Candidate(edits, tuple(HoleFill(text, (1,), (-1.0,), True) for text in texts))


NAMES = """import os
from sys import path

limit = 3


def used(a):
    return a


def f(a, b):
    c = [used(d) for d in a]
    x = len(c) + 1
    def g():
        y = 2
        return x + y
    for line in b:
        x += os.x
    return x, g, {"e": 1}
"""

FREE = ["total", "_total", "größe", "x2", "e", "A"]
TAKEN = {
    "limit": "something else here",  # a name of the module would be hidden
    "used": "something else here",
    "os": "something else here",
    "path": "something else here",
    "a": "something else here",
    "c": "something else here",
    "g": "something else here",
    "line": "something else here",
    "y": "something else here",  # what is read in g would be g's own
    "len": "means something else in python",
    "None": "means something else in python",
    "match": "means something else in python",
    "x.y": "no single name",
    "x y": "no single name",
    "2x": "no single name",
    " x2": "no single name",
    "(x2)": "no single name",
    "": "no single name",
}


def verdict_on_name(text: str, name: str, *, first: int | None = None) -> str | None:
    """The verdict on a name for x; `first`: the candidate is for the first holes only, as where one passage doesn't take all."""
    shown = document(text)
    assert shown.tree is not None
    places = occurrences(shown.tree, shown.buffer.source, text.encode().index(b"x = "))
    holes = tuple(Hole(start, end, "range", 8, "name") for start, end in places)
    rule = NewNames(shown.buffer, shown.tree, holes)
    some = holes[:first]
    return rule.check(candidate(some, *[name] * len(some)), Surroundings(shown.buffer, shown.tree, some))


@pytest.mark.parametrize("name", FREE)
def test_free_names_may_be_suggested(name: str) -> None:
    assert verdict_on_name(NAMES, name) is None
    assert verdict_on_name(NAMES, name, first=1) is None


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_is_taken_or_none_is_refused(name: str) -> None:
    reason = verdict_on_name(NAMES, name)
    assert reason is not None and TAKEN[name] in reason
    assert verdict_on_name(NAMES, name, first=1) == reason


def test_a_name_that_would_capture_what_is_read_below_is_refused() -> None:
    sample = "def f():\n    x = 1\n    def g():\n        return z + x\n"
    assert verdict_on_name(sample, "z") == "z is the name of something else here"
    assert verdict_on_name(sample, "w") is None


TYPES_IN = """import typing as t
from m import Thing

SIZE = 3
{}

class Box:
    Inner = int
    def f(self, a, b=1): pass

class Later: pass
"""

SOUND_TYPES = ["int", "t.Any", "Thing | None", "list[dict[str, Thing]]", "'Later'", "Inner", "t.Callable[[int], str]", "None"]
UNSOUND_TYPES = {
    "int = 3": "no type",
    "int, c": "no type",
    "0": "no type",
    "[int]": "no type",
    "f(x)": "no type",
    "List[int]": "means nothing here: List",
    "Later": "means nothing here: Later",  # bound only later
    "Box": "means nothing here: Box",  # bound once the class is over
    "other.Thing": "means nothing here: other",
    "list[Unknown]": "means nothing here: Unknown",
}


def verdict_on_types(text: str, *annotations: str) -> str | None:
    shown = document(text)
    at = text.encode().index(b"a, b=1")
    holes = (Hole(at + 1, at + 1, "range", 16), Hole(at + 4, at + 5, "range", 16))
    scaffold = Scaffold.around(shown.buffer, shown.tree, holes, (Frame(": ", ""), Frame(": ", " = ")))
    return type_annotations.check(candidate(scaffold.framed, *annotations), Surroundings(scaffold.buffer, scaffold.tree, scaffold.framed))


@pytest.mark.parametrize("annotation", SOUND_TYPES)
def test_types_of_known_names_are_taken(annotation: str) -> None:
    assert verdict_on_types(TYPES_IN.format(""), annotation, "int") is None
    assert verdict_on_types(TYPES_IN.format(""), "int", annotation) is None


@pytest.mark.parametrize("annotation", UNSOUND_TYPES)
def test_what_is_no_type_or_names_nothing_known_is_refused(annotation: str) -> None:
    for pair in ((annotation, "int"), ("int", annotation)):
        reason = verdict_on_types(TYPES_IN.format(""), *pair)
        assert reason is not None and UNSOUND_TYPES[annotation] in reason


def test_names_count_as_known_where_nobody_can_tell_or_looks_them_up() -> None:
    assert verdict_on_types(TYPES_IN.format("from typing import *"), "List[int]", "int") is None
    assert verdict_on_types("from __future__ import annotations\n" + TYPES_IN.format(""), "Box", "Later") is None
    inside = "def g():\n    def f(a, b=1): pass\n\nclass Later: pass\n"
    assert verdict_on_types(inside, "Later", "int") is None


DOCSTRINGS = {
    "Return it.": None,
    "Return it.\n\n    And more: 'x', \"y\" and ü😀.\n    ": None,
    "Return it. ": "white space",
    "Return it.\n": "white space",
    "Return it.\n\n    And more.": None,
    "": "says nothing",
    " \n": "says nothing",
    'Return it."""\n    x = 1\n    """': "after the end",
    'Return it.""" + """': "after the end",
    "Match \\d.": "backslash",
    'Say "it"': "after the end",
}


@pytest.mark.parametrize("text", DOCSTRINGS)
def test_a_docstring_is_one_string(text: str) -> None:
    sample = "def f(a):\r\n    return a\r\n"
    shown = document(sample)
    at = sample.index("\r\n")
    scaffold = Scaffold.around(shown.buffer, shown.tree, (Hole(at, at, "range", 48),), (Frame('\r\n    """', '"""'),))
    reason = docstrings.check(candidate(scaffold.framed, text), Surroundings(scaffold.buffer, scaffold.tree, scaffold.framed))
    expected = DOCSTRINGS[text]
    assert reason is None if expected is None else reason is not None and expected in reason


def test_a_scaffold_s_fills_go_back_into_the_text_as_it_was() -> None:
    sample = "def é(a, b=1): pass\n"
    shown = document(sample)
    start = sample.encode().index(b"a, b")
    holes = (Hole(start + 1, start + 1, "range", 8), Hole(start + 4, start + 5, "range", 8))
    scaffold = Scaffold.around(shown.buffer, shown.tree, holes, (Frame(": ", ""), Frame(": ", " = ")))
    assert scaffold.buffer.source.decode() == "def é(a: , b:  = 1): pass\n"
    assert [scaffold.buffer.source[: hole.start].decode() for hole in scaffold.framed] == ["def é(a: ", "def é(a: , b: "]
    back = scaffold.taken_back(candidate(scaffold.framed, "str", "😀"))
    assert back.edits == (Edit(start + 1, start + 1, ": str"), Edit(start + 4, start + 5, ": 😀 = "))
