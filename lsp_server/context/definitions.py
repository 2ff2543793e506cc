"""What a name stands for: the definitions of a file, and the names that are used about a hole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from tree_sitter import Node, Tree

from lsp_server.languages import Language, table_of_tree
from lsp_server.statements import Span, body_within, top_statements, unwrapped

# A definition of no more bytes than this is shown whole, a longer one by its header and a docstring of one line.
_SHORT = 160
# A generated file may have a million definitions; those that a person works with stand among the first.
_MOST_STATEMENTS = 5000
# A name with more definitions than this says too little about which of them is meant.
_MOST_NAMESAKES = 3
# Names are looked for no further than this from a hole: its line may be a megabyte long.
_MENTION_BYTES = 512


@dataclass(frozen=True)
class Definition:
    """What is shown of a definition: the bytes `spans`, the first of them the header of the type whose member it is, if it is one."""

    name: bytes
    spans: tuple[Span, ...]
    is_member: bool


Definitions = Mapping[bytes, Sequence[Definition]]


@dataclass(frozen=True)
class Mention:
    """A name in use; `of_member`: what stands before it says whose member it is (`thing.name`). None where the table can't tell."""

    name: bytes
    of_member: bool | None


def definitions(tree: Tree, source: bytes) -> Definitions:
    """The functions, types, their members and the values named at the top of a file, by name."""
    found: dict[bytes, list[Definition]] = {}
    for definition in _definitions(tree.root_node, source, table_of_tree(tree)):
        found.setdefault(definition.name, []).append(definition)
    return found


def meant(mention: Mention, known: Definitions) -> Sequence[Definition]:
    """The definitions that a name may stand for; none where they are too many to tell which."""
    fitting = [found for found in known.get(mention.name, ()) if mention.of_member is not False or not found.is_member]
    return fitting if len(fitting) <= _MOST_NAMESAKES else ()


def _definitions(root: Node, source: bytes, language: Language) -> Iterator[Definition]:
    """Those of statements at the top and in the bodies of types there, in the order of the text."""
    stack: list[tuple[Node, tuple[Span, ...]]] = [(root, ())]
    seen = 0
    while stack:
        block, outer = stack.pop()
        for whole in islice(top_statements(block, language), max(0, _MOST_STATEMENTS - seen)):
            seen += 1
            node = unwrapped(whole, language)
            body = node.child_by_field_name("body")
            if node.type in language.functions or node.type in language.types:
                name = _name(node, language)
                if name is not None:
                    yield Definition(source[name.start_byte : name.end_byte], (*outer, *_shown(whole, body, language)), bool(outer))
            if body is not None and node.type not in language.functions:
                # A type's body, or a namespace's, whose members are the file's own.
                stack.append((body, (*outer, _header(whole, body)) if node.type in language.types else outer))
            elif body is None and not outer and node.type not in language.imports:
                value = _function_in(whole, language)
                if value is not None or whole.end_byte - whole.start_byte <= _SHORT:
                    for name in _assigned(node, language):
                        yield Definition(source[name.start_byte : name.end_byte], tuple(_shown(whole, value, language)), False)


def _function_in(statement: Node, language: Language) -> Node | None:
    """The body of a function that a statement gives a name (`const f = () => {...}`)."""
    body = body_within(statement, language)
    return body if body is not None and body.parent is not None and body.parent.type in language.functions else None


def _name(node: Node, language: Language) -> Node | None:
    """The identifier that a definition names: its field `name`, or what is inside its declarators."""
    inner: Node | None = node
    while inner is not None and inner.type not in language.identifiers:
        inner = inner.child_by_field_name("name") or inner.child_by_field_name("declarator")
    return inner


def _header(node: Node, body: Node) -> Span:
    return node.start_byte, body.start_byte


def _shown(whole: Node, body: Node | None, language: Language) -> Iterator[Span]:
    if body is None or whole.end_byte - whole.start_byte <= _SHORT:
        yield whole.start_byte, whole.end_byte
        return
    yield _header(whole, body)
    first = next(iter(body.named_children), None)  # a body that is still to be written has none
    if first is not None and not first.is_extra and _is_text(first, language) and first.start_point.row == first.end_point.row:
        yield first.start_byte, first.end_byte


def _is_text(node: Node, language: Language) -> bool:
    only = node.named_child(0) if node.named_child_count == 1 else None
    return node.type in language.text or (only is not None and only.type in language.text)


def _assigned(statement: Node, language: Language) -> Iterator[Node]:
    """The identifiers that a statement binds, by the table's places."""
    for outer in (statement, *statement.named_children):
        for index, child in enumerate(outer.children):
            if child.type in language.identifiers and f"{outer.type}.{outer.field_name_for_child(index) or ''}" in language.bindings:
                yield child


def mentions(tree: Tree, source: bytes, places: Sequence[tuple[Span, Span]]) -> list[Mention]:
    """The names in use beside holes, the nearest first; `places` are the bytes of each hole's lines, and the hole's own among them.

    What is in a hole doesn't count, nor what touches one: it is being written.
    """
    language = table_of_tree(tree)
    holes = [hole for _, hole in places]
    nearest: dict[Mention, int] = {}
    for (first, last), (hole_start, hole_end) in places:
        for start, end in (
            (max(first, hole_start - _MENTION_BYTES), hole_start),
            (hole_end, min(last, hole_end + _MENTION_BYTES)),
        ):
            for node, field in _leaves(tree, start, end):
                if node.type not in language.identifiers or any(
                    node.start_byte <= stop and node.end_byte >= begin for begin, stop in holes
                ):
                    continue
                mention = _mention(node, field, source, language)
                distance = max(hole_start - node.end_byte, node.start_byte - hole_end)
                if mention is not None and distance < nearest.get(mention, distance + 1):
                    nearest[mention] = distance
    return sorted(nearest, key=lambda mention: nearest[mention])


def _mention(node: Node, field: str, source: bytes, language: Language) -> Mention | None:
    name = source[node.start_byte : node.end_byte]
    if not language.members:
        return Mention(name, None)
    parent = node.parent
    if parent is None or f"{parent.type}.{field}" not in language.members:
        return Mention(name, False)
    # A member that nothing stands before is an argument's name or the like, and no use of anything.
    return Mention(name, True) if parent.start_byte < node.start_byte else None


def _leaves(tree: Tree, start: int, end: int) -> Iterator[tuple[Node, str]]:
    """The leaves that touch the bytes `start` to `end`, in the order of the text, with their fields in their parents."""
    cursor = tree.walk()
    while cursor.node is not None and cursor.node.start_byte <= end:
        if cursor.goto_first_child_for_byte(max(0, start)) is not None:
            continue
        if not cursor.node.child_count:
            yield cursor.node, cursor.field_name or ""
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return
