"""Occurrences of one binding. Names of a sample that should go together are marked with @; the cursor may stand on any of them."""

from __future__ import annotations

import ast
import symtable
from pathlib import Path

import pytest

from engine.errors import LacunaError
from lsp_server.bindings import occurrences, unbound
from lsp_server.edits import Edit, apply_edits
from lsp_server.syntax import parse

SAMPLES = {
    "a local": "def f(b):\n    @a = 1\n    for i in b:\n        @a += i\n    return @a, b.a\n\na = 2\n",
    "a parameter": "def f(@a, b=a):\n    return g(a=@a)(a=1) + @a.a\n",
    "a parameter that others have too": "def f(@a):\n    return g(a=@a)\ndef g(a): pass\ng(a=1)\n",
    "a local like a parameter": "def f(b):\n    @a = b\n    return @a\nf(a=1)\n",
    "closures": "def f():\n    @a = 1\n    def g():\n        return @a\n    def h(a):\n        return a\n    return lambda: @a\n",
    "shadowed by an inner binding": "@a = 1\ndef f():\n    a = 2\n    return a\ndef g():\n    return @a\n",
    "nonlocal": "def f():\n    @a = 1\n    def g():\n        nonlocal @a\n        @a = 2\n    g()\n    return @a\n\na = 3\n",
    "global": "@a = 1\ndef f():\n    a = 2\n    def g():\n        global @a\n        @a = 3\n    return a\n",
    "comprehension": "a = [1]\nb = [@a for @a in a if @a]\n",
    "its first iterable is the outer": "@a = [1]\nb = [a for a in @a]\nc = [@a for x in y for z in @a]\n",
    "walrus in a comprehension": "def f(x):\n    y = [@a for i in x if (@a := i)]\n    return @a\n",
    "a class's names are not its methods'": "@a = 1\nclass K:\n    def a(self):\n        return @a\n    b = [@a for i in range(3)]\n",
    "defaults and annotations are outside": "@a = 1\ndef f(a: @a = @a) -> @a:\n    return a\nlambda a=@a: a\n",
    "import as": "import x.a as @a\nfrom a import b as c\n@a.a()\n",
    "f-strings": "@a = 1\nprint(f'a {@a:>{@a}} a')\n",
    "decorators": "def @a(g):\n    return g\n@@a\ndef f(): pass\n@@a(1)\nclass K: pass\n",
    "except": "try:\n    pass\nexcept (E, F) as @a:\n    raise @a\n",
    "with": "with open(b) as @a, c as (d, e):\n    @a.read(d, e)\nwith a.b as k: pass\n".replace("with a.b", "with @a.b"),
    "match": (
        "match x:\n    case [@a, 1]: @a\n    case {'k': @a, **r}: pass\n    case P(a=@a) | @a: pass\n"
        "    case a.b.a: pass\n    case P() as @a: pass\n    case [*@a]: pass\n"
    ).replace("case a.b.a", "case @a.b.a"),
    "unpacking and del": "(@a, b), *c = x\n[@a, *d] = x\ndel @a, b\nfor i, @a in x: pass\nx.a[@a] = 1\n",
    "a wide name behind wide characters": "s = '😀'; @é = 1\r\n\tz = '😀', @é\r\n".replace("\r\n\tz", "\r\nz"),
    "a function": "def @a():\n    return @a\nclass K:\n    def a(self): return self.a, @a\n",
}


def marked(sample: str) -> tuple[bytes, list[tuple[int, int]]]:
    """The source without its marks, and the ranges of the marked names; `@@` is a decorator's own sign before a mark."""
    source, ranges = b"", []
    pieces = sample.replace("@@", "\0@").split("@")
    for number, piece in enumerate(pieces):
        if number:
            length = next(length for length in range(len(piece), 0, -1) if piece[:length].isidentifier())
            ranges.append((len(source), len(source) + len(piece[:length].encode())))
        source += piece.replace("\0", "@").encode()
    return source, ranges


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_occurrences(sample: str) -> None:
    source, expected = marked(sample)
    tree = parse(source, "python")
    assert tree is not None and not tree.root_node.has_error and expected
    for start, end in expected:
        assert list(occurrences(tree, source, start)) == expected
        assert list(occurrences(tree, source, end)) == expected, "the cursor may stand behind a name"


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("x.@a = 1\n", "name of a member"),
        ("f(@a=1)\n", "name of a member"),
        ("import os.@a\n", "name of a member"),
        ("@print(1)\n", "bound nowhere"),
        ("import @a\na.b\n", "another module gives"),
        ("from m import b\n@b()\n", "another module gives"),
        ("class K:\n    @a = 1\n", "class's attribute"),
        ("class K:\n    def @a(self): pass\n", "class's attribute"),
        ("@a = 1\nclass K:\n    a = a\n", "not clear which"),
        ("def f[@T](x: T): pass\n", "type parameter"),
        ("@a = 1\nx = = a )\n", "syntax error"),
        ("a = @1\n", "no name at the cursor"),
        ("a = 1\nb = 6@a\n", "runs into what stands before it"),
        # The number 6l and a name, to the grammar.
        ("ines = 1\nb = 6l@ines\n", "runs into what stands before it"),
        ("def f(@a): return a\nf(a=1)\n", "passed to f by its name"),
        ("def f(@a=1): return a\nprint(x.f(b, a=1))\n", "passed to f by its name"),
        ("class K:\n    def __init__(self, a): self.a = @a\nK(1).b(K(a=2))\n", "passed to K by its name"),
    ],
)
def test_what_is_refused(sample: str, message: str) -> None:
    offset = sample.encode().index(b"@")
    source = sample.replace("@", "").encode()
    tree = parse(source, "python")
    assert tree is not None
    with pytest.raises(LacunaError, match=message):
        occurrences(tree, source, offset)


@pytest.mark.parametrize(("sample", "expected"), [("print(b)\n", ("b",)), ("print(6b)\n", ()), ("for in b:\n    pass\n", ("b",))])
def test_names_that_nothing_binds_are_looked_for_among_whole_words(sample: str, expected: tuple[str, ...]) -> None:
    source = sample.encode()
    tree = parse(source, "python")
    assert tree is not None
    assert unbound(tree, source, 0, len(source)) == expected


FILES = [Path(__file__).parents[2] / name for name in ("lsp_server/holes.py", "lsp_server/scoring.py", "engine/local.py")]
FRESH = "fresh_name_of_this_test"


Symbols = list[tuple[str, tuple[bool, ...]]]


def tables(source: bytes) -> list[tuple[str, Symbols]]:
    """What the standard library says of every scope and its names."""
    found: list[tuple[str, Symbols]] = []
    stack = [symtable.symtable(source.decode(), "x", "exec")]
    while stack:
        table = stack.pop()
        symbols: Symbols = [
            (each.get_name(), (each.is_local(), each.is_global(), each.is_free(), each.is_parameter(), each.is_imported()))
            for each in table.get_symbols()
        ]
        found.append((table.get_name(), sorted(symbols)))
        stack.extend(table.get_children())
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_renaming_leaves_the_program_as_it_was(file: Path) -> None:
    """After a renaming all scopes hold the same symbols but for that one's name, by Python's own compiler."""
    source = file.read_bytes()
    tree = parse(source, "python")
    assert tree is not None
    before = tables(source)
    done: set[int] = set()
    stack, renamed = [tree.root_node], 0
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        if node.type != "identifier" or node.start_byte in done:
            continue
        try:
            ranges = occurrences(tree, source, node.start_byte)
        except LacunaError:
            continue
        done.update(start for start, _ in ranges)
        old = source[node.start_byte : node.end_byte].decode()
        after = apply_edits(source, [Edit(start, end, FRESH) for start, end in ranges])
        ast.parse(after)
        back = [
            (old if name == FRESH else name, sorted((old if symbol == FRESH else symbol, what) for symbol, what in symbols))
            for name, symbols in tables(after)
        ]
        assert back == before, old
        renamed += 1
    assert renamed > 3
