"""How soon `lacuna-lsp` answers what an editor asks of it: one function a kind of request."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import report
from benchmarks.editor_client import CANCELLED, EditorClient, Place, lacuna_lsp
from benchmarks.editor_files import HoledFile, OpenFile, places
from engine.errors import Cancelled, LacunaError
from engine.infiller import Infiller
from engine.local import LocalInfiller
from engine.options import FillOptions
from engine.prompt_cache import PromptCache
from engine.results import Progress
from lsp_server.buffer import Buffer
from lsp_server.filling import fill_holes
from lsp_server.holes import find_markers
from lsp_server.syntax import parse

# A model this hot seldom ends a fill by itself: there is time to stop it.
HOT = FillOptions(count=16, temperature=10)
_HOT_TOKENS = 100
_HOT_SETTINGS = {"temperature": HOT.temperature, "alternatives": HOT.count, "maxTokens": _HOT_TOKENS}
# Seconds after its begin within which a fill is stopped.
STOPPED_WITHIN = 1.0
_PASSES_A_FILL = 40
_NAME = re.compile(r"(?<=[ (])[a-z_]{3,}(?=[,.()\[\] ])")


@dataclass(frozen=True)
class Started:
    """One process from its start to its end, in milliseconds: to `initialize`, of the first fill (None: it gave no edit), and from
    `shutdown`, sent while another fill ran, to the end."""

    initialize: float
    first_fill: float | None
    leave: float


@dataclass(frozen=True)
class Listed:
    """Milliseconds of each listing of code actions: at rest, and from a keystroke to the list asked for right behind it."""

    at_rest: tuple[float, ...]
    typed: tuple[float, ...]


@dataclass(frozen=True)
class Stopped:
    """Milliseconds from each cancel to its answer, and of a hover right after it and of another by itself. `too_late`: fills that
    were over by then."""

    cancels: tuple[float, ...]
    hovers_after: tuple[float, ...]
    hovers: tuple[float, ...]
    too_late: int


@dataclass(frozen=True)
class Passes:
    """Milliseconds between two moments at which a fill looks whether it should stop: from its begin to the end of the prompt's pass and
    the first pass behind it, and from one later pass to the next."""

    first: tuple[float, ...]
    later: tuple[float, ...]


async def from_start_to_end(model: Path | None, one: HoledFile, several: HoledFile, stop_after: float) -> Started:
    """One fresh process, which fills the hole of `one`, and is told to leave `stop_after` seconds after the fill of `several` began."""
    async with lacuna_lsp(model) as client:
        initialized = await client.initialize()
        client.open(one.uri, one.text)
        first = await fill(client, one)
        client.configure(_HOT_SETTINGS)
        client.open(several.uri, several.text)
        client.ask("codeAction/resolve", await client.action(several.uri, several.marker, "Fill all"))
        await asyncio.sleep(stop_after)
        return Started(initialized, first, await client.leave())


async def fill(client: EditorClient, file: HoledFile) -> float | None:
    """Milliseconds from picking an open file's one hole to the edit; None where no fill was good enough to show."""
    asked = client.ask("codeAction/resolve", await client.action(file.uri, file.marker, "Fill this hole"))
    answer = await asked.answered()
    return None if answer.error is not None else (answer.at - asked.at) * 1000


async def fills(client: EditorClient, files: Sequence[HoledFile]) -> list[float | None]:
    """`fill` in each of some files, each opened first. The server is ready."""
    found = []
    for number, file in enumerate(files):
        report.progress(f"fill {number + 1} of {len(files)}")
        client.open(file.uri, file.text)
        found.append(await fill(client, file))
        client.close(file.uri)
    return found


async def listings(client: EditorClient, file: OpenFile, count: int, rng: random.Random) -> Listed:
    """List the code actions at `count` places of a file. Raises LacunaError where the model was at work for it; the server is ready."""
    client.open(file.uri, file.text)
    at_rest, typed, heard = [], [], len(client.heard)
    for number, place in enumerate(places(file, count, rng)):
        report.progress(f"listing {number + 1} of {count}, {file.name}")
        await client.list_actions(file.uri, Place(0, 0)).answered()  # by then the server is at rest
        at_rest.append(await client.list_actions(file.uri, place).milliseconds())
        at = client.change(file.uri, 2 * number + 2, place, place, "x")
        asked = client.list_actions(file.uri, place)
        typed.append((asked.at - at) * 1000 + await asked.milliseconds())
        client.change(file.uri, 2 * number + 3, place, Place(place.line, place.character + 1), "")
    if any(method == "lacuna/status" and params["state"] == "working" for _, method, params in client.heard[heard:]):
        raise LacunaError("the model was at work while code actions were listed")
    client.close(file.uri)
    return Listed(tuple(at_rest), tuple(typed))


async def cancels(client: EditorClient, files: Sequence[HoledFile], rng: random.Random) -> Stopped:
    """Cancel the fill of each file's holes at a random moment, and hover as soon as that is answered: a hover needs the model."""
    stopped, after, alone = [], [], []
    client.configure(_HOT_SETTINGS)
    for number, file in enumerate(files):
        report.progress(f"cancel {number + 1} of {len(files)}")
        client.open(file.uri, file.text)
        first, second = rng.sample([found.start() for found in _NAME.finditer(file.text)], 2)
        asked = client.ask("codeAction/resolve", await client.action(file.uri, file.marker, "Fill all"))
        await asyncio.sleep(rng.uniform(0, STOPPED_WITHIN))
        at = client.cancel(asked)
        answer = await asked.answered()
        if answer.error == CANCELLED:
            stopped.append((answer.at - at) * 1000)
            after.append(await client.hover(file.uri, Place.at(file.text, first)).milliseconds())
            alone.append(await client.hover(file.uri, Place.at(file.text, second)).milliseconds())
        client.close(file.uri)
    return Stopped(tuple(stopped), tuple(after), tuple(alone), len(files) - len(stopped))


def passes(infiller: LocalInfiller, files: Sequence[HoledFile]) -> Passes:
    """What `cancels` may have to wait for: the passes of the same fills, in this process."""
    first, later = [], []
    for number, file in enumerate(files):
        report.progress(f"passes {number + 1} of {len(files)}")
        infiller.prompts = PromptCache()
        moments = [time.perf_counter(), *_moments(infiller, file)]
        gaps = [(end - begin) * 1000 for begin, end in pairwise(moments)]
        first.append(gaps[0])
        later += gaps[1:]
    return Passes(tuple(first), tuple(later))


def _moments(infiller: Infiller, file: HoledFile) -> list[float]:
    """When each of a fill's first passes was over."""
    buffer = Buffer(file.text.encode(), file.name)
    tree = parse(buffer.source, "python")
    moments: list[float] = []

    def on_pass(progress: Progress) -> None:
        moments.append(time.perf_counter())
        if len(moments) == _PASSES_A_FILL:
            raise Cancelled

    with suppress(Cancelled):
        fill_holes(buffer, tree, find_markers(buffer, tree, max_tokens=_HOT_TOKENS), infiller, HOT, on_pass)
    return moments
