"""Statements and headers in every language."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from tree_sitter import Tree

from lsp_server.statements import enclosing_headers, imports, statements
from lsp_server.syntax import parse
from tests.lsp_server.language_samples import SAMPLES


def tree_of(source: bytes, language: str) -> Tree:
    tree = parse(source, language)
    assert tree is not None
    return tree


def headers(text: str, language: str, place: str = "⟦⟧") -> list[str]:
    """What stands in the headers around the place, the innermost first."""
    source, offset = text.replace(place, "").encode(), len(text[: text.index(place)].encode())
    return [source[start:end].decode() for start, end in enclosing_headers(tree_of(source, language), source, offset)]


@pytest.mark.parametrize("language", SAMPLES)
def test_every_line_of_code_is_some_statements(language: str) -> None:
    """No two statements share a byte, and no line with a word is left out, save the ends of constructs."""
    source = SAMPLES[language].encode()
    spans = sorted(statements(tree_of(source, language), 0, len(source)))
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    for match in re.finditer(rb"[^\n]+", source):
        covered = any(start < match.end() and match.start() < end for start, end in spans)
        assert covered or re.fullmatch(rb"[\s{})\];]*(#endif)?", match.group()), match.group()


@pytest.mark.parametrize("language", SAMPLES)
def test_a_part_of_the_file_gives_those_that_touch_it(language: str) -> None:
    source = SAMPLES[language].encode()
    tree = tree_of(source, language)
    for span in list(statements(tree, 0, len(source))):
        assert span in list(statements(tree, *span))


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("python", ["import os", "from a import b"]),
        ("javascript", ['import { a } from "text";']),
        ("typescriptreact", ['import { a } from "text";']),
        ("go", ['import (\n\t"text"\n)']),
        ("rust", ["use std::io;"]),
        ("java", ["import java.util.List;"]),
        ("c", ["#include <text.h>\n", '#include "text.h"\n']),
        ("cpp", ["#include <text>\n", "using namespace std;"]),
    ],
)
def test_imports_at_the_top(language: str, expected: list[str]) -> None:
    source = SAMPLES[language].encode()
    assert [source[start:end].decode() for start, end in imports(tree_of(source, language))] == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("python", "@d\ndef f(a):\n    if a:\n        b()\n    else:\n        c(⟦⟧)\n", ["else:", "if a:", "@d\ndef f(a):"]),
        (
            "javascript",
            "export class A {\n  f(b) {\n    if (b) {\n      c();\n    } else {\n      d(⟦⟧);\n    }\n  }\n}\n",
            ["else", "if (b)", "f(b)", "export class A"],
        ),
        ("javascript", "test('a', () => {\n  switch (b) {\n    case 1:\n      c(⟦⟧);\n  }\n});\n", ["case 1:", "switch (b)", "() =>"]),
        ("typescript", "namespace N {\n  export function f(a: number): string {\n    ⟦⟧b();\n  }\n}\n",
         ["export function f(a: number): string", "namespace N"]),
        ("typescriptreact", "function F() {\n  return <A b={() => {\n    c(⟦⟧);\n  }} />;\n}\n", ["() =>", "function F()"]),
        ("go", "package p\n\nfunc f(a int) {\n\tswitch a {\n\tcase 1:\n\t\tb(⟦⟧)\n\t}\n}\n", ["case 1:", "switch a {", "func f(a int)"]),
        ("go", "package p\n\ntype A struct {\n\tb ⟦⟧int\n}\n", ["struct"]),
        ("rust", "impl A {\n  fn f(&self) {\n    match a {\n      0 => {\n        b(⟦⟧);\n      }\n    }\n  }\n}\n",
         ["0 =>", "match a", "fn f(&self)", "impl A"]),
        ("java", "@X\nclass A {\n    int f() {\n        switch (a) {\n            case 1:\n                b(⟦⟧);\n        }\n    }\n}\n",
         ["case 1:", "switch (a)", "int f()", "@X\nclass A"]),
        ("c", "int f(int a)\n{\n    switch (a) {\n    case 1:\n        b(⟦⟧);\n    }\n}\n", ["case 1:", "switch (a)", "int f(int a)"]),
        ("cpp", "namespace n {\ntemplate <typename T>\nclass A {\n  int f() {\n    b(⟦⟧);\n  }\n};\n}\n",
         ["int f()", "template <typename T>\nclass A", "namespace n"]),
    ],
)  # fmt: skip
def test_headers_around_a_place(language: str, text: str, expected: list[str]) -> None:
    assert headers(text, language) == expected


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        # A bracket that is yet to come says that the block goes on, however the line is indented.
        ("javascript", "function f() {\n  a();\n⟦⟧\n  b();\n}\n", ["function f()"]),
        ("javascript", "function f() {\n⟦⟧\n}\n", ["function f()"]),
        # A bracket that closed it says that it is over.
        ("javascript", "function f() {\n  a();\n}\n    ⟦⟧\n", []),
        ("go", "package p\n\nfunc f() {\n\tif a {\n\t\tb()\n\t}\n\t\t⟦⟧\n}\n", ["func f()"]),
        ("c", "int f(void)\n{\n    while (a) {\n        b();\n    }\n    ⟦⟧\n}\n", ["int f(void)"]),
        ("rust", "fn f() {\n    if a {\n        ⟦⟧\n    }\n}\n", ["if a", "fn f()"]),
        ("java", "class A {\n  int f() {\n    switch (a) {\n      case 1:\n        b();\n        ⟦⟧\n    }\n  }\n}\n",
         ["case 1:", "switch (a)", "int f()", "class A"]),
        # Nothing closes a block of Python but the next line.
        ("python", "def f():\n    if a:\n        b()\n    ⟦⟧\n", ["def f():"]),
        ("python", "def f():\n    a()\n⟦⟧\n", []),
        # Nor one whose bracket is missing.
        ("javascript", "function f() {\n  if (a) {\n    b();\n    ⟦⟧\n", ["if (a)", "function f()"]),
    ],
)  # fmt: skip
def test_headers_around_a_blank_line(language: str, text: str, newline: str, expected: list[str]) -> None:
    assert headers(text.replace("\n", newline), language) == expected
