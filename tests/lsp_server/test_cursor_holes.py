"""What a bare cursor may mean, in every language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp_server.buffer import Buffer
from lsp_server.cursor_holes import ARGUMENT_BUDGET, BLOCK_BUDGET, hole_at_cursor
from lsp_server.languages import table_of
from lsp_server.syntax import parse
from tests.lsp_server.language_samples import SAMPLES


def at(text: str, language: str = "python") -> str | None:
    """What the cursor, a bar in `text`, means: what it is, and the text with the hole's own text in guillemets."""
    offset, plain = len(text[: text.index("|")].encode()), text.replace("|", "", 1)
    buffer = Buffer(plain.encode(), "t")
    found = hole_at_cursor(buffer, parse(buffer.source, language), offset)
    if found is None:
        return None
    source, hole = buffer.source, found.hole
    assert hole.kind == "range" and hole.tie is None
    marked = source[: hole.start] + "«".encode() + source[hole.start : hole.end] + "»".encode() + source[hole.end :]
    return f"{found.what}: {marked.decode()}"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "def f(a):\n    |...\n", "def f(a):\n    «...»\n"),
        ("python", "def f(|):\n    '''D.'''\n    raise NotImplementedError\n", "def f():\n    '''D.'''\n    «raise NotImplementedError»\n"),
        ("python", "def f(a):\n    raise NotImplementedError('f'|)\n", "def f(a):\n    «raise NotImplementedError('f')»\n"),
        ("python", "def f(a):\n    pass  # TODO: sum|\nb = 1\n", "def f(a):\n    «pass  # TODO: sum»\nb = 1\n"),
        ("python", "def f(a):\n    pass|  # noqa\n", "def f(a):\n    «pass»  # noqa\n"),
        ("python", "class A:\n    async def f(self): pas|s\n", "class A:\n    async def f(self): «pass»\n"),
        ("javascript", "const f = (a) => {\n  throw new Error('not implemented');|\n};\n",
         "const f = (a) => {\n  «throw new Error('not implemented');»\n};\n"),
        ("typescript", 'class A {\n  f(a: number): string {\n    |throw new Error("TODO: f"); // todo\n  }\n}\n',
         'class A {\n  f(a: number): string {\n    «throw new Error("TODO: f"); // todo»\n  }\n}\n'),
        ("go", 'package p\n\nfunc f(a int) int {\n\tpanic("not implemented")|\n}\n',
         'package p\n\nfunc f(a int) int {\n\t«panic("not implemented")»\n}\n'),
        ("rust", "fn f(a: i32) -> i32 {\n    todo|!()\n}\n", "fn f(a: i32) -> i32 {\n    «todo!()»\n}\n"),
        ("rust", "fn f(a: i32) {\n    unimplemented!(\"{}\", a|);\n}\n", "fn f(a: i32) {\n    «unimplemented!(\"{}\", a);»\n}\n"),
        ("java", "class A {\n    int f() {\n        // first\n        |throw new UnsupportedOperationException();\n    }\n}\n",
         "class A {\n    int f() {\n        // first\n        «throw new UnsupportedOperationException();»\n    }\n}\n"),
        ("c", "int f(int a)\n{\n    abort();| /* FIXME */\n}\n", "int f(int a)\n{\n    «abort(); /* FIXME */»\n}\n"),
        ("cpp", "int A::f() { |assert(false); }\n", "int A::f() { «assert(false);» }\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_stubs(language: str, text: str, expected: str, newline: str) -> None:
    assert at(text.replace("\n", newline), language) == f"stub: {expected}".replace("\n", newline)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    a()\n    pass|\n",
        "def f():\n    return ..|.\n",
        "class A:\n    pass|\n",
        "if a:\n    pass|\n",
        "def f():\n    '''...|'''\n",
        "x = 1|\n",
        "|",
        "# a| b\n",
        "x = '|'\n",
        "f('a, |')\n",
        "return|\n",
        "x = (1, |)\n",
        "\n|\n",
    ],
)
def test_nothing_is_missing(text: str) -> None:
    assert at(text) is None


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "f(|)\n", "argument: f(«»)\n"),
        ("python", "f(a, |)\n", "argument: f(a, «»)\n"),
        ("python", "f(a,| )\n", "argument: f(a, «»)\n"),
        ("python", "f(a,|)\n", "argument: f(a,«»)\n"),
        ("python", "f(x=|)\n", "argument: f(x=«»)\n"),
        ("python", "f(a, x=|, b)\n", "argument: f(a, x=«», b)\n"),
        ("python", "f(\n    a,\n    |\n)\n", "argument: f(\n    a,\n    «»\n)\n"),
        ("python", "f(g(|), a)\n", "argument: f(g(«»), a)\n"),
        ("python", "f(a, (|))\n", None),
        ("python", "x = |\n", "right-hand side: x = «»\n"),
        ("python", "x =| \n", "right-hand side: x = «»\n"),
        ("python", "x: int = |  # why\n", "right-hand side: x: int = «»  # why\n"),
        ("python", "def f():\n    x += |\n    return x\n", "right-hand side: def f():\n    x += «»\n    return x\n"),
        ("python", "def f():\n    return |\n", "right-hand side: def f():\n    return «»\n"),
        ("python", "def f(a=|):\n    a()\n", "right-hand side: def f(a=«»):\n    a()\n"),
        ("python", "x = | 1\n", None),
        ("javascript", "const x = |;\nlet y = 2;\n", "right-hand side: const x = «»;\nlet y = 2;\n"),
        ("javascript", "const f = (a) => |;\n", "right-hand side: const f = (a) => «»;\n"),
        ("javascript", "f(a, |);\n", "argument: f(a, «»);\n"),
        ("javascriptreact", "const x = <b c={f(|)}>d</b>;\n", "argument: const x = <b c={f(«»)}>d</b>;\n"),
        ("typescript", "let x: number = |;\n", "right-hand side: let x: number = «»;\n"),
        ("typescriptreact", "f(a,| );\n", "argument: f(a, «»);\n"),
        ("go", "package p\n\nfunc f() {\n\tx := |\n\ty := 2\n}\n", "right-hand side: package p\n\nfunc f() {\n\tx := «»\n\ty := 2\n}\n"),
        ("go", "package p\n\nfunc f() {\n\tg(a, |)\n}\n", "argument: package p\n\nfunc f() {\n\tg(a, «»)\n}\n"),
        ("rust", "fn f() {\n    let x = |;\n    g(a);\n}\n", "right-hand side: fn f() {\n    let x = «»;\n    g(a);\n}\n"),
        ("rust", "fn f() {\n    a.g(|);\n}\n", "argument: fn f() {\n    a.g(«»);\n}\n"),
        ("java", "class A { int f() { return |; } }\n", "right-hand side: class A { int f() { return «»; } }\n"),
        ("java", "class A { int x = g(a, |); }\n", "argument: class A { int x = g(a, «»); }\n"),
        ("c", "int f(void) { int x = |; return x; }\n", "right-hand side: int f(void) { int x = «»; return x; }\n"),
        ("c", "int f(void) { return g(a, |); }\n", "argument: int f(void) { return g(a, «»); }\n"),
        ("cpp", "int f() { auto x = |; }\n", "right-hand side: int f() { auto x = «»; }\n"),
        ("cpp", "int f() { return g(|); }\n", "argument: int f() { return g(«»); }\n"),
    ],
)  # fmt: skip
def test_arguments_and_right_hand_sides(language: str, text: str, expected: str | None) -> None:
    assert at(text, language) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("javascript", "if (|) { a(); }\n", "missing: if («») { a(); }\n"),
        ("javascript", "f(|;\ng();\n", "missing: f(«»;\ng();\n"),
        ("python", "if a and |:\n    b()\n", "missing: if a and «»:\n    b()\n"),
        ("python", "for x in |:\n    b()\n", "missing: for x in «»:\n    b()\n"),
        ("python", "x = a + |\ny = 2\n", "missing: x = a + «»\ny = 2\n"),
        ("go", "package p\n\nfunc f() {\n\tif | {\n\t}\n}\n", "missing: package p\n\nfunc f() {\n\tif «» {\n\t}\n}\n"),
        ("rust", "fn f() {\n    let x = a + |;\n}\n", "missing: fn f() {\n    let x = a + «»;\n}\n"),
        ("java", "class A { int f() { return a|\n} }\n", "missing: class A { int f() { return a«»\n} }\n"),
        ("c", "int f(void) { while (|) { } }\n", "missing: int f(void) { while («») { } }\n"),
        ("python", "x = 1 2|\n", "error: x = «1» 2\n"),
        ("javascript", "a b| c;\n", "error: «a b» c;\n"),
    ],
)
def test_missing_tokens_and_errors(language: str, text: str, expected: str) -> None:
    assert at(text, language) == expected


def test_plain_text_and_unknown_languages_have_nothing() -> None:
    assert at("x = |\n", "plaintext") is None
    assert at("x = |\n", "klingon") is None


def test_budgets() -> None:
    buffer = Buffer(b"def f():\n    pass\nx = \nf(a, )\n", "t.py")
    tree = parse(buffer.source, "python")
    stub, value, argument = (hole_at_cursor(buffer, tree, offset) for offset in (14, 22, 28))
    assert argument is not None and argument.what == "argument" and argument.hole.budget == ARGUMENT_BUDGET
    assert stub is not None and stub.hole.budget == BLOCK_BUDGET
    assert value is not None and value.hole.budget == 32
    for offset in (14, 22):
        found = hole_at_cursor(buffer, tree, offset, 7)
        assert found is not None and found.hole.budget == 7


def test_a_large_line_takes_no_long_look() -> None:
    source = b"x = [" + b"1, " * 400_000 + b"]\n"
    buffer = Buffer(source, "t.py")
    tree = parse(source, "python")
    assert tree is not None
    hole_at_cursor(buffer, tree, len(source) // 2)
    deep = b"(" * 20_000
    hole_at_cursor(Buffer(deep, "t.py"), parse(deep, "python"), 10_000)


signs = st.sampled_from([*"()[]{}<>,.=:;'\"`#/*\n\r\t ", "\r\n", "    ", "...", "=>", "//", "/*", "${", "😀"])
words = st.sampled_from(["a", "é", "f(", "return ", "pass", "TODO", "if ", "def f():\n    ", "func f() {", "fn f() {", "todo!()", "<b>"])
pieces = st.one_of(signs, words)


@given(st.sampled_from(sorted(SAMPLES)), st.lists(pieces, max_size=30), st.integers(-5, 200))
@settings(max_examples=300, deadline=None)
def test_whatever_the_tree_there_is_an_answer(language: str, parts: list[str], offset: int) -> None:
    buffer = Buffer("".join(parts).encode(), "t")
    found = hole_at_cursor(buffer, parse(buffer.source, language), offset)
    if found is not None:
        hole = found.hole
        assert 0 <= hole.start <= hole.end <= len(buffer.source) and hole.budget > 0
        assert buffer.settle(hole.start) == hole.start and buffer.settle(hole.end) == hole.end
        assert hole.start == hole.end or found.what in ("stub", "error")
        line = buffer.line_at(buffer.settle(offset))
        assert found.what == "stub" or buffer.line_at(hole.start) == line


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=200, deadline=None)
def test_samples_with_a_piece_cut_out(language: str, data: st.DataObject) -> None:
    source = SAMPLES[language].encode()
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, min(len(source), start + 60)))
    buffer = Buffer(source[:start] + source[end:], "t")
    assert table_of(language) is not None
    hole_at_cursor(buffer, parse(buffer.source, language), start)
