"""The rules that candidates must pass, each on candidates made by hand."""

from __future__ import annotations

import math

import pytest

from engine.results import HoleFill
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.edits import Edit
from lsp_server.holes import find_markers, hole_from_range
from lsp_server.line_ends import to_buffer
from lsp_server.postprocess import (
    incomplete,
    indentation,
    judge,
    python_grammar,
    sift,
    special_tokens,
    suffix_overlap,
    syntax_errors,
    trailing_space,
    unchanged,
    unfilled,
    unprintable,
)
from lsp_server.postprocess.indent_style import style_at
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.syntax import count_errors, parse


def around(text: str, language: str = "python") -> Surroundings:
    """The surroundings of all markers, or of the range between guillemets where there are such."""
    if "«" in text:
        start, end = text.index("«"), text.index("»") - 1
        buffer = Buffer(text.replace("«", "").replace("»", "").encode(), "t.py")
        return Surroundings(buffer, parse(buffer.source, language), (hole_from_range(buffer, start, end),))
    buffer = Buffer(text.encode(), "t.py")
    tree = parse(buffer.source, language)
    return Surroundings(buffer, tree, find_markers(buffer, tree))


def filled(surroundings: Surroundings, *texts: str, complete: bool = True, logprob: float = -1.0) -> Candidate:
    newline = surroundings.buffer.newline
    edits = [Edit(hole.start, hole.end, to_buffer(text, newline)) for hole, text in zip(surroundings.holes, texts, strict=True)]
    return Candidate(tuple(edits), tuple(HoleFill(text, (1, 2), (logprob, logprob), complete) for text in texts))


def test_a_candidates_figures_add_up() -> None:
    candidate = filled(around("___ + ___"), "a", "b\n c")
    assert candidate.logprob == -4 and candidate.tokens == 4
    assert candidate.bits_per_token == pytest.approx(1 / math.log(2))
    assert candidate.preview == "a … b c"


def test_a_torso_is_refused() -> None:
    here = around("x = ___")
    assert incomplete.check(filled(here, "a"), here) is None
    assert "--max-tokens" in (incomplete.check(filled(here, "a", complete=False), here) or "")


def test_empty_and_marker_fills_are_refused() -> None:
    here = around("f(___)")
    assert unfilled.check(filled(here, "x"), here) is None
    assert unfilled.check(filled(here, " \n"), here) == "it leaves a hole empty"
    assert unfilled.check(filled(here, "g(___)"), here) == "it holds the marker ___"
    selection = around("f(«a»)")
    assert unfilled.check(filled(selection, ""), selection) is None


def test_a_fill_that_changes_nothing_is_refused() -> None:
    here = around("f(«a»)")
    assert unchanged.check(filled(here, "a"), here) is not None
    assert unchanged.check(filled(here, "b"), here) is None


def test_special_tokens_are_refused_unless_the_file_is_about_them() -> None:
    here = around("x = ___")
    assert special_tokens.check(filled(here, "a<eoh>"), here) == "it holds the special token <eoh>"
    assert special_tokens.check(filled(here, "'<|endoftext|>'"), here) is not None
    assert special_tokens.check(filled(here, "a < b > c"), here) is None
    about = around("END = '<eoh>'\nx = ___")
    assert special_tokens.check(filled(about, "'<eoh>'"), about) is None


@pytest.mark.parametrize("text", ["a\x00", "'\x1b[0m'", "'\ufffd'", "a\rb"])
def test_unprintable_characters_are_refused(text: str) -> None:
    here = around("x = ___")
    assert unprintable.check(filled(here, text), here) is not None


def test_tabs_line_ends_and_emoji_are_printable() -> None:
    here = around("x = ___")
    assert unprintable.check(filled(here, "a\n\t'😀é'"), here) is None


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("f(___, key=1)\n", "a, key=1)"),
        ("___\nreturn total\n", "total += 1\nreturn total"),
        ("___\nreturn total\n", "return total"),
        ("___\n\n    total += 1\n    return total\n", "for a in b:\n    total += 1\n    return total\n"),
        ("x = ___\r\ny = foo(x)\r\n", "3\ny = foo(x)"),
    ],
)
def test_repeating_what_follows_is_refused(text: str, fill: str) -> None:
    here = around(text)
    assert "it repeats" in (suffix_overlap.check(filled(here, fill), here) or "")


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("f(___)\n", "g(x)"),
        ("if ___:\n    pass\n", "a"),
        ("if a:\n    ___\nelse:\n    pass\n", "if b:\n        c\n    else:\n        pass"),
        ("x = ___ + y\n", "y"),
        ("___\nreturn total\n", "total += 1"),
        ("x = ___", "3"),
    ],
)
def test_ordinary_fills_repeat_nothing(text: str, fill: str) -> None:
    here = around(text)
    assert suffix_overlap.check(filled(here, fill), here) is None


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("x = ___\n", "("),
        ("x = ___\n", "'a"),
        ("f(___)\n", "a b"),
        ("def f():\n    ___\n", "return ]"),
        ("broken = (\nx = ___\n", "[[}"),
        ("x = «y»\n", "y ="),
        ("x = «»\n", "if"),
    ],
)
def test_syntax_errors_are_refused(text: str, fill: str) -> None:
    here = around(text)
    assert "syntax error" in (syntax_errors.check(filled(here, fill), here) or "")


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("x = ___\n", "(1,\n 2)"),
        ("def f():\n    ___\n    return 1\n", "if a:\n        b()"),
        ("x = «»\n", "1"),
        ("x = «(»\n", "[1]"),
        ("y = = 2\nx = ___\n", "3"),
        ("x = ___\r\ny = 1\r\n", "'😀'"),
    ],
)
def test_sound_fills_pass_the_grammars(text: str, fill: str) -> None:
    here = around(text)
    assert syntax_errors.check(filled(here, fill), here) is None
    assert python_grammar.check(filled(here, fill), here) is None


def test_plain_text_has_no_syntax_errors() -> None:
    here = around("x = ___\n", "plaintext")
    assert syntax_errors.check(filled(here, "((("), here) is None
    assert python_grammar.check(filled(here, "((("), here) is None


@pytest.mark.parametrize(
    ("text", "fill"),
    [
        ("___\n", "print x"),
        ("f(___)\n", "a=1, b"),
        ("def f():\n    ___\n    return 1\n", "a = 1\n  b = 2"),
        ("import a\n\n\n@decorated\ndef f(___):\n    pass\n", "a=1, b"),
    ],
)
def test_what_only_python_refuses_is_refused(text: str, fill: str) -> None:
    here = around(text)
    assert "no valid Python" in (python_grammar.check(filled(here, fill), here) or "")


@pytest.mark.parametrize(
    ("text", "sound", "broken"),
    [
        ("def f(a):\n___\n    return a\n", "    a += 1", "a += 1"),
        ("def f(a):\n    for b in a:\n___\n            return b\n", "        if b:", "        b += 1"),
        ("class A:\n    @property\n___\n        return 1\n", "    def f(self):", "    f = 1"),
        ("try:\n    a()\n___\n    b()\n", "except E:", "else:"),
        ("if a:\n    b()\n___\n    c()\n\n\ndef f():\n    pass\n", "else:", "    else:"),
        ("x = {\n    'a': 1,\n___\n    'c': 3,\n}\n", "    'b': 2,", "    'b',"),
        ("def f():\n___\n        'a': 1,\n    }\n", "    x = {", "    x = [{"),
        ("x = f(___)))\n", "g(h(1", "g(1"),
        ("for a in ___\n    if a:\n        b()\n", "c:", "c"),
        ("def f(a):___\n        b()\n", "\n    if a:", "\n    if a: pass"),
        ("def f(a):\n\t___\n\t\tb()\n", "if a:", "a()"),
    ],
)
def test_holes_that_a_name_does_not_suit_are_measured_too(text: str, sound: str, broken: str) -> None:
    here = around(text)
    assert python_grammar.check(filled(here, sound), here) is None
    assert "no valid Python" in (python_grammar.check(filled(here, broken), here) or "")


def test_several_holes_that_names_do_not_suit_are_measured_together() -> None:
    here = around("def f(a):\n___\n        b()\n___\n        c()\n    d()\n")
    assert python_grammar.check(filled(here, "    if a:", "    else:"), here) is None
    assert python_grammar.check(filled(here, "    if a:", "    e()"), here) is not None
    assert python_grammar.check(filled(here, "    else:", "    if a:"), here) is not None


@pytest.mark.parametrize("text", ["print 'old'; x = ___\n", "try:\n    ___\n\n\ndef f():\n    pass\n", "x = )\n___\n"])
def test_code_that_nothing_makes_python_is_not_measured_by_it(text: str) -> None:
    here = around(text)
    assert python_grammar.check(filled(here, "1"), here) is None
    assert python_grammar.check(filled(here, "if"), here) is None


def test_what_is_written_at_a_cursor_may_be_a_beginning() -> None:
    here = around("for a in «»\n    b()\n")
    assert python_grammar.check(filled(here, "range"), here) is None


def test_long_code_is_measured_after_few_tries() -> None:
    text = "def f(a):\n" + "    a += 1\n" * 15_000 + "___\n    return a\n"
    here = around(text)
    assert python_grammar.check(filled(here, "    a +="), here) is not None


def test_nothing_is_run() -> None:
    here = around("___\n")
    assert python_grammar.check(filled(here, "raise SystemExit(3)"), here) is None


def test_sifting_keeps_order_drops_lookalikes_and_says_why() -> None:
    here = around("x = ___\n")
    offered = [filled(here, text) for text in ("a", "(", "b", "a  ", "a", "")]
    kept, reasons = sift(offered, here, 9)
    assert [candidate.edits[0].text for candidate in kept] == ["a", "b"]
    assert len(reasons) == 2
    assert sift(offered, here, 1)[0] == kept[:1]


def test_several_holes_are_judged_together() -> None:
    here = around("x = [___, ___]\n")
    assert syntax_errors.check(filled(here, "(1", "2)"), here) is None
    assert syntax_errors.check(filled(here, "(1", "2"), here) is not None


def test_a_mended_candidate_keeps_its_likelihood_and_says_so() -> None:
    here = around("def f(a):\n\tif a:\n\t\tb()\n\t___\n")
    offered = filled(here, "if b:\n        c()\n")
    verdict = judge(offered, here)
    assert verdict.candidate.edits[0].text == "if b:\n\t\tc()"
    assert verdict.candidate.mended == (indentation.NAME, trailing_space.NAME)
    assert verdict.candidate.fills == offered.fills and verdict.candidate.logprob == offered.logprob
    assert offered.mended == ()


UNITS = ("\t", "  ", "   ", "    ", "        ")
BLOCK = (
    "for b in a:",
    ">if b:",
    ">>c(b)",
    ">else:",
    ">>while c(b):",
    ">>>b += 1",
    "",
    ">d = [",
    ">>b,",
    ">]",
    "return a",
)


def block(unit: str, base: str) -> str:
    return "\n".join((base + line.count(">") * unit + line.lstrip(">")) if line else "" for line in BLOCK).removeprefix(base)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("theirs", UNITS)
@pytest.mark.parametrize("ours", UNITS)
def test_any_unit_becomes_the_buffers_and_nothing_else_changes(ours: str, theirs: str, newline: str) -> None:
    text = f"class A:\n{ours}def f(self, a):\n{2 * ours}x = '😀'\n{2 * ours}___\n".replace("\n", newline)
    here = around(text)
    verdict = judge(filled(here, block(theirs, 2 * ours)), here)
    assert verdict.rule is None
    assert verdict.candidate.edits[0].text == block(ours, 2 * ours).replace("\n", newline)
    assert verdict.candidate.mended == ((indentation.NAME,) if ours != theirs else ())


@pytest.mark.parametrize(
    ("text", "unit", "base", "levels"),
    [
        ("def f():\n\tif a:\n\t\tb()\n\t___\n", "\t", "\t", ("", "\t", "\t\t")),
        ("def f():\n   if a:\n      b()\n   c = ___\n", "   ", "   ", ("", "   ")),
        # Lines in brackets and strings say nothing of the unit.
        ('def f():\n  a = [\n        b,\n        c]\n  d = """\n     e\n      f"""\n  ___\n', "  ", "  ", ("", "  ", "     ", "      ")),
        # Near the hole first, then the file; its own kind of white space first of all.
        ("if a:\n\tb()\n" + "c()\n" * 80 + "if d:\n  ___\n", "  ", "  ", ("",)),
        ("if a:\n\tb()\n" + "c()\n" * 80 + "___\n", "\t", "", ("",)),
        ("a = 1\n___\n", None, "", ("",)),
        ("if a:\n  \t___\n", None, "  \t", ("",)),
    ],
)
def test_the_style_about_a_place(text: str, unit: str | None, base: str, levels: tuple[str, ...]) -> None:
    buffer = Buffer(text.encode())
    style = style_at(buffer, parse(buffer.source, "python"), text.index("___"))
    assert (style.unit, style.base, style.levels) == (unit, base, levels)


def test_sifting_compares_what_is_shown() -> None:
    here = around("def f(a):\n\tif a:\n\t\tb()\n\t___\n")
    kept, reasons = sift([filled(here, "if c:\n        d()"), filled(here, "if c:\n\t\td()  # so")], here, 9)
    assert [candidate.edits[0].text for candidate in kept] == ["if c:\n\t\td()"] and not reasons


def test_holes_are_measured_by_what_suits_their_place() -> None:
    """An identifier alone is no statement in C, so what a hole held before its fill would be an error if it were one."""
    here = around("int f(int a) {\n    ___\n}\n", "c")
    assert here.before is not None and count_errors(here.before[0]) == 0
    assert syntax_errors.check(filled(here, "return a;\n}"), here) is not None
    assert syntax_errors.check(filled(here, "return a;"), here) is None
