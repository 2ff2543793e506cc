"""What Lacuna knows of a language beside its grammar: one small table each, and nothing else.

A language whose grammar is not installed, or that has no table, is plain text: everything works, without syntax.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from pathlib import PurePosixPath

import tree_sitter
from tree_sitter import Tree

PLAINTEXT = "plaintext"


@dataclass(frozen=True)
class Language:
    """One table. Entries that name kinds of nodes are those of the language's tree-sitter grammar.

    `name` is ours, `ids` are what editors call it, `suffixes` its files' (with the dot). `grammar` is "module:function" of the wheel
    `distribution`. `line_comment` begins a comment that ends with its line.

    `text`: nodes in which words are no code; `code_in_text`: nodes inside those in which they are again. `imports`: statements
    that bring in names from elsewhere. `wrappers`: nodes around a definition that belong to it (decorators, exports).
    `functions`: definitions of functions and methods. `types`: definitions of classes and the like, whose bodies hold
    definitions. `bodies`: the nodes of statements or members that a header introduces. `statement_lists`: nodes whose named
    children are statements. `cases`: nodes of statements after a header of their own that ends with a colon. `identifiers`:
    leaves that are names. `arguments`: lists of call arguments. `stubs`: statements, as they are written less a closing
    semicolon, which alone in a function's body say that it is yet to be written; * stands for anything on the line.

    What `lsp_server.bindings` reads may be left out; then names of the language aren't told apart, and `bindings` and `members` only
    say what a name at the top of a file may stand for. `scopes`: nodes with names of their
    own. A place is "parent.field" of a node, the field empty where it has none, or "grandparent.field > parent.field".
    `outside`: places that belong to the scope around the one they are in; `first_outside`: those that do in the first of the scope's
    children of their parent's kind. `patterns`: nodes that spread a binding over names. `bindings`: places that bind a name in their
    scope; `passing_bindings` do so past `passed_scopes`; `module_declarations` and `outer_declarations` say that a name is the
    module's, or bound further out. `members`: places of names that are no variables; `argument_names`: those by which arguments are
    passed; `import_names` bind names given by another module. `unclear`: places in which names follow rules that none of these
    entries tell. `wildcards`: parts of imports that bind names which aren't told. `predefined`: names that the language or its
    library gives a meaning everywhere.

    What the code actions read may be left out too; then they aren't offered. `annotations`: nodes of the types of parameters and results,
    which hold one of `type_expressions` (the grammar may take any expression); `annotation_marks`: what stands before a parameter's and
    before a result's. `bare_parameters` are kinds of parameters without a type, `defaulted_parameters` such with a value, and
    `default_mark` is what stands before that where there is a type; `receivers`: names of a first parameter whose type goes without
    saying. `lazy_annotations`: statements by which no type is looked up when the code is run.
    `docstring`: the quotes around the string that documents a definition as its body's first statement.
    """

    name: str
    ids: tuple[str, ...]
    suffixes: tuple[str, ...]
    distribution: str
    grammar: str
    line_comment: str
    text: frozenset[str]
    code_in_text: frozenset[str]
    imports: frozenset[str]
    wrappers: frozenset[str]
    functions: frozenset[str]
    types: frozenset[str]
    bodies: frozenset[str]
    statement_lists: frozenset[str]
    identifiers: frozenset[str]
    arguments: frozenset[str]
    stubs: tuple[str, ...]
    cases: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    passed_scopes: frozenset[str] = frozenset()
    outside: frozenset[str] = frozenset()
    first_outside: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    bindings: frozenset[str] = frozenset()
    passing_bindings: frozenset[str] = frozenset()
    module_declarations: frozenset[str] = frozenset()
    outer_declarations: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    argument_names: frozenset[str] = frozenset()
    import_names: frozenset[str] = frozenset()
    unclear: frozenset[str] = frozenset()
    wildcards: frozenset[str] = frozenset()
    predefined: frozenset[str] = frozenset()
    annotations: frozenset[str] = frozenset()
    type_expressions: frozenset[str] = frozenset()
    annotation_marks: tuple[str, ...] = ()
    bare_parameters: frozenset[str] = frozenset()
    defaulted_parameters: frozenset[str] = frozenset()
    default_mark: str = ""
    receivers: frozenset[str] = frozenset()
    lazy_annotations: frozenset[str] = frozenset()
    docstring: tuple[str, ...] = ()

    @cached_property
    def blocks(self) -> frozenset[str]:
        """All nodes whose named children are statements or members, save those of errors."""
        return (self.statement_lists | self.bodies | self.cases) - {"ERROR"}

    def is_stub(self, statement: str) -> bool:
        """Whether a statement, with its semicolon or without, and with a comment behind it or without, is one of the stubs."""
        texts = (statement, statement.rpartition(self.line_comment)[0])
        bare = {text.strip().removesuffix(";").rstrip() for text in texts}
        return any(re.fullmatch(re.escape(stub).replace(r"\*", r"[^\n]*"), text) for stub in self.stubs for text in bare)


_ORDERED = ("ids", "suffixes", "stubs", "annotation_marks", "docstring")


@cache
def tables() -> tuple[Language, ...]:
    """All tables of this package, by name."""
    files = sorted((file for file in resources.files(__name__).iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return tuple(_table(tomllib.loads(file.read_text(encoding="utf-8"))) for file in files)


def _table(values: dict[str, str | list[str]]) -> Language:
    typed = {
        name: value if isinstance(value, str) else tuple(value) if name in _ORDERED else frozenset(value) for name, value in values.items()
    }
    return Language(**typed)  # type: ignore[arg-type]  # the tests load every table


def language_of(name: str) -> str:
    """What editors call the language of a file, by its suffix; 'plaintext' for an unknown one. Takes paths and URIs."""
    suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    return next((language.ids[0] for language in tables() if suffix in language.suffixes), PLAINTEXT)


def table_of(language: str) -> Language | None:
    """The table of a language by one of its ids."""
    return next((table for table in tables() if language in table.ids), None)


# The tables of the grammars that were loaded; no tree is of another.
_tables_of_grammars: dict[tree_sitter.Language, Language] = {}


@cache
def grammar_of(language: str) -> tree_sitter.Language | None:
    """The grammar of a language by one of its ids; None where there is no table, or its wheel isn't installed or of no use here."""
    table = table_of(language)
    if table is None:
        return None
    module, function = table.grammar.split(":")
    try:
        grammar = tree_sitter.Language(getattr(importlib.import_module(module), function)())
    except (ImportError, AttributeError, ValueError):
        # Not there, of another make, or of a version that the installed tree-sitter can't read.
        return None
    _tables_of_grammars[grammar] = table
    return grammar


def table_of_tree(tree: Tree) -> Language:
    """The table of the language that `tree` was parsed as."""
    return _tables_of_grammars[tree.language]
