"""The holes of HumanEval-Infilling, and of the same programs with several lines missing at once.

Bavarian et al., "Efficient Training of Language Models to Fill in the Middle", arXiv 2207.14255, whose single-line and light
random-span tasks these are; the programs are HumanEval's (Chen et al., arXiv 2107.03374).
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb
from pathlib import Path

from engine.errors import LacunaError

SINGLE_LINE, RANDOM_SPAN, MULTI_HOLE = "single-line", "random-span", "multi-hole"
KINDS = (SINGLE_LINE, RANDOM_SPAN, MULTI_HOLE)

_FILES = {
    SINGLE_LINE: "HumanEval-SingleLineInfilling.jsonl.gz",
    RANDOM_SPAN: "HumanEval-RandomSpanInfillingLight.jsonl.gz",
    # The same programs, of which the first task of each shows the whole body.
    MULTI_HOLE: "HumanEval-SingleLineInfilling.jsonl.gz",
}
_FIELDS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")
_CASES_A_PROGRAM = 2
_FEWEST_HOLES, _MOST_HOLES = 2, 4


@dataclass(frozen=True)
class InfillingTask:
    """A program with holes: `pieces` has one entry more than `expected`, the texts that the author wrote in the holes.

    `test` defines a function `check`, which takes what the program calls `entry_point` and raises where it is wrong.
    """

    name: str
    kind: str
    entry_point: str
    pieces: tuple[str, ...]
    expected: tuple[str, ...]
    test: str

    def program(self, texts: Sequence[str]) -> str:
        """The program with `texts` in its holes."""
        return "".join(part for pair in zip(self.pieces, (*texts, ""), strict=True) for part in pair)

    @property
    def check(self) -> str:
        """What is run after the program."""
        return f"{self.test}\ncheck({self.entry_point})\n"


def load_infilling_tasks(folder: Path, kind: str, count: int | None, seed: int) -> list[InfillingTask]:
    """The tasks of a kind from the folder with the benchmark's files, in its order; `count` of them drawn with `seed` (None: all).

    Raises LacunaError where the file is missing or damaged, a record lacks a field, or `count` is below 1.
    """
    if count is not None and count < 1:
        raise LacunaError(f"the number of tasks must be at least 1, not {count}")
    records = read_records(folder / _FILES[kind])
    tasks = list(_multi_hole(records, seed)) if kind == MULTI_HOLE else [_one_hole(kind, record) for record in records]
    if count is None or count >= len(tasks):
        return tasks
    chosen = sorted(random.Random(seed).sample(range(len(tasks)), count))
    return [tasks[index] for index in chosen]


def read_records(file: Path) -> list[dict[str, str]]:
    """The records of a gzipped JSON-lines file, each with the benchmark's six fields. Raises LacunaError naming what is wrong."""
    if not file.is_file():
        raise LacunaError(f"there is no {file.name} in {file.parent}; fetch it from the HumanEval-Infilling benchmark")
    try:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            records = [_record(file, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise LacunaError(f"{file} can't be read ({error}); fetch it again from the HumanEval-Infilling benchmark") from None
    if not records:
        raise LacunaError(f"{file} holds no task; fetch it again from the HumanEval-Infilling benchmark")
    return records


def _record(file: Path, number: int, line: str) -> dict[str, str]:
    try:
        record = json.loads(line)
    except ValueError:
        raise LacunaError(f"line {number} of {file} is no JSON; fetch the file again from the HumanEval-Infilling benchmark") from None
    for field in _FIELDS:
        if not isinstance(record, dict) or not isinstance(record.get(field), str):
            raise LacunaError(f"line {number} of {file} has no text in its field {field}; fetch the file again")
    if not record["canonical_solution"]:
        raise LacunaError(f"line {number} of {file} has an empty canonical_solution; fetch the file again")
    return {field: str(record[field]) for field in _FIELDS}


def _one_hole(kind: str, record: dict[str, str]) -> InfillingTask:
    return InfillingTask(
        name=record["task_id"],
        kind=kind,
        entry_point=record["entry_point"],
        pieces=(record["prompt"], record["suffix"]),
        expected=(record["canonical_solution"],),
        test=record["test"],
    )


def _multi_hole(records: Sequence[dict[str, str]], seed: int) -> Iterator[InfillingTask]:
    """Two cases of every program, or as many as there are: 2 to 4 non-blank lines of its body, drawn at random, are holes."""
    first_of: dict[str, dict[str, str]] = {}
    for record in records:
        first_of.setdefault(_program_of(record), record)
    for program, record in first_of.items():
        prompt, body = record["prompt"], record["canonical_solution"] + record["suffix"]
        lines = body.splitlines(keepends=True)
        written = [number for number, line in enumerate(lines) if line.strip()]
        if len(written) < _FEWEST_HOLES:
            continue
        rng = random.Random(f"{seed} {program}")
        most = min(_MOST_HOLES, len(written))
        possible = sum(comb(len(written), holes) for holes in range(_FEWEST_HOLES, most + 1))
        cases: dict[tuple[int, ...], None] = {}
        while len(cases) < min(_CASES_A_PROGRAM, possible):
            cases[tuple(sorted(rng.sample(written, rng.randint(_FEWEST_HOLES, most))))] = None
        for missing in cases:
            borders = [0, *(border for number in missing for border in (number, number + 1)), len(lines)]
            parts = ["".join(lines[start:end]) for start, end in pairwise(borders)]
            yield InfillingTask(
                name=f"MultiHoleInfilling/{program}/{'+'.join(f'L{number}' for number in missing)}",
                kind=MULTI_HOLE,
                entry_point=record["entry_point"],
                pieces=(prompt + parts[0], *parts[2::2]),
                expected=tuple(parts[1::2]),
                test=record["test"],
            )


def _program_of(record: dict[str, str]) -> str:
    """HumanEval/12 of SingleLineInfilling/HumanEval/12/L3."""
    return record["task_id"].partition("/")[2].rpartition("/")[0]
