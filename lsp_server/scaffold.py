"""Text that a fill brings along: the `: ` of an annotation, or the quotes of a docstring on a line of its own.

The model must see it around the hole, and the person gets both as one edit. So a request may put a frame around each hole: the holes
are filled in the framed text, and the fills go back into the document with their frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tree_sitter import Tree

from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, apply_edits, ranges_after, tree_after
from lsp_server.holes import Hole


@dataclass(frozen=True)
class Frame:
    """What comes `before` and `after` a fill, in the buffer's line ends. The two and the fill take the place of the hole's bytes."""

    before: str
    after: str


@dataclass(frozen=True)
class Scaffold:
    """A text with frames in the place of `holes`, of which each is empty now, and what it was before.

    `holes` and `framed` are the same holes, those in the text as it was and these in `buffer`; `tree` is that of `buffer`.
    """

    buffer: Buffer
    tree: Tree | None
    framed: tuple[Hole, ...]
    holes: tuple[Hole, ...]
    frames: tuple[Frame, ...]

    @classmethod
    def around(cls, buffer: Buffer, tree: Tree | None, holes: Sequence[Hole], frames: Sequence[Frame]) -> Scaffold:
        """The text with the frames put around the holes, which are in order and apart, one frame for each."""
        edits = [Edit(hole.start, hole.end, frame.before + frame.after) for hole, frame in zip(holes, frames, strict=True)]
        framed = []
        for hole, frame, (start, _) in zip(holes, frames, ranges_after(edits), strict=True):
            inside = start + len(frame.before.encode("utf-8"))
            framed.append(replace(hole, start=inside, end=inside))
        source = apply_edits(buffer.source, edits)
        with_frames = tree_after(tree, buffer.source, edits) if tree is not None else None
        return cls(replace(buffer, source=source), with_frames, tuple(framed), tuple(holes), tuple(frames))

    def taken_back(self, candidate: Candidate) -> Candidate:
        """A candidate for the framed text as one for the text before: its edits bring the frames along."""
        edits = tuple(
            Edit(hole.start, hole.end, frame.before + edit.text + frame.after)
            for hole, frame, edit in zip(self.holes, self.frames, candidate.edits, strict=True)
        )
        return replace(candidate, edits=edits)
