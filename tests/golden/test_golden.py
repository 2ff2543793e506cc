"""The cases of this folder's TOML files, each under both line ends. README.md says how they are written."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.results import HoleFill
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.edits import Edit, apply_edits
from lsp_server.holes import MARKER, Hole
from lsp_server.line_ends import to_buffer
from lsp_server.markers import is_marker, markers
from lsp_server.postprocess import RULES, indentation, judge, sift, trailing_space
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.syntax import parse

FOLDER = Path(__file__).parent
MARK = re.compile("⟦(?:([^⟦⟧]*)⇒)?([^⟦⟧]*)⟧")
# Plain text to the rules.
NO_GRAMMAR = ("plaintext", "lua")
SIGNS = str.maketrans({"⇥": "\t", "␠": " "})


@dataclass(frozen=True)
class Case:
    """One table of a file; README.md explains the keys."""

    name: str
    language: str
    source: str
    first: str | None = None
    complete: bool = True
    result: str | None = None
    mended: tuple[str, ...] = ()
    refused: str | None = None
    known_bad: str | None = None

    @property
    def verdict(self) -> str:
        """What is expected, in words."""
        return f"refused by {self.refused}" if self.refused else f"shown, mended by {', '.join(self.mended)}" if self.mended else "shown"


def load() -> dict[str, Case]:
    """All cases by "file: name"."""
    cases: dict[str, Case] = {}
    for file in sorted(FOLDER.glob("*.toml")):
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            typed = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
            case = Case(**typed)  # type: ignore[arg-type]  # a wrong type makes its own case fail
            key = f"{file.stem}: {case.name}"
            assert key not in cases, f"{file.name} has two cases that are called {case.name!r}"
            assert bool(case.mended) == (case.result is not None), f"{key}: a mended case has a result, and no other has"
            cases[key] = case
    return cases


CASES = load()


def read(source: str, language: str, newline: str, complete: bool) -> tuple[Surroundings, Candidate]:
    """The buffer before the fills, with its holes, and the candidate that the marks hold."""
    text, pieces, holes, fills, reached = source.removeprefix("\n").translate(SIGNS), [], [], [], 0
    size = 0
    for match in MARK.finditer(text):
        kept, (old, new) = text[reached : match.start()], match.groups()
        there = MARKER if old is None else old
        start = size + len(to_buffer(kept, newline).encode())
        size = start + len(to_buffer(there, newline).encode())
        named = next((place.name for place in markers(there, MARKER) if is_marker(there, MARKER)), None)
        holes.append(Hole(start, size, "marker" if is_marker(there, MARKER) else "range", 64, named))
        fills.append(HoleFill(new, (1,), (-1.0,), complete))
        pieces += [kept, there]
        reached = match.end()
    buffer = Buffer(to_buffer("".join((*pieces, text[reached:])), newline).encode(), "case")
    edits = [Edit(hole.start, hole.end, to_buffer(fill.text, newline)) for hole, fill in zip(holes, fills, strict=True)]
    return Surroundings(buffer, parse(buffer.source, language), tuple(holes)), Candidate(tuple(edits), tuple(fills))


def happens(case: Case, newline: str) -> tuple[str, bytes]:
    """What becomes of a case's candidate, in the words of `Case.verdict`, and the source with it."""
    here, candidate = read(case.source, case.language, newline, case.complete)
    verdict = judge(candidate, here)
    outcome = Case(case.name, case.language, case.source, mended=verdict.candidate.mended, refused=verdict.rule)
    if case.first is not None and verdict.rule is None:
        there, first = read(case.first, case.language, newline, True)
        assert there.buffer == here.buffer and there.holes == here.holes, "`first` and `source` differ outside their marks"
        if len(sift((first, candidate), here, 2)[0]) == 1:
            outcome = Case(case.name, case.language, case.source, refused="duplicates")
    return outcome.verdict, apply_edits(here.buffer.source, verdict.candidate.edits)


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("key", CASES)
def test_case(key: str, newline: str) -> None:
    case = CASES[key]
    assert MARK.search(case.source), "there is no mark in the source"
    if case.language not in NO_GRAMMAR:
        assert parse(b"", case.language) is not None, f"there is no grammar for {case.language}; install the package with its extras"
    outcome, source = happens(case, newline)
    note = f"a known fault ({case.known_bad}) is gone: say so in the case" if case.known_bad else "not as the case says"
    assert outcome == case.verdict, note
    if not case.refused:
        expected = case.result if case.result is not None else MARK.sub(lambda match: match[2], case.source)
        assert source.decode() == to_buffer(expected.removeprefix("\n").translate(SIGNS), newline)


def test_every_rule_has_a_case() -> None:
    refusing = {case.refused for case in CASES.values() if case.refused}
    assert refusing == {*RULES, "duplicates"}
    assert {name for case in CASES.values() for name in case.mended} == {indentation.NAME, trailing_space.NAME}
