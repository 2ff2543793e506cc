"""What goes into the model's window."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tree_sitter import Tree

from engine.errors import PassageError
from engine.infiller import Infiller
from engine.passage import Passage, Wording
from lsp_server.buffer import Buffer
from lsp_server.context import END_MARKS, Context, OtherFile, Part, Reason, Shares, choose_context, largest_budget, passage_for
from lsp_server.holes import Hole, find_markers, hole_from_range
from lsp_server.line_ends import to_model
from lsp_server.statements import statements
from lsp_server.syntax import parse
from tests.lsp_server.language_samples import SAMPLES
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
    assert made == Passage(("x = ", "\n"), (8,), at_start=True, at_end=True, wordings=(Wording.SOME,))


def test_line_ends_are_the_models(infiller: Infiller) -> None:
    assert passage("a\r\nx = ___\r\nb\rc\r\n", infiller).pieces == ("a\nx = ", "\nb\nc\n")


def test_holes_at_both_ends(infiller: Infiller) -> None:
    made = passage("___ + ___", infiller)
    assert made == Passage(("", " + ", ""), (8, 8), at_start=True, at_end=True, wordings=(Wording.SOME,) * 2)


def test_what_stands_beside_tied_holes_may_be_empty(infiller: Infiller) -> None:
    made = passage("___a = ___\nf(___a)\n", infiller)
    assert made.ties == (0, 1, 0) and made.wordings == (Wording.SOME, Wording.ANY, Wording.SOME)


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
    # Far above what it takes, for a busy machine.
    assert time.perf_counter() - began < 15
    check(buffer, holes, made, infiller)


rows = st.sampled_from(
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
    st.lists(rows, min_size=1, max_size=60),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(24, 400),
    st.sampled_from(["python", "plaintext"]),
)
def test_any_passage_fits_and_keeps_what_is_beside_its_holes(
    infiller: Infiller, lines: list[str], newline: str, window: int, language: str
) -> None:
    buffer = Buffer(newline.join(lines).encode(), "t.py")
    tree = parse(buffer.source, language)
    narrow = Narrowed(infiller, window)
    holes = find_markers(buffer, tree, max_tokens=3)[: largest_budget(narrow) // 3][:8]
    if holes:
        check(buffer, holes, passage_for(buffer, tree, holes, narrow), narrow)


HELPERS = """
class Order:
    \"\"\"One order.\"\"\"

    price: float

    def discounted(self, share: float) -> float:
        \"\"\"The price less a share of it.\"\"\"
        if not 0 <= share <= 1:
            raise ValueError(share)
        rest = 1 - share
        return self.price * rest


def load(path: str) -> list[Order]:
    return []
"""


def other(text: str, name: str = "file:///project/helpers.py", language: str = "python") -> OtherFile:
    buffer = Buffer(text.encode(), name)
    tree = parse(buffer.source, language)
    assert tree is not None
    return OtherFile(buffer, tree)


def context(
    text: str, infiller: Infiller, others: Sequence[OtherFile] = (), shares: Shares | None = None, language: str = "python"
) -> Context:
    buffer = Buffer(text.encode(), "file:///project/sample.py")
    tree = parse(buffer.source, language)
    holes = find_markers(buffer, tree, max_tokens=8)
    chosen = choose_context(buffer, tree, holes, infiller, others, shares or Shares())
    check(buffer, holes, without_quotes(chosen), infiller)
    assert_fits(chosen, infiller)
    return chosen


def assert_fits(chosen: Context, infiller: Infiller) -> None:
    made = chosen.passage()
    assert sum(map(infiller.count_tokens, made.pieces)) + sum(made.budgets) + END_MARKS <= infiller.window


def without_quotes(chosen: Context) -> Passage:
    parts = tuple(part for part in chosen.parts if not part.comment)
    return Context(parts, (), chosen.budgets, chosen.at_start, chosen.at_end, chosen.ties, chosen.wordings).passage()


def quotes(chosen: Context) -> list[Part]:
    return [part for part in chosen.parts if part.comment]


TYPED = {
    "own": "total = sum(first for first in self.values if first > 0)\n        if not total:\n            raise ValueError(f'no {self}')",
    # Definitions of another file come in once their names are there, and go with the line that has them.
    "other": "order = load(self.values)\n        share = order.discounted(first / 2)\n        return [share for first in self.values]",
}


@pytest.mark.parametrize("name", TYPED)
@pytest.mark.parametrize("window", [400, 509])
def test_typing_seldom_moves_what_is_cut(infiller: Infiller, name: str, window: int) -> None:
    """Three lines are typed in the middle of a file that doesn't fit: most passages begin and end where the one before did."""
    typed = TYPED[name]
    head, tail = CLASS.split("        return first - 40\n")
    narrow = Narrowed(infiller, window)
    moved, previous = 0, None
    helpers = other(HELPERS)
    for end in range(8, len(typed) + 1):
        buffer = Buffer((head + "        " + typed[:end] + "\n" + tail).encode(), "t.py")
        cursor = len((head + "        " + typed[:end]).encode())
        hole = Hole(cursor, cursor, "range", 32)
        chosen = choose_context(buffer, parse(buffer.source, "python"), (hole,), narrow, [helpers])
        check(buffer, (hole,), without_quotes(chosen), narrow)
        made = chosen.passage()
        around = made.pieces[0].removesuffix(typed[:end]), made.pieces[1]
        moved += previous is not None and around != previous
        previous = around
    assert moved <= len(typed) / 12


def test_definitions_of_other_files_are_quoted_before_a_file_that_fits(infiller: Infiller) -> None:
    text = "from helpers import load\n\norders = load(___)\n"
    chosen = context(text, infiller, [other(HELPERS)])
    (quote,) = quotes(chosen)
    assert (quote.reason, quote.piece) == (Reason.DEFINITION, 0)
    assert quote.text == "# helpers.py\ndef load(path: str) -> list[Order]:\n    return []\n"
    assert chosen.parts[0] is quote
    assert chosen.passage().pieces == (quote.text + text.split("___")[0], text.split("___")[1])


def test_a_member_comes_with_the_header_of_its_type_and_a_long_one_without_its_body(infiller: Infiller) -> None:
    (quote,) = quotes(context("def f(order):\n    return order.discounted(___)\n", infiller, [other(HELPERS)]))
    assert quote.text == (
        '# helpers.py\nclass Order:\n    def discounted(self, share: float) -> float:\n        """The price less a share of it."""\n'
    )


def test_quotes_come_too_where_the_file_does_not_fit(infiller: Infiller) -> None:
    chosen = context(CLASS.replace("return first - 40", "return load(___)"), Narrowed(infiller, 300), [other(HELPERS)])
    (quote,) = quotes(chosen)
    assert chosen.parts[0] is quote and "def load" in quote.text
    assert {part.reason for part in chosen.parts} >= {Reason.HEADER, Reason.IMPORT, Reason.BESIDE, Reason.NEAR, Reason.DEFINITION}


def test_the_first_file_that_has_a_definition_is_quoted_and_its_own_goes_before_all(infiller: Infiller) -> None:
    first, second = other(HELPERS, "first.py"), other(HELPERS, "second.py")
    (quote,) = quotes(context("orders = load(___)\n", infiller, [first, second]))
    assert quote.comment == "# first.py\n"
    assert quotes(context("def load(path):\n    pass\n\norders = load(___)\n", infiller, [first])) == []


def test_a_file_name_stays_on_its_comment_line(infiller: Infiller) -> None:
    for name, shown in (
        ("file:///a/my%20%0Afile.py", "my file.py"),
        ("C:\\a\\b.py", "b.py"),
        ("/a/100%25.py", "100%25.py"),
        ("/a/x\ny.py", "x y.py"),
    ):
        (quote,) = quotes(context("orders = load(___)\n", infiller, [other(HELPERS, name)]))
        assert quote.comment == f"# {shown}\n"


def test_line_ends_of_a_quote_are_the_models(infiller: Infiller) -> None:
    (quote,) = quotes(context("orders = load(___)\n", infiller, [other(HELPERS.rstrip().replace("\n", "\r\n"))]))
    assert quote.text == "# helpers.py\ndef load(path: str) -> list[Order]:\n    return []\n"


def test_without_a_tree_nothing_is_quoted(infiller: Infiller) -> None:
    assert quotes(context("orders = load(___)\n", infiller, [other(HELPERS)], language="plaintext")) == []


@pytest.mark.parametrize(
    ("part", "reason"),
    [("headers", Reason.HEADER), ("imports", Reason.IMPORT), ("definitions", Reason.DEFINITION), ("near", Reason.NEAR)],
)
def test_a_share_of_nothing_leaves_a_part_out(infiller: Infiller, part: str, reason: Reason) -> None:
    text, narrow = CLASS.replace("return first - 40", "return load(___)"), Narrowed(infiller, 300)
    assert reason in {found.reason for found in context(text, narrow, [other(HELPERS)]).parts}
    assert reason not in {found.reason for found in context(text, narrow, [other(HELPERS)], Shares(**{part: 0})).parts}


def test_what_found_no_room_is_told(infiller: Infiller) -> None:
    imports = "".join(f"import module_with_a_long_name_{number}\n" for number in range(40))
    chosen = context(imports + CLASS.replace("return first - 40", "return load(___)"), Narrowed(infiller, 200), [other(HELPERS)])
    assert Reason.IMPORT in {part.reason for part in chosen.left_out}
    both = [(part.buffer, set(range(start, end))) for part in (*chosen.parts, *chosen.left_out) for start, end in part.spans]
    for (first, one), (second, two) in pairwise(sorted(both, key=lambda pair: (pair[0].name, min(pair[1])))):
        assert first is not second or not one & two, "a part can't be in and left out"


OWN_FILES = sorted(path for folder in ("engine", "lsp_server", "export") for path in (Path(__file__).parents[2] / folder).rglob("*.py"))


@cache
def own_file(number: int, newline: str) -> OtherFile:
    path = OWN_FILES[number % len(OWN_FILES)]
    return other(path.read_text(encoding="utf-8").replace("\n", newline), path.name)


class Counting(Narrowed):
    """Counts more tokens in several lines than in each of them, which no one can rule out of a tokenizer."""

    def count_tokens(self, text: str) -> int:
        return super().count_tokens(text) + 10 * max(0, text.count("\n") - 1)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 90)), min_size=1, max_size=4),
    st.integers(60, 509),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.integers(0, 1000), max_size=3),
    st.booleans(),
    st.sampled_from([Narrowed, Counting]),
)
def test_cuts_are_at_node_borders_and_holes_stay_hidden(
    infiller: Infiller,
    number: int,
    places: list[tuple[float, int]],
    window: int,
    newline: str,
    opened: list[int],
    has_tree: bool,
    kind: type[Narrowed],
) -> None:
    file = own_file(number, newline)
    buffer, tree = file.buffer, file.tree if has_tree else None
    holes: list[Hole] = []
    for at, length in sorted(places):
        start = buffer.settle(int(at * len(buffer.source)))
        end = buffer.settle(start + length)
        if (not holes or start > holes[-1].end) and end >= start:
            holes.append(Hole(start, end, "range", 8))
    narrow = kind(infiller, window)
    others = [own_file(other_number, "\n") for other_number in opened if OWN_FILES[other_number % len(OWN_FILES)].name != buffer.name]
    chosen = choose_context(buffer, tree, holes, narrow, others)
    assert_fits(chosen, narrow)
    check(buffer, tuple(holes), without_quotes(chosen), narrow)
    assert_in_order(chosen, buffer, holes)
    assert_cut_at_borders(chosen, buffer, tree, holes, window)
    assert all(part.buffer is not buffer for part in quotes(chosen))


def assert_in_order(chosen: Context, buffer: Buffer, holes: Sequence[Hole]) -> None:
    """Own parts follow each other as in the file and lie between the holes; quotes come before them all."""
    own = [part for part in chosen.parts if not part.comment]
    assert list(chosen.parts) == [*quotes(chosen), *own]
    spans = [(part.piece, *span) for part in own for span in part.spans]
    assert spans == sorted(spans) and all(first[2] <= second[1] for first, second in pairwise(spans))
    borders = [0, *(border for hole in holes for border in (hole.start, hole.end)), len(buffer.source)]
    for piece, start, end in spans:
        assert borders[2 * piece] <= start <= end <= borders[2 * piece + 1]
    for part in chosen.left_out:
        if part.buffer is buffer:
            assert not any(start < hole.end and hole.start < end for start, end in part.spans for hole in holes)


def assert_cut_at_borders(chosen: Context, buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], window: int) -> None:
    """Own lines apart, what is in begins and ends with a line, and with a statement or header unless that is large."""
    beside = [span for part in chosen.parts if part.reason in (Reason.BESIDE, Reason.FILE) for span in part.spans]
    own = {line for start, end in beside for line in range(buffer.line_at(start), buffer.line_at(max(start, end - 1)) + 1)}
    own |= {line for hole in holes for line in range(buffer.line_at(hole.start), buffer.line_at(hole.end) + 1)}
    taken: set[int] = set()
    for part in chosen.parts:
        for start, end in part.spans:
            if part.reason not in (Reason.BESIDE, Reason.FILE) or part.comment:
                assert start in part.buffer.line_starts and (end in part.buffer.line_starts or end == len(part.buffer.source))
                if not part.comment:
                    taken |= set(range(part.buffer.line_at(start), part.buffer.line_at(end - 1) + 1))
    assert not taken & own, "nothing is in twice"
    room = window - END_MARKS - sum(hole.budget for hole in holes)
    for first, last in statements(tree, 0, len(buffer.source)) if tree is not None else ():
        lines = set(range(buffer.line_at(first), buffer.line_at(last - 1) + 1))
        if last - first <= room and not lines & own and lines & taken:
            assert lines <= taken, f"{buffer.name}: lines {sorted(lines - taken)} are cut off"


def test_a_large_statement_is_cut_between_the_nodes_in_it(infiller: Infiller) -> None:
    entries = "".join(
        f"    'entry {number}': {{\n        'first': {number},\n        'second': [{number}],\n    }},\n" for number in range(60)
    )
    text = f"table = {{\n{entries}}}\nprint(___)\n"
    for window in range(100, 200, 7):
        before = passage(text, Narrowed(infiller, window)).pieces[0]
        assert text.split("___")[0].endswith(before)
        assert before.startswith("    'entry ")


LONG_BODIES = [
    ("python", "def load(path: str) -> list:\n    ...", "x = load(___)"),
    ("javascript", "export function load(path) {}", "const x = load(___);"),
    ("typescript", "export function load(path: string): Order[] { return []; }", "const x = load(___);"),
    ("typescriptreact", "export const load = (path: string) => <b>{path}</b>;", "const x = load(___);"),
    ("go", "func load(path string) []int { return nil }", "var x = load(___)"),
    ("rust", "pub fn load(path: &str) -> i32 { 0 }", "fn f() { let x = load(___); }"),
    ("java", "class Order { static Order load(String path) { return null; } }", "class A { Object x = Order.load(___); }"),
    ("c", "int load(const char *path);", "int x = load(___);"),
    ("cpp", "int load(const std::string &path) { return 0; }", "int x = load(___);"),
]


@pytest.mark.parametrize(("language", "definition", "use"), LONG_BODIES)
def test_other_languages_quote_in_their_own_comments(infiller: Infiller, language: str, definition: str, use: str) -> None:
    file = other(definition + "\n", f"helpers.{language}", language)
    (quote,) = quotes(context(use + "\n", infiller, [file], language=language))
    assert quote.text == f"{'#' if language == 'python' else '//'} helpers.{language}\n{definition}\n"


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SAMPLES)), st.floats(0, 1), st.integers(0, 60), st.integers(60, 300), st.sampled_from(["\n", "\r\n", "\r"]))
def test_cuts_are_at_node_borders_in_every_language(
    infiller: Infiller, language: str, at: float, length: int, window: int, newline: str
) -> None:
    buffer = Buffer((SAMPLES[language] * 4).replace("\n", newline).encode(), "sample")
    tree = parse(buffer.source, language)
    start = buffer.settle(int(at * len(buffer.source)))
    hole = Hole(start, max(start, buffer.settle(start + length)), "range", 8)
    narrow = Narrowed(infiller, window)
    chosen = choose_context(buffer, tree, (hole,), narrow, [other(SAMPLES[language], "other", language)])
    assert_fits(chosen, narrow)
    check(buffer, (hole,), without_quotes(chosen), narrow)
    assert_in_order(chosen, buffer, (hole,))
    assert_cut_at_borders(chosen, buffer, tree, (hole,), window)
