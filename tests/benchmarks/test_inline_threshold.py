"""The benchmark of the least probability: where it cuts, and what it calls right."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from benchmarks.inline_threshold import KINDS, Cut, Judged, Kind, Source, cuts, how_right, infilling_sources, judge, own_sources, summarise
from engine.errors import LacunaError
from engine.infiller import Infiller

TEXT = """def first(items, é):
    # one
    return items[0]


def other(items):
    if items:
        x = 1

        return max(items, key=len)
"""


def source(text: str = TEXT) -> Source:
    lines, start = [], 0
    for line in text.splitlines(keepends=True):
        if line.strip():
            lines.append((start, start + len(line.rstrip())))
        start += len(line)
    return Source("file", text, tuple(lines))


def cut(gone: str, kind: Kind) -> Cut:
    start = TEXT.index(gone)
    return Cut(source(), kind, start, start + len(gone))


def test_every_kind_is_cut_where_it_should_be() -> None:
    found = cuts([source()], 300, random.Random(0))
    gone: dict[Kind, set[str]] = {kind: {each.gone for each in found if each.kind == kind} for kind in KINDS}
    assert {len([each for each in found if each.kind == kind]) for kind in KINDS} == {100}
    assert gone["block"] == {"return items[0]", "x = 1\n\n        return max(items, key=len)", TEXT[TEXT.index("if items") : -1]}
    assert {"x = 1", ")"} <= gone["rest of a line"]
    assert {"items", "key=len", "(items, é)", "len"} <= gone["node within a line"] | {"key=len"}
    lines = TEXT.splitlines()
    assert all(any(line.endswith(text) for line in lines) for text in gone["rest of a line"])
    assert not any("\n" in text for kind in KINDS[:2] for text in gone[kind])
    for each in found:
        if each.kind == "node within a line":
            assert TEXT[each.end] != "\n"


def test_cuts_are_the_same_each_time_and_at_least_one() -> None:
    assert cuts([source()], 20, random.Random(3)) == cuts([source()], 20, random.Random(3))
    with pytest.raises(LacunaError, match="at least 1"):
        cuts([source()], 0, random.Random(0))


@pytest.mark.parametrize(
    ("proposed", "gone", "kind", "begins", "right", "whole"),
    [
        ("items[0]", "items[0]", "rest of a line", True, True, True),
        ("items", "items[0]", "rest of a line", True, True, False),
        ("items[1]", "items[0]", "rest of a line", True, False, False),
        ("item", "items[0]", "rest of a line", False, True, False),
        ("key=len", "key=len", "node within a line", True, True, True),
        ("x = 1", "x = 1\n\n        return max", "block", True, True, True),
        ("x = 1\n\n        return", "x = 1\n\n        return max", "block", True, True, False),
        ("x = 1\n        return max", "x = 1\n\n        return max", "block", True, False, False),
        (" = 1", "= 1", "rest of a line", False, False, False),
    ],
)
def test_three_degrees_of_right(proposed: str, gone: str, kind: Kind, begins: bool, right: bool, whole: bool) -> None:
    assert how_right(proposed, cut(gone, kind)) == {"begins_right": begins, "right": right, "whole": whole}


def test_shares_are_of_the_places_or_of_those_shown() -> None:
    judged = [
        Judged("a", "block", 0.9, 10, begins_right=True, right=True, whole=True),
        Judged("a", "block", 0.5, 4, begins_right=True, right=True, whole=False),
        Judged("b", "block", 0.4, 8, begins_right=False, right=False, whole=False),
        Judged("b", "block", 0.0, 0, begins_right=False, right=False, whole=False),
    ]
    every, some, none = (summarise(judged, threshold) for threshold in (0.0, 0.45, 0.95))
    assert every.shown.value == 0.75, "where nothing was proposed nothing is shown, whatever the threshold"
    assert every.right is not None and every.right.value == pytest.approx(2 / 3)
    assert (every.right_of_all.value, every.saved.value) == (0.5, 3.5)
    assert some.shown.value == 0.5 and some.right is not None and some.right.value == 1
    assert some.whole is not None and some.whole.value == 0.5
    assert none.shown.value == 0 and none.right is None and none.saved.value == 0


def test_what_the_model_is_sure_of_is_right(infiller: Infiller) -> None:
    text = (
        "def total(items):\n    return sum(items)\n\n\ndef mean(items):\n    if not items:\n        return 0.0\n    return total(items)\n"
    )
    start = text.rindex("items)")
    found = judge(Cut(Source("x", text, ()), "rest of a line", start, len(text) - 1), infiller)
    assert found.whole and found.right and found.probability > 0.3 and found.characters == len("items)")


def test_own_files_are_cut_on_written_lines() -> None:
    sources = own_sources()
    assert len(sources) > 50 and len({each.name for each in sources}) == len(sources)
    for each in sources:
        assert all(each.text[start:end].strip() and "\n" not in each.text[start:end] for start, end in each.lines)


def test_programs_are_told_by_their_single_lines(tmp_path: Path) -> None:
    fields = {"entry_point": "f", "test": "def check(f): pass\n"}
    records = [
        {"task_id": "S/P/0/L0", "prompt": "def f():\n", "suffix": "\n    return x\n", "canonical_solution": "    x = 1", **fields},
        {"task_id": "S/P/0/L1", "prompt": "def f():\n    x = 1\n", "suffix": "\n", "canonical_solution": "    return x", **fields},
    ]
    with gzip.open(tmp_path / "HumanEval-SingleLineInfilling.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    (program,) = infilling_sources(tmp_path)
    assert program.text == "def f():\n    x = 1\n    return x\n"
    assert [program.text[start:end] for start, end in program.lines] == ["    x = 1", "    return x"]
