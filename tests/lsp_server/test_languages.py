"""The tables of the languages: every node they name exists, their grammars read their samples, and markers are told from text."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.extent import extent_at
from lsp_server.holes import find_markers
from lsp_server.languages import Language, grammar_of, language_of, table_of, table_of_tree, tables
from lsp_server.syntax import count_errors, parse
from tests.lsp_server.language_samples import SAMPLES

# What editors call them: https://code.visualstudio.com/docs/languages/identifiers
IDS = {"c", "cpp", "go", "java", "javascript", "javascriptreact", "python", "rust", "typescript", "typescriptreact"}
# Entries of a table whose values are kinds of nodes, and those whose values are places.
KINDS = (
    "text code_in_text imports wrappers functions types bodies statement_lists cases identifiers arguments scopes passed_scopes patterns"
)
PLACES = "outside first_outside bindings passing_bindings module_declarations outer_declarations members import_names unclear"


def tree_of(source: str, language: str) -> Tree:
    tree = parse(source.encode(), language)
    assert tree is not None
    return tree


def grammar_names(table: Language) -> tuple[set[str | None], set[str | None]]:
    """Kinds of nodes and names of fields of a table's grammar; every tree may have nodes of errors."""
    grammar = grammar_of(table.ids[0])
    assert grammar is not None, f"install {table.distribution}"
    kinds = {grammar.node_kind_for_id(number) for number in range(grammar.node_kind_count)}
    return kinds | {"ERROR"}, {grammar.field_name_for_id(number) for number in range(grammar.field_count + 1)}


def test_there_is_one_table_for_every_id() -> None:
    ids = [identifier for table in tables() for identifier in table.ids]
    assert set(ids) == IDS == set(SAMPLES) and len(ids) == len(IDS)
    suffixes = [suffix for table in tables() for suffix in table.suffixes]
    assert len(suffixes) == len(set(suffixes)) and all(suffix.startswith(".") and suffix == suffix.lower() for suffix in suffixes)


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_a_table_names_what_its_grammar_has(table: Language) -> None:
    kinds, fields = grammar_names(table)
    for entry in KINDS.split():
        assert getattr(table, entry) <= kinds, entry
    for entry in PLACES.split():
        for place in getattr(table, entry):
            for part in place.split(" > "):
                kind, _, field = part.partition(".")
                assert kind in kinds and (not field or field in fields), f"{entry}: {place}"


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_a_table_uses_its_own_kinds(table: Language) -> None:
    """A kind that no sample has may be misunderstood; these are the ones that matter most."""
    for entry in ("imports", "functions", "types", "bodies", "statement_lists", "identifiers", "arguments"):
        seen = {node for identifier in table.ids for node in kinds_in(tree_of(SAMPLES[identifier], identifier))}
        assert getattr(table, entry) & seen, entry


def kinds_in(tree: Tree) -> Iterator[str]:
    stack = [tree.root_node]
    while stack:
        node = stack.pop()
        yield node.type
        stack.extend(node.children)


@pytest.mark.parametrize("language", sorted(IDS))
def test_samples_have_no_error(language: str) -> None:
    tree = tree_of(SAMPLES[language], language)
    assert count_errors(tree) == 0
    assert table_of_tree(tree) == table_of(language)


@pytest.mark.parametrize("language", sorted(IDS))
def test_markers_are_holes_in_code_alone(language: str) -> None:
    """Each sample has holes at the words `hole`, and markers that are none at `text`: in comments and strings."""
    sample = SAMPLES[language]
    assert sample.count("hole") >= 2 and sample.count("text") >= 2
    source = sample.replace("hole", "___").replace("text", "___")
    tree = tree_of(source, language)
    assert count_errors(tree) == 0, "the marker is a name in every language"
    expected = [offset for offset in places(sample) if sample.startswith("hole", offset)]
    found = find_markers(Buffer(source.encode(), "a"), tree)
    # A hole and a text have the same length, one more than the marker's.
    shifts = {offset: count for count, offset in enumerate(places(sample))}
    assert [hole.start for hole in found] == [offset - shifts[offset] for offset in expected]


def places(sample: str) -> list[int]:
    return sorted(offset for word in ("hole", "text") for offset in range(len(sample)) if sample.startswith(word, offset))


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_stubs_are_statements(table: Language) -> None:
    for stub in table.stubs:
        sample = STUBS[table.name].replace("stub", stub)
        assert count_errors(tree_of(sample, table.ids[0])) == 0, stub


STUBS = {
    "python": "def f():\n    stub\n",
    "javascript": "function f() { stub; }\n",
    "typescript": "function f(): number { stub; }\n",
    "tsx": "function f(): number { stub; }\n",
    "go": "package p\n\nfunc f() int {\n\tstub\n}\n",
    "rust": "fn f() -> i32 {\n    stub\n}\n",
    "java": "class A { int f() { stub; } }\n",
    "c": "int f(void) { stub; }\n",
    "cpp": "int f() { stub; }\n",
}


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a.jsx", "javascript"),
        ("a.mjs", "javascript"),
        ("a.ts", "typescript"),
        ("file:///a/b.tsx", "typescriptreact"),
        ("a.go", "go"),
        ("lib.rs", "rust"),
        ("A.java", "java"),
        ("a.h", "c"),
        ("A.HPP", "cpp"),
    ],
)
def test_language_by_suffix(name: str, language: str) -> None:
    assert language_of(name) == language


def test_a_grammar_that_is_not_installed_makes_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without_go(name: str, package: str | None = None) -> object:
        if name == "tree_sitter_go":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_go)
    grammar_of.cache_clear()
    try:
        assert parse(b"package p\n", "go") is None
        assert table_of_tree(tree_of("x = 1\n", "python")).name == "python"
        assert len(find_markers(Buffer(b"package p\n// ___\nvar x = ___\n", "a.go"), None)) == 2
    finally:
        grammar_of.cache_clear()


@pytest.mark.parametrize("language", ["klingon", "", "PYTHON", "plaintext", "javascript\0", "../python"])
def test_unknown_ids_are_plain_text(language: str) -> None:
    assert table_of(language) is None and grammar_of(language) is None and parse(b"x = ___", language) is None


@pytest.mark.parametrize("language", sorted(IDS))
def test_words_are_told_from_code_at_the_cursor(language: str) -> None:
    sample = SAMPLES[language]
    buffer, tree = Buffer(sample.encode(), "a"), tree_of(sample, language)
    for word in ("hole", "text"):
        for offset in (offset for offset in range(len(sample)) if sample.startswith(word, offset)):
            assert (extent_at(buffer, tree, offset + 2).kind == "words") == (word == "text"), sample[offset - 20 : offset + 10]


@pytest.mark.parametrize("language", sorted(IDS))
def test_a_comment_to_the_lines_end_goes_on_there_and_ends_with_it(language: str) -> None:
    table = table_of(language)
    assert table is not None
    for comment in (f"{table.line_comment} words", f"{table.line_comment}/ words"):
        sample = f"{comment}\n\n"
        buffer, tree = Buffer(sample.encode(), "a"), tree_of(sample, language)
        assert extent_at(buffer, tree, len(comment)).kind == "words"
        assert extent_at(buffer, tree, len(comment) + 1).kind != "words"
