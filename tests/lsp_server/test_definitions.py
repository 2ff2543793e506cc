"""Definitions and the names in use, in every language."""

from __future__ import annotations

import pytest
from tree_sitter import Tree

from lsp_server.context.definitions import Mention, definitions, mentions
from lsp_server.syntax import parse

LONG = "// " + "long " * 40

# Of each language a file, and of each name in it what is shown.
FILES: dict[str, tuple[str, dict[str, list[tuple[str, ...]]]]] = {
    "python": (
        f"import os\nA = 1\nclass B:\n    x = 2\n    @c\n    def f(self):\n        '''D.'''\n        {LONG[3:]!r}\n",
        {
            "A": [("A = 1",)],
            "B": [("class B:\n    ",)],
            "f": [("class B:\n    ", "@c\n    def f(self):\n        ", "'''D.'''")],
        },
    ),
    "javascript": (
        f"import {{ z }} from 'z';\nexport const a = 1;\nconst b = (x) => {{\n{LONG}\n}};\nclass C {{\n  d(y) {{\n{LONG}\n  }}\n}}\n",
        {
            "a": [("export const a = 1;",)],
            "b": [("const b = (x) => ",)],
            "C": [("class C ",)],
            "d": [("class C ", "d(y) ")],
        },
    ),
    "typescript": (
        "export interface A { b(x: string): void }\ntype C = { d: number };\nenum E { F }\nnamespace N { export const g = 1; }\n",
        {
            "A": [("export interface A { b(x: string): void }",)],
            "b": [("export interface A ", "b(x: string): void")],
            "C": [("type C = { d: number };",)],
            "E": [("enum E { F }",)],
            "g": [("export const g = 1;",)],
        },
    ),
    "typescriptreact": (
        f"export function A({{ b }}: {{ b: string }}) {{\n  {LONG}\n  return <b>{{b}}</b>;\n}}\n",
        {"A": [("export function A({ b }: { b: string }) ",)]},
    ),
    "go": (
        f'package p\nimport "fmt"\nconst A = 1\ntype B struct {{\n\tc int\n}}\nfunc (b *B) D(e int) error {{\n\t{LONG}\n\treturn nil\n}}\n',
        {
            "A": [("const A = 1",)],
            "B": [("type B struct {\n\tc int\n}",)],
            "D": [("func (b *B) D(e int) error ",)],
        },
    ),
    "rust": (
        f"use a;\npub const C: i32 = 1;\nstruct D {{ e: i32 }}\nimpl D {{\n    fn f(&self) {{\n{LONG}\n}}\n}}\nmod m {{ fn g() {{}} }}\n",
        {
            "C": [("pub const C: i32 = 1;",)],
            "D": [("struct D { e: i32 }",)],
            "f": [("impl D ", "fn f(&self) ")],
            "g": [("fn g() {}",)],
        },
    ),
    "java": (
        f"import a.B;\n@C\npublic class D {{\n    D() {{ }}\n    int e(int f) {{\n        {LONG}\n        return 1;\n    }}\n}}\n",
        {
            "D": [("@C\npublic class D ",), ("@C\npublic class D ", "D() { }")],
            "e": [("@C\npublic class D ", "int e(int f) ")],
        },
    ),
    "c": (
        f"#include <b>\n#ifndef A\n#define C 1\nstruct D {{}};\ntypedef struct D F;\nint g(int);\nchar *h(void)\n{{\n{LONG}\n}}\n#endif\n",
        {
            "C": [("#define C 1\n",)],
            "D": [("struct D {}",)],
            "F": [("typedef struct D F;",)],
            "g": [("int g(int);",)],
            "h": [("char *h(void)\n",)],
        },
    ),
    "cpp": (
        f"namespace n {{\ntemplate <typename T>\nclass A {{\n  int b() {{\n{LONG}\n  }}\n}};\nint A::c() {{ return 1; }}\n}}\n",
        {
            "A": [("template <typename T>\nclass A ",)],
            "b": [("template <typename T>\nclass A ", "int b() ")],
            "c": [("int A::c() { return 1; }",)],
        },
    ),
}


def tree_of(source: bytes, language: str) -> Tree:
    tree = parse(source, language)
    assert tree is not None
    return tree


@pytest.mark.parametrize("language", FILES)
def test_what_is_shown_of_definitions(language: str) -> None:
    text, expected = FILES[language]
    source = text.encode()
    found = definitions(tree_of(source, language), source)
    shown = {
        name.decode(): [tuple(source[start:end].decode() for start, end in definition.spans) for definition in them]
        for name, them in found.items()
    }
    assert shown == expected


def test_a_body_that_is_still_to_be_written_is_no_trouble() -> None:
    source = ("def f(" + "a, " * 200 + "):").encode()
    ((name, (found,)),) = definitions(tree_of(source, "python"), source).items()
    assert (name, found.spans) == (b"f", ((0, len(source)),))


@pytest.mark.parametrize(
    ("language", "line", "expected"),
    [
        ("python", "a.b(c=1, d=___)", [("b", True), ("a", False)]),
        ("javascript", "a.b({ c: d }, ___);", [("d", False), ("b", True), ("a", False)]),
        ("typescript", "let a: B = c.d(___);", [("d", True), ("c", False), ("B", False), ("a", False)]),
        ("rust", "fn f() { A::b(c.d(), ___); }", [("d", True), ("c", False), ("b", True), ("A", False), ("f", False)]),
        ("go", "package p; func f() { a.B(c, ___) }", [("c", False), ("B", True), ("a", False), ("f", False), ("p", False)]),
        # A method may be called by its name alone in its class, so that a name says nothing of that.
        ("java", "class A { int b = c.d(___); }", [("d", None), ("c", None), ("b", None), ("A", None)]),
        ("c", "int a = b->c(___);", [("c", True), ("b", False), ("a", False)]),
        ("cpp", "int a = b.c(___);", [("c", None), ("b", None), ("a", None)]),
    ],
)
def test_names_in_use(language: str, line: str, expected: list[tuple[str, bool | None]]) -> None:
    source = line.encode()
    start = source.index(b"___")
    found = mentions(tree_of(source, language), source, [((0, len(source)), (start, start + 3))])
    assert found == [Mention(name.encode(), of_member) for name, of_member in expected]
