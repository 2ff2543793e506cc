"""Which names are one: all occurrences of the binding that a name belongs to, by the scopes of the syntax tree.

Where a scope's rules leave a doubt, the answer is a refusal and no guess: what is renamed must be the same program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from tree_sitter import Node, Tree

from engine.errors import LacunaError
from lsp_server.edits import Range
from lsp_server.languages import Language, table_of_tree

# Each place costs some ten microseconds, and a menu must be there at once.
_MOST_PLACES = 500


class _Role(Enum):
    USE = auto()
    BINDING = auto()
    IMPORT = auto()
    MODULE = auto()  # declared to be the module's
    OUTER = auto()  # declared to be bound in an outer function


@dataclass(frozen=True)
class _Name:
    """An identifier, what it does, and the scope that it does it in."""

    node: Node
    role: _Role
    scope: Node


def identifier_at(tree: Tree, offset: int) -> Node | None:
    """The name that byte `offset` stands in or right behind, if any."""
    language = table_of_tree(tree)
    for at in (offset, offset - 1):
        node = tree.root_node.descendant_for_byte_range(at, at) if at >= 0 else None
        if node is not None and node.type in language.identifiers and node.start_byte <= at < node.end_byte:
            return node
    return None


def occurrences(tree: Tree, source: bytes, offset: int) -> tuple[Range, ...]:
    """Byte ranges of all names that are bound together with the one at byte `offset` of `source`, in order; a cursor behind it will do.

    Raises LacunaError where no variable stands there, nothing in the file binds it, it is an attribute or a module's own name,
    or the tree or the language's table doesn't tell for sure.
    """
    language = table_of_tree(tree)
    leaf = identifier_at(tree, offset)
    if leaf is None:
        raise LacunaError("there is no name at the cursor; put it on a variable, a parameter or a function's name")
    text = source[leaf.start_byte : leaf.end_byte]
    word = text.decode("utf-8", "replace")
    if not language.scopes:
        raise LacunaError(f"{word} can't be told from other names: Lacuna doesn't know the scopes of {language.name} yet")
    if _place_of(leaf, language.members) or _is_later_part(leaf):
        raise LacunaError(f"{word} is the name of a member here, which other files may use too; only variables are renamed")
    same = _identifiers(tree, source, language, text)
    if leaf not in same:
        raise LacunaError(f"{word} runs into what stands before it; mend that first")
    resolver = _Resolver(language, word, _variables(same, language))
    found = resolver.together_with(leaf)
    keywords = [node for node in same if _place_of(node, language.argument_names)]
    for function in resolver.functions_that_take(leaf) if keywords else ():
        if any(_callee(node, language) == function for node in keywords):
            raise LacunaError(f"{word} is passed to {function} by its name, maybe in other files too; only other variables are renamed")
    return found


def is_bound(tree: Tree, source: bytes, offset: int, word: str) -> bool:
    """Whether something in the file binds `word` so that it can be read in the scope that the name at byte `offset` belongs to."""
    leaf = identifier_at(tree, offset)
    if leaf is None:
        return False
    language = table_of_tree(tree)
    own = _name(leaf, language)
    same = _identifiers(tree, source, language, word.encode("utf-8"))
    return _Resolver(language, word, _variables(same, language)).owner(own) is not None


def unbound(tree: Tree, source: bytes, start: int, end: int) -> tuple[str, ...]:
    """Variables in the bytes `start` to `end` that nothing in the file has bound by the time when these are run, other than by the
    language itself. Empty where a wildcard import may have brought in anything."""
    language = table_of_tree(tree)
    if not language.scopes or any(_has_child(node, language.wildcards) for node in _top(tree, language.imports)):
        return ()
    missing = []
    for node in _leaves(tree, language, start, end):
        text = source[node.start_byte : node.end_byte]
        if text.decode("utf-8") not in language.predefined and not _is_member(node, language):
            same = _identifiers(tree, source, language, text)
            resolver = _Resolver(language, text.decode("utf-8"), _variables(same, language))
            if node in same and not resolver.binds_in_time(node):
                missing.append(resolver.word)
    return tuple(missing)


def _variables(identifiers: Sequence[Node], language: Language) -> list[_Name]:
    return [_name(node, language) for node in identifiers if not _is_member(node, language)]


def _identifiers(tree: Tree, source: bytes, language: Language, text: bytes) -> list[Node]:
    """All names `text` that stand as words of their own: in broken code one may begin inside a word (`6lines` is the number 6l and the
    name ines to Python's grammar). Raises LacunaError where it stands at too many places."""
    word = re.escape(text)
    # What must not stand before the word is asked behind it: a pattern that begins with a word is found much faster.
    places = [match.span() for match in re.finditer(word + rb"(?<![A-Za-z0-9_]" + word + rb")(?![A-Za-z0-9_])", source)]
    if len(places) > _MOST_PLACES:
        raise LacunaError(f"{text.decode('utf-8')} stands at {len(places):,} places of this file, which are too many to tell apart")
    nodes = [node for span in places if (node := tree.root_node.descendant_for_byte_range(*span)) is not None and node.byte_range == span]
    return [node for node in nodes if node.type in language.identifiers]


def _callee(argument: Node, language: Language) -> str:
    """The last part of what is called with an argument, nothing where that has no name."""
    node: Node | None = argument
    while node is not None and node.type not in language.arguments:
        node = node.parent
    called = node.prev_named_sibling if node is not None else None
    last = called.named_children[-1] if called is not None and called.named_children else called
    return _text(last) if last is not None and last.type in language.identifiers else ""


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _leaves(tree: Tree, language: Language, start: int, end: int) -> Iterator[Node]:
    """The identifiers in a range of bytes, less those that the grammar misses and that have no text."""
    stack = [node] if (node := tree.root_node.descendant_for_byte_range(start, end)) is not None else []
    while stack:
        node = stack.pop()
        if node.type in language.identifiers and start <= node.start_byte < node.end_byte <= end:
            yield node
        stack.extend(reversed([child for child in node.children if child.end_byte > start and child.start_byte < end]))


def _top(tree: Tree, kinds: frozenset[str]) -> Iterator[Node]:
    return (node for node in tree.root_node.children if node.type in kinds)


def _has_child(node: Node, kinds: frozenset[str]) -> bool:
    return any(child.type in kinds for child in node.children)


def _field(node: Node) -> str:
    """The field that a node is its parent's; found without visiting the children before it, which may be many."""
    parent = node.parent
    if parent is None:
        return ""
    cursor = parent.walk()
    if cursor.goto_first_child_for_byte(node.start_byte) is None:
        return ""
    while cursor.node != node:
        if not cursor.goto_next_sibling():
            return ""
    return cursor.field_name or ""


def _place_of(node: Node, places: frozenset[str]) -> bool:
    """Whether one of `places` says where the node stands."""
    parent = node.parent
    if parent is None:
        return False
    place = f"{parent.type}.{_field(node)}"
    return place in places or (parent.parent is not None and f"{parent.parent.type}.{_field(parent)} > {place}" in places)


def _is_later_part(node: Node) -> bool:
    """Whether it is a later part of a dotted name."""
    parent = node.parent
    return parent is not None and parent.type == "dotted_name" and parent.children[0] != node


def _is_whole(node: Node) -> bool:
    parent = node.parent
    return parent is None or parent.type != "dotted_name" or parent.child_count == 1


def _is_member(node: Node, language: Language) -> bool:
    return _is_later_part(node) or _place_of(node, language.members)


def _name(node: Node, language: Language) -> _Name:
    scope = _scope(node, language)
    if _place_of(node, language.module_declarations):
        return _Name(node, _Role.MODULE, scope)
    if _place_of(node, language.outer_declarations):
        return _Name(node, _Role.OUTER, scope)
    if _place_of(node, language.import_names):
        return _Name(node, _Role.IMPORT, scope)
    if _place_of(node, language.passing_bindings):
        while scope.type in language.passed_scopes:
            scope = _scope(scope, language)
        return _Name(node, _Role.BINDING, scope)
    spread = node
    while spread.parent is not None and spread.parent.type in language.patterns:
        spread = spread.parent
    bound = _place_of(spread, language.bindings) and _is_whole(node)
    return _Name(node, _Role.BINDING if bound else _Role.USE, scope)


def _scope(node: Node, language: Language) -> Node:
    """The scope that a node's names are looked up in: the smallest around it, or the one around that where its place is outside."""
    outside = 0
    while node.parent is not None:
        parent = node.parent
        place = f"{parent.type}.{_field(node)}"
        if place in language.outside or (place in language.first_outside and _is_first_of_kind(parent)):
            outside += 1
        if parent.type in language.scopes:
            if outside == 0:
                return parent
            outside -= 1
        node = parent
    return node


def _is_first_of_kind(node: Node) -> bool:
    return node.parent is not None and next(child for child in node.parent.children if child.type == node.type) == node


class _Resolver:
    """All variables of one name in a file, by the scopes that own them."""

    def __init__(self, language: Language, word: str, names: list[_Name]) -> None:
        self.language, self.word, self.names = language, word, names
        self.declared = {name.scope.id: name.role for name in names if name.role in (_Role.MODULE, _Role.OUTER)}
        self.binding = {name.scope.id for name in names if name.role in (_Role.BINDING, _Role.IMPORT)}

    def together_with(self, leaf: Node) -> tuple[Range, ...]:
        if any(self._is_unclear(name.node) for name in self.names):
            raise LacunaError(f"{self.word} is used as a type parameter or type alias, where its scope is not clear")
        owners = [self.owner(name) for name in self.names]
        own = next(owner for name, owner in zip(self.names, owners, strict=True) if name.node == leaf)
        if own is None:
            raise LacunaError(f"{self.word} is bound nowhere in this file, so it can't be renamed here")
        together = [name for name, owner in zip(self.names, owners, strict=True) if owner == own]
        self._refuse_doubts(own, together)
        return tuple((name.node.start_byte, name.node.end_byte) for name in together)

    def functions_that_take(self, leaf: Node) -> tuple[str, ...]:
        """What is called to pass an argument as the variable at `leaf`: the function whose parameter it is, or that one's type."""
        own = next(self.owner(name) for name in self.names if name.node == leaf)
        parameters = own.child_by_field_name("parameters") if own is not None and own.type in self.language.functions else None
        if own is None or parameters is None:
            return ()
        bound = [name.node.start_byte for name in self.names if name.role is _Role.BINDING and name.scope == own]
        if not any(parameters.start_byte <= start < parameters.end_byte for start in bound):
            return ()
        around = _scope(own, self.language)
        names = [node.child_by_field_name("name") for node in (own, around) if node == own or node.type in self.language.types]
        return tuple(_text(name) for name in names if name is not None)

    def binds_in_time(self, leaf: Node) -> bool:
        """Whether the name at `leaf` is bound when it is read: before it, or anywhere if a function that is called later reads it."""
        name = next(name for name in self.names if name.node == leaf)
        owner = self.owner(name)
        if any(self._is_unclear(other.node) for other in self.names):
            return True
        if owner is None:
            return False
        scope: Node | None = name.scope
        while scope is not None and scope != owner:
            if scope.type in self.language.functions:
                return True
            scope = self._around(scope)
        bindings = [other.node for other in self.names if other.role in (_Role.BINDING, _Role.IMPORT) and other.scope == owner]
        return any(_bound_from(node, self.language) <= leaf.start_byte for node in bindings)

    def owner(self, name: _Name) -> Node | None:
        """The scope that binds the name, None for one that is bound nowhere."""
        scope: Node | None = name.scope
        role = self.declared.get(name.scope.id)
        if role is _Role.MODULE:
            return _root(name.scope)
        if role is _Role.OUTER:
            scope = self._around(name.scope)
        while scope is not None:
            if self.declared.get(scope.id) is _Role.MODULE:
                return _root(scope)
            if scope.id in self.binding and self.declared.get(scope.id) is not _Role.OUTER:
                return scope
            scope = self._around(scope)
        return None

    def _around(self, scope: Node) -> Node | None:
        """The next scope whose names can be seen from inside `scope`: not a class's."""
        while scope.parent is not None:
            scope = _scope(scope, self.language)
            if scope.type not in self.language.types:
                return scope
        return None

    def _refuse_doubts(self, own: Node, together: list[_Name]) -> None:
        if own.type in self.language.types:
            raise LacunaError(f"{self.word} is a class's attribute, which may be used through any object; only variables are renamed")
        if any(name.role is _Role.IMPORT for name in together):
            raise LacunaError(f"{self.word} is the name that another module gives; import it 'as' a name of your own first")
        for name in self.names:
            # Reading a name in a class that binds it later falls back on the module's.
            if name.role is _Role.USE and name.scope.type in self.language.types and name.scope.id in self.binding:
                raise LacunaError(f"{self.word} is read in a class that binds it too, so that it is not clear which one is meant")
        if any(_in_error(name.node) for name in self.names):
            raise LacunaError(f"{self.word} also stands where the code has a syntax error; mend that first")

    def _is_unclear(self, node: Node) -> bool:
        step: Node | None = node
        while step is not None:
            if _place_of(step, self.language.unclear):
                return True
            step = step.parent
        return False


def _bound_from(node: Node, language: Language) -> int:
    """Where a binding name means something: a definition's own name does once it is over."""
    parent = node.parent
    if parent is not None and parent.type in language.functions | language.types and _field(node) == "name":
        return parent.end_byte
    return node.end_byte


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def _in_error(node: Node) -> bool:
    step: Node | None = node
    while step is not None:
        if step.is_error:
            return True
        step = step.parent
    return False
