"""The editor's benchmark: what it counts, and that its figures are the server's."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import editor_client
from benchmarks.editor import Measured, main, memory, outcome_rows, percentile, rows, summarise
from benchmarks.editor_answers import Listed, Passes, Started, Stopped, passes
from benchmarks.editor_client import EditorClient, Place, lacuna_lsp
from benchmarks.editor_files import OpenFile, places, sized_files, with_markers, with_missing_lines
from benchmarks.editor_typing import Event, Outcome, Session
from engine.errors import LacunaError
from engine.local import LocalInfiller
from lsp_server.buffer import Buffer
from lsp_server.holes import MARKER, find_markers
from lsp_server.syntax import parse

_MIB = 1024 * 1024


def holes(text: str) -> int:
    return len(find_markers(Buffer(text.encode()), parse(text.encode(), "python")))


def event(outcome: Outcome, milliseconds: float, *, pause: float = 0.1, mib: int = 100) -> Event:
    return Event("character", outcome, milliseconds, pause, mib * _MIB)


def test_places_count_utf_16_units() -> None:
    assert Place.at("a\né😀b", 4) == Place(1, 3)
    assert Place.at("a\n", 2) == Place(1, 0)


def test_files_have_the_sizes_and_markers_that_are_asked_for() -> None:
    small, middle, large = sized_files(300_000)
    assert 60 <= small.lines <= 120
    assert middle.lines == 2000
    assert 299_000 < len(large.text) <= 300_000
    for file in (small, middle, large):
        assert holes(file.text) > 0
    assert small.uri.endswith("/small.py")


def test_every_so_many_assignments_are_marked() -> None:
    text = "def f():\n" + "".join(f"    x = {number}\n" for number in range(5))
    assert with_markers(text, 2) == "def f():\n    x = ___\n    x = 1\n    x = ___\n    x = 3\n    x = ___\n"


def test_cursors_stand_at_markers_and_at_written_places_in_turn() -> None:
    file = OpenFile("x", "\n\nx = ___\n\n\ny = 1\n")
    found = places(file, 20, random.Random(0))
    assert set(found[::2]) == {Place(2, 4)}
    assert {place.line for place in found[1::2]} == {2, 5}


@pytest.mark.parametrize("missing", [1, 3])
def test_lines_are_missing_where_markers_count(missing: int) -> None:
    files = with_missing_lines(5, missing, random.Random(1))
    assert len({file.uri for file in files}) == 5
    for file in files:
        assert holes(file.text) == missing
        line = file.text.split("\n")[file.marker.line]
        assert line.strip() == MARKER and line.index(MARKER) == file.marker.character


def test_percentiles_are_of_the_first_measurement() -> None:
    samples = np.stack([np.arange(101.0), np.zeros(101)], axis=-1)
    assert percentile(95)(samples) == 95
    row = summarise("x", [*map(float, range(101))], "< 1")
    assert (row.count, row.median.value, row.p95.value, row.worst, row.target) == (101, 50, 95, 100, "< 1")


def test_memory_grows_from_the_first_hundred_keystrokes_to_the_last() -> None:
    session = Session(tuple(event("cache", 1, mib=100 + number // 100) for number in range(500)), 60, 90 * _MIB, 95 * _MIB)
    used = memory(session)
    assert (used.before, used.median, used.most, used.after, used.growth) == (90, 102, 104, 95, 4)
    short = Session(tuple(event("cache", 1, mib=mib) for mib in (10, 10, 20, 30)), 1, 0, 0)
    assert memory(short).growth == 15


def test_overtaken_requests_count_as_such_and_not_as_answers() -> None:
    events = (event("cache", 2), event("computed", 100, pause=2), event("overtaken", 5000), event("nothing", 300, pause=math.inf))
    times = (1.0, 2.0)
    measured = Measured(
        started=(Started(100, None, 200), Started(110, None, 210)),
        listed={OpenFile("x", "a\n" * 7): Listed(times, times)},
        fills=(None, 300.0),
        stopped=Stopped(times, times, times, 0),
        passes=Passes((30.0,), (10.0, 20.0, 12.0)),
        session=Session(events, 1, 0, 0),
    )
    table = {row.figure: row for row in rows(measured)}
    assert table["keystroke to answer for the cursor"].count == 3
    assert table["keystroke to answer for the cursor"].worst == 300
    assert table["the same, before a pause of 0.5 s"].count == 2
    assert table["cancel of a fill, to its answer"].target == "<= 62, a pass + 50"
    assert "code actions listed, 7 lines" in table
    assert table["fill, from picking it to the edit"].count == 1
    assert "fill, from picking it to the edit, model loading at first" not in table
    shares = {name: (number, share) for name, number, share, *_ in outcome_rows(events)}
    assert shares["overtaken by the next keystroke"] == ("1", "25.0")
    assert shares["computed, but too unlikely to be shown"] == ("0", "0.0")


def test_passes_are_told_apart_from_the_first_one(infiller: LocalInfiller) -> None:
    found = passes(infiller, with_missing_lines(1, 2, random.Random(0)))
    assert len(found.first) == 1 and len(found.later) == 39
    assert found.first[0] > np.median(found.later) > 0


async def test_a_server_that_ends_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "lacuna-lsp"
    silent.write_text(f"#!{sys.executable}\n")
    silent.chmod(0o755)
    monkeypatch.setattr(editor_client, "SERVER", silent)
    async with lacuna_lsp(None) as client:
        with pytest.raises(LacunaError, match="ended with a request unanswered"):
            await client.ask("initialize", {}).answered()
        with pytest.raises(LacunaError, match="ended before it sent lacuna/status"):
            await client.until("lacuna/status")
    monkeypatch.setattr(editor_client, "SERVER", tmp_path / "nowhere")
    with pytest.raises(LacunaError, match="install this project"):
        async with lacuna_lsp(None):
            pass


async def test_a_silent_server_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editor_client, "PATIENCE", 0.2)
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL)
    try:
        with pytest.raises(LacunaError, match="unanswered"):
            await EditorClient(process, 0).ask("initialize", {}).answered()
    finally:
        process.kill()
        await process.wait()


async def test_a_server_that_left_a_traceback_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "lacuna-lsp"
    broken.write_text(f"#!{sys.executable}\nraise ValueError('spilled')\n")
    broken.chmod(0o755)
    monkeypatch.setattr(editor_client, "SERVER", broken)
    with pytest.raises(LacunaError, match="broke: ValueError: spilled"):
        async with lacuna_lsp(None) as client:
            await client.process.wait()


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(LacunaError, match="at least 1"):
        main(["--cancels", "0"])
