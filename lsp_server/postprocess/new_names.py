"""What a suggested name must be: one identifier that is still free wherever the renamed binding can be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tree_sitter import Tree

from engine.errors import LacunaError
from lsp_server.bindings import is_bound, occurrences
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, apply_edits, ranges_after, tree_after
from lsp_server.holes import Hole
from lsp_server.languages import table_of_tree
from lsp_server.postprocess.surroundings import Surroundings

_IDENTIFIER = re.compile(r"[^\W\d]\w*")


class NewNames:
    """The rule for one renaming: `holes` are all occurrences of one binding of `buffer`, in order."""

    def __init__(self, buffer: Buffer, tree: Tree, holes: Sequence[Hole]) -> None:
        self._buffer, self._tree, self._holes = buffer, tree, holes
        self._reasons: dict[str, str | None] = {}

    def check(self, candidate: Candidate, surroundings: Surroundings) -> str | None:
        """Refuse what is no single name, what the language or its library has given a meaning, and what would be mixed up with another
        variable. The whole renaming is looked at, also where the candidate fills some of the holes only."""
        name = candidate.edits[0].text
        if name not in self._reasons:
            self._reasons[name] = self._reason_against(name)
        return self._reasons[name]

    def _reason_against(self, name: str) -> str | None:
        language = table_of_tree(self._tree)
        if not _IDENTIFIER.fullmatch(name):
            return f"it is no single name: {name[:40]}"
        if name in language.predefined:
            return f"it means something else in {language.name} already: {name}"
        taken = f"{name} is the name of something else here"
        edits = [Edit(hole.start, hole.end, name) for hole in self._holes]
        source = apply_edits(self._buffer.source, edits)
        tree = tree_after(self._tree, self._buffer.source, edits)
        if tree is None:
            return "the file takes too long to parse"
        renamed = ranges_after(edits)
        try:
            free = not is_bound(self._tree, self._buffer.source, self._holes[0].start, name)
            return None if free and occurrences(tree, source, renamed[0][0]) == renamed else taken
        except LacunaError:
            return taken
