"""Holes to fill: HumanEval's single lines and random spans, or lines of this project's own files."""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.infilling_tasks import RANDOM_SPAN, load_infilling_tasks
from engine.errors import LacunaError
from engine.infiller import Infiller
from engine.passage import Passage

_SINGLE_LINES = "HumanEval-SingleLineInfilling.jsonl.gz"
_RANDOM_SPANS = "HumanEval random span"
# As many slots as `lacuna fill` gives a marker that stands alone on its line.
BUDGET = 64
# Characters of a file kept before and after a hole of our own: near a whole window of prompt rows.
_REACH = 600


@dataclass(frozen=True)
class Task:
    """A passage with one hole. `name` is unique in its source."""

    name: str
    passage: Passage


def add_options(parser: argparse.ArgumentParser, count: int) -> None:
    """The options that choose the tasks; `count` is the default number."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder with HumanEval-Infilling's files (default: holes are lines of this project's own files)",
    )
    parser.add_argument("--tasks", type=int, metavar="N", default=count, help="number of tasks (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the tasks and seeds the draws (default: %(default)s)")


def load_tasks(data: Path | None, infiller: Infiller, count: int, seed: int) -> tuple[str, list[Task]]:
    """The source's name and `count` tasks, drawn with `seed` among those that fit the model's window.

    Without `data` the holes are lines of this project's own files. Raises LacunaError when the folder lacks the task
    file, none of its tasks fits, or `count` is not positive.
    """
    if count < 1:
        raise LacunaError(f"the number of tasks must be at least 1, not {count}")
    source, tasks = ("own files", list(_own_lines())) if data is None else ("HumanEval single line", list(_single_lines(data)))
    return source, _draw(source, tasks, infiller, count, seed)


def load_sources(data: Path | None, infiller: Infiller, count: int, seed: int) -> dict[str, list[Task]]:
    """`count` tasks of every source by its name: `load_tasks`, and from `data` HumanEval's light random spans as well."""
    source, tasks = load_tasks(data, infiller, count, seed)
    if data is None:
        return {source: tasks}
    spans = [Task(task.name, Passage(task.pieces, (BUDGET,))) for task in load_infilling_tasks(data, RANDOM_SPAN, None, seed)]
    return {source: tasks, _RANDOM_SPANS: _draw(_RANDOM_SPANS, spans, infiller, count, seed)}


def _draw(source: str, tasks: Sequence[Task], infiller: Infiller, count: int, seed: int) -> list[Task]:
    shuffled = list(tasks)
    random.Random(seed).shuffle(shuffled)
    fitting = list(islice((task for task in shuffled if _rows(task.passage, infiller) <= infiller.window), count))
    if not fitting:
        raise LacunaError(f"none of the tasks ({source}) fits into the {infiller.window} tokens that {infiller.model_name} takes")
    return fitting


def _rows(passage: Passage, infiller: Infiller) -> int:
    return sum(map(infiller.count_tokens, passage.pieces)) + sum(passage.budgets) + 2


def _single_lines(data: Path) -> Iterator[Task]:
    file = data / _SINGLE_LINES
    if not file.is_file():
        raise LacunaError(f"there is no {_SINGLE_LINES} in {data}; fetch it from the HumanEval-Infilling benchmark")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            yield Task(record["task_id"], Passage((record["prompt"], record["suffix"]), (BUDGET,)))


def _own_lines() -> Iterator[Task]:
    for line in own_lines():
        text, start, end = line.text, line.start, line.end
        before, after = text[max(0, start - _REACH) : start], text[end : end + _REACH]
        yield Task(line.name, Passage((before, after), (BUDGET,), at_start=start <= _REACH, at_end=end + _REACH >= len(text)))


@dataclass(frozen=True)
class OwnLine:
    """A line of one of this project's own files: `text[start:end]`, its end included. `name` is the file's and the line's number."""

    name: str
    text: str
    start: int
    end: int


def own_lines() -> Iterator[OwnLine]:
    """All lines of the engine and the language server that have some text, file by file."""
    root = Path(__file__).parents[1]
    for file in sorted(path for package in ("engine", "lsp_server") for path in (root / package).rglob("*.py")):
        start = 0
        text = file.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(keepends=True), 1):
            end = start + len(line)
            if len(line.strip()) >= 8:
                yield OwnLine(f"{file.relative_to(root).as_posix()}:{number}", text, start, end)
            start = end
