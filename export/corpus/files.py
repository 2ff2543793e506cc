"""What a corpus is made of: projects, their files, and the two splits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SPLITS = ("train", "held_out")


@dataclass(frozen=True)
class Project:
    """One source of files as it went into the corpus: a distribution or a standard library, with its kept files and their bytes."""

    name: str
    version: str
    licence: str
    split: str
    files: int
    bytes: int


@dataclass(frozen=True)
class SourceFile:
    project: str
    path: str
    text: str


def split_of(project: str) -> str:
    """'held_out' for about one project in twelve, by a hash of its name, so that every build splits alike."""
    return "held_out" if hashlib.sha256(project.lower().encode()).digest()[0] < 21 else "train"
