"""What each family of code actions offers where, without a model: the holes and the text that comes in around them.

The cursor is |, or the selection lies between two. An offered text is shown with ◦ in its holes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lsprotocol import types

from engine.passage import Wording
from lsp_server.code_actions import annotating, documenting, markers, missing, naming, selection
from lsp_server.code_actions.offer import FILL_FILE_KIND, Offer, Place, Refusal
from lsp_server.configuration import Settings
from lsp_server.documents import Document
from lsp_server.edits import Edit, apply_edits
from lsp_server.scaffold import Frame

Family = Callable[[Place], Iterator[Offer | Refusal]]


def place_of(sample: str, *, language: str = "python", invoked: bool = True, source: bool = False) -> Place:
    pieces = sample.split("|")
    start = len(pieces[0].encode())
    end = start + (len(pieces[1].encode()) if len(pieces) == 3 else 0)
    document = Document.opened(types.TextDocumentItem("untitled:sample", language, 1, "".join(pieces)))
    return Place(document, start, end, Settings(), invoked, source)


def drawn(offer: Offer) -> str:
    request = offer.request
    frames = request.frames or (Frame("", ""),) * len(request.holes)
    edits = [Edit(hole.start, hole.end, f"{frame.before}◦{frame.after}") for hole, frame in zip(request.holes, frames, strict=True)]
    return apply_edits(request.document.buffer.source, edits).decode()


def offered(family: Family, sample: str) -> list[tuple[str, str]]:
    return [(offer.title, drawn(offer)) for offer in family(place_of(sample)) if isinstance(offer, Offer)]


ANNOTATED = {
    "def f(|a, b=1, *c, d: int, e: int = 2, **g):\n  x\n": "def f(a: ◦, b: ◦ = 1, *c: ◦, d: int, e: int = 2, **g: ◦) -> ◦:\n  x\n",
    "class K:\n    def m(self, x):\n        |return x\n": "class K:\n    def m(self, x: ◦) -> ◦:\n        return x\n",
    "class K:\n    @classmethod\n    |def m(cls, *, x): return x\n": "class K:\n    @classmethod\n    def m(cls, *, x: ◦) -> ◦: return x\n",
    "async def f(a, /, self) -> int|: return a\n": "async def f(a: ◦, /, self: ◦) -> int: return a\n",
    "def f(\n\ta, # ü😀\n\tb =\\\n2,\n):|\n\tpass\n": "def f(\n\ta: ◦, # ü😀\n\tb: ◦ = 2,\n) -> ◦:\n\tpass\n",
    "def f(a):\r\n    def g(b):\r\n  |  return 1\r\n": "def f(a: ◦) -> ◦:\r\n    def g(b):\r\n    return 1\r\n",
    "@d(x)|\ndef é(a): pass\n": "@d(x)\ndef é(a: ◦) -> ◦: pass\n",
    "def f(x: int):\n    return lambda a: |a\n": "def f(x: int) -> ◦:\n    return lambda a: a\n",
}


@pytest.mark.parametrize("sample", ANNOTATED)
def test_annotations_go_where_types_are_missing(sample: str) -> None:
    ((title, text),) = offered(annotating.offers, sample)
    assert text == ANNOTATED[sample]
    count = text.count("◦")
    assert title.startswith("Annotate ") and title.endswith(f"({count} type{'s' * (count > 1)})")


@pytest.mark.parametrize(
    "sample",
    ["x = |1\n", "lambda a: |a\n", "def f(a: int) -> int:\n    |return a\n", "def f(a, ! b):|\n    pass\n", "class K:\n    |x = 1\n"],
)
def test_nothing_is_annotated_where_no_type_is_missing(sample: str) -> None:
    assert offered(annotating.offers, sample) == []


DOCUMENTED = {
    "def f(a):|\n    return a\n": 'def f(a):\n    """◦"""\n    return a\n',
    "def f(a):  # ü😀\r\n\t# b\r\n\treturn |a\r\n": 'def f(a):  # ü😀\r\n\t"""◦"""\r\n\t# b\r\n\treturn a\r\n',
    "class K:\n\n  |x = 1\n": 'class K:\n  """◦"""\n\n  x = 1\n',
    "class K:\n  'doc'\n  @d\n  |  def m(self):\n      pass\n": 'class K:\n  \'doc\'\n  @d\n    def m(self):\n      """◦"""\n      pass\n',
    "def f(\n  a,\n):\r  |x = a\r  return x": 'def f(\n  a,\n):\n  """◦"""\r  x = a\r  return x',
    "if x:\n    def f():\n        ___|\n": 'if x:\n    def f():\n        """◦"""\n        ___\n',
}


@pytest.mark.parametrize("sample", DOCUMENTED)
def test_docstrings_go_below_the_header(sample: str) -> None:
    ((title, text),) = offered(documenting.offers, sample)
    assert text == DOCUMENTED[sample]
    assert title.startswith("Write the docstring of ")


@pytest.mark.parametrize(
    "sample",
    [
        "def f(): |return 1\n",
        "class K: |pass\n",
        "def f():|\n    'is there'\n    return 1\n",
        "def f():|\n    r'''is there'''\n",
        "def f():|\n    # a note\n    'is ' 'there'\n",
        "x = 1|\n",
        "def f():|\n",
        "class K:\n    'is there'\n    x = |1\n",
    ],
)
def test_no_docstring_where_there_is_one_or_no_place_for_it(sample: str) -> None:
    assert offered(documenting.offers, sample) == []


def test_a_better_name_is_offered_for_all_occurrences_together() -> None:
    for sample in ("def f(|a, b):\n    return a + b.a\n", "def f(a|, b):\n    return a + b.a\n", "def f(|a|, b):\n    return a + b.a\n"):
        (offer,) = naming.offers(place_of(sample))
        assert isinstance(offer, Offer) and offer.title == "Suggest a better name for a in this file"
        assert drawn(offer) == "def f(◦, b):\n    return ◦ + b.a\n"
        assert len({hole.tie for hole in offer.request.holes}) == 1 and offer.request.holes[0].tie is not None
        assert {hole.wording for hole in offer.request.holes} == {Wording.WORD}


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ("import |os\nos.getcwd()\n", "another module gives"),
        ("|print(1)\n", "bound nowhere"),
        ("class K:\n    |x = 1\n", "class's attribute"),
        ("|x = 1\nx = = x )\n", "syntax error"),
        ("|x = 1\n" + "y = x\n" * naming.MOST_OCCURRENCES, "stands at 33 places"),
        ("|x = 1\n" + "y = x\n" * 2000, "too many"),
    ],
)
def test_a_name_that_can_t_be_renamed_says_why(sample: str, reason: str) -> None:
    (refusal,) = naming.offers(place_of(sample))
    assert isinstance(refusal, Refusal) and reason in refusal.reason


@pytest.mark.parametrize("sample", ["x = |1\n", "|x = y|\n", "# |x\n", "|___ = 1\n", "def f(|a, b|): pass\n"])
def test_no_name_no_suggestion(sample: str) -> None:
    assert list(naming.offers(place_of(sample))) == []


MISSING = {
    "def f(a):\n    |pass  # TODO\n": ("Write the body of f", "def f(a):\n    ◦\n"),
    "class K:\r\n\t@d\r\n\tdef g(self):\r\n\t\t'😀'\r\n\t\t...|\r\n": (
        "Write the body of g",
        "class K:\r\n\t@d\r\n\tdef g(self):\r\n\t\t'😀'\r\n\t\t◦\r\n",
    ),
    "m = '😀'; f(m, |)\n": ("Fill in the argument", "m = '😀'; f(m, ◦)\n"),
    "m = '😀'; n = |\n": ("Fill in the value", "m = '😀'; n = ◦\n"),
    "for x in |:\n    b()\n": ("Fill in what is missing here", "for x in ◦:\n    b()\n"),
    "x = 1 2|\n": ("Mend the syntax here", "x = ◦ 2\n"),
}


@pytest.mark.parametrize("sample", MISSING)
def test_what_is_missing_at_the_cursor_is_offered(sample: str) -> None:
    assert offered(missing.offers, sample) == [MISSING[sample]]


@pytest.mark.parametrize("sample", ["x = |1\n", "f(|a|, )\n", "x = ___|\n", "def f():\n    a()\n    |pass\n"])
def test_nothing_is_offered_where_nothing_is_missing(sample: str) -> None:
    assert offered(missing.offers, sample) == []


def test_what_is_offered_at_the_cursor_is_offered_once() -> None:
    assert offered(selection.offers, "f(|)\n") == []
    assert [title for title, _ in offered(selection.offers, "def f():\n    |pass\n")] == ["Write code at the cursor"]


def test_a_marker_with_a_name_is_filled_and_not_rewritten() -> None:
    assert offered(selection.offers, "x = |___total|\n") == []
    assert [title for title, _ in offered(selection.offers, "x = |total|\n")] == ["Rewrite the selection"]


@pytest.mark.parametrize("family", [missing.offers, naming.offers, annotating.offers, documenting.offers])
def test_editors_that_ask_by_themselves_get_no_light_bulb_for_what_is_everywhere(family: Family) -> None:
    sample = "def f(|):\n    pass\n" if family is missing.offers else "def f(|a):\n    return a\n"
    assert list(family(place_of(sample)))
    assert not list(family(place_of(sample, invoked=False)))
    assert not list(family(place_of(sample, language="klingon")))


TWO_FUNCTIONS = "class K:\n    def f(self):\n        a = ___\n        |\n        return ___\n\n    def g(self): ___\n\nx = ___\n"


def test_the_smallest_definition_with_several_holes_but_not_all() -> None:
    found = offered(markers.offers, TWO_FUNCTIONS.replace("        |\n", "        b = |1\n"))
    assert [(title, text.count("◦")) for title, text in found] == [("Fill the 2 holes of f", 2), ("Fill all 4 holes in this file", 4)]
    sample = TWO_FUNCTIONS.replace("        |\n", "").replace("g(", "|g(")
    found = offered(markers.offers, sample)
    choose = "Fill this hole: choose among alternatives…"
    assert [title for title, _ in found] == ["Fill this hole", choose, "Fill the 3 holes of K", "Fill all 4 holes in this file"]
    whole = "def f():\n    |a = ___\n    return ___\n"
    assert "Fill all 2 holes in this file" in [title for title, _ in offered(markers.offers, whole)]
    assert not any(" of f" in title for title, _ in offered(markers.offers, whole))


def test_the_file_s_holes_have_a_kind_for_key_bindings_too() -> None:
    by_kind = [offer for offer in markers.offers(place_of("x = ___\n|", source=True)) if offer.kind == FILL_FILE_KIND]
    assert len(by_kind) == 1 and drawn(by_kind[0]) == "x = ◦\n"
    assert not [offer for offer in markers.offers(place_of("x = ___\n|")) if offer.kind == FILL_FILE_KIND]
    assert not list(markers.offers(place_of("x = 1\n|", source=True)))
