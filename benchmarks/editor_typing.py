"""A recorded typing session, and its replay in an editor: each keystroke is a change of the document and a request for inline completion.

The recording holds what a person decided without looking at the screen: what is typed where, the pause before each keystroke, which of
them go wrong and are taken back. One thing hangs on what the server shows: at the keystrokes so marked a proposal that stood there long
enough to be read is taken, as far as its words are what was about to be typed, if that is two characters at least. Line ends come
with the next line's indentation, as editors write it.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.editor_client import CANCELLED, Asked, EditorClient, Place
from benchmarks.editor_files import own_texts
from engine.errors import LacunaError
from lsp_server.holes import MARKER

# Seconds before a keystroke, medians of log-normal distributions: within a word, after a word or sign, after a line end, after a mistake
# that has to be seen first. In all some 200 characters a minute.
_MEDIANS = {"inside": 0.13, "between": 0.22, "line": 0.7, "mistake": 0.35}
_SPREAD = 0.55  # of the pauses' logarithm
_LONGEST = 4.0
_MISTAKES, _TAKEN = 0.04, 0.5
_SECONDS_TO_READ = 0.15
_FEWEST_CHARACTERS = 2
# How much text there is for a keystroke, lest a session with many taken proposals run out of it.
_CHARACTERS_A_STROKE = 3
_URI = "file:///benchmark/typed.py"
_AUTOMATIC = 2

Kind = Literal["character", "line end", "backspace", "accept"]
Outcome = Literal["cache", "computed", "suppressed", "nothing", "overtaken"]
OUTCOMES: dict[Outcome, str] = {
    "cache": "shown, from the cache",
    "computed": "shown, computed",
    "suppressed": "computed, but too unlikely to be shown",
    "nothing": "nothing to show",
    "overtaken": "overtaken by the next keystroke",
}


@dataclass(frozen=True)
class Stroke:
    """One keystroke as it was recorded: the `pause` before it in seconds, the wrong letter that it types (None: the right one), and
    whether a proposal would be taken instead."""

    pause: float
    wrong: str | None = None
    takes: bool = False


@dataclass(frozen=True)
class Recording:
    """A session: `typed` is written, from its start, between `before` and `after`."""

    before: str
    typed: str
    after: str
    strokes: tuple[Stroke, ...]


@dataclass(frozen=True)
class Edit:
    """What a keystroke does to the text: characters `start` to `end` are replaced."""

    kind: Kind
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Event:
    """One keystroke as it went. `outcome` is what became of its request, and `milliseconds` the time to the answer; `pause` is the
    time to the next keystroke (infinite for the last), `resident` the server's memory then, in bytes."""

    kind: Kind
    outcome: Outcome
    milliseconds: float
    pause: float
    resident: int


@dataclass(frozen=True)
class Session:
    """A session as it went, in how many seconds, and the server's memory in bytes before it and after it."""

    events: tuple[Event, ...]
    seconds: float
    before: int
    after: int


class Typist:
    """Types a recording into a text, and knows where it is."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._done = 0
        self._wrong = False
        self.text = recording.before + recording.after

    @property
    def cursor(self) -> int:
        return len(self._recording.before) + self._done + self._wrong

    @property
    def is_done(self) -> bool:
        return self._done == len(self._recording.typed)

    def strike(self, stroke: Stroke, shown: str) -> Edit:
        """The edit of the next keystroke, with `shown` at the cursor ("" for nothing), made in `text`."""
        edit = self._next(stroke, shown)
        self.text = self.text[: edit.start] + edit.text + self.text[edit.end :]
        return edit

    def _next(self, stroke: Stroke, shown: str) -> Edit:
        at, left = self.cursor, self._recording.typed[self._done :]
        if self._wrong:
            self._wrong = False
            return Edit("backspace", at - 1, at, "")
        if stroke.takes and len(taken := right_words(shown, left)) >= _FEWEST_CHARACTERS:
            self._done += len(taken)
            return Edit("accept", at, at, taken)
        if stroke.wrong and left[0].isalpha():
            self._wrong = True
            return Edit("character", at, at, stroke.wrong)
        text = _key(left)
        self._done += len(text)
        return Edit("line end" if text[0] == "\n" else "character", at, at, text)


def right_words(shown: str, left: str) -> str:
    """The beginning of a proposal that is what is `left` to type: whole words and signs."""
    ends = [found.end() for found in re.finditer(r"\s*(?:\w+|[^\w\s])", shown)]
    fit = [end for end in ends if left.startswith(shown[:end]) and not (shown[end - 1].isalnum() and left[end : end + 1].isalnum())]
    return shown[: max(fit, default=0)]


def _key(left: str) -> str:
    """What the next key writes: a character, or a line end with the indentation behind it."""
    found = re.match(r"\n+[ \t]*", left)
    return found[0] if found else left[0]


def record(strokes: int, seed: int) -> Recording:
    """A session in the middle of one of this project's files. Raises LacunaError for a number below 1, or one for which no file is long
    enough."""
    if strokes < 1:
        raise LacunaError(f"the number of keystrokes must be at least 1, not {strokes}")
    rng, length = random.Random(f"typing {seed}"), _CHARACTERS_A_STROKE * strokes
    fitting = [text for text in own_texts() if len(text) >= 3 * length and MARKER not in text]
    if not fitting:
        raise LacunaError(f"no file of this project is long enough for {strokes} keystrokes; ask for fewer")
    text = rng.choice(fitting)
    starts = [found.end() for found in re.finditer(r"\n(?=\S)", text) if length <= found.end() <= len(text) - length]
    start = rng.choice(starts or [text.index("\n", length) + 1])
    end = text.index("\n", start + length)
    return replace(Recording(text[:start], text[start:end], text[end:], ()), strokes=tuple(_strokes(text[start:end], strokes, rng)))


def _strokes(typed: str, count: int, rng: random.Random) -> list[Stroke]:
    """The keystrokes, with the pauses that suit the text if no proposal is taken."""
    found: list[Stroke] = []
    at, previous, wrong = 0, "\n", None
    for _ in range(count):
        rest = typed[at % len(typed) :]
        kind = "mistake" if wrong else "line" if previous == "\n" else "inside" if previous.isalnum() and rest[0].isalnum() else "between"
        pause = min(_LONGEST, _MEDIANS[kind] * math.exp(_SPREAD * rng.gauss(0, 1)))
        wrong = rng.choice("etaoinshr") if not wrong and rest[0].isalpha() and rng.random() < _MISTAKES else None
        found.append(Stroke(pause, wrong, rng.random() < _TAKEN))
        if wrong is None and kind != "mistake":
            key = _key(rest)
            at, previous = at + len(key), key[0]
    return found


async def replay(client: EditorClient, recording: Recording) -> Session:
    """Type the recording into a fresh document of a fresh server. Each request cancels the one before, if that is still open."""
    typist = Typist(recording)
    client.open(_URI, typist.text)
    await client.ready()
    memory_before = client.resident()
    struck: list[_Struck] = []
    next_at = began = time.perf_counter()
    for number, stroke in enumerate(recording.strokes):
        if typist.is_done:
            break
        next_at += stroke.pause
        await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
        before, edit = typist.text, typist.strike(stroke, _shown(struck[-1].request) if struck else "")
        if struck and not struck[-1].request.answer.done():
            client.cancel(struck[-1].request)
        at = client.change(_URI, number + 2, Place.at(before, edit.start), Place.at(before, edit.end), edit.text)
        place = {"textDocument": {"uri": _URI}, "position": Place.at(typist.text, typist.cursor).as_json()}
        request = client.ask("textDocument/inlineCompletion", {**place, "context": {"triggerKind": _AUTOMATIC}})
        struck.append(_Struck(edit.kind, at, request, client.resident()))
    answers = [await each.request.answered() for each in struck]
    seconds, memory_after = time.perf_counter() - began, client.resident()
    said = words_on(_URI, [params["message"] for _, method, params in client.heard if method == "window/logMessage"])
    ends = [each.at for each in struck[1:]] + [math.inf]
    events = (
        Event(each.kind, outcome_of(answer.error, said.get(number, "")), (answer.at - each.at) * 1000, end - each.at, each.resident)
        for number, (each, answer, end) in enumerate(zip(struck, answers, ends, strict=True), 2)
    )
    return Session(tuple(events), seconds, memory_before, memory_after)


@dataclass(frozen=True)
class _Struck:
    """A keystroke whose answer may still be to come."""

    kind: Kind
    at: float
    request: Asked
    resident: int


def _shown(request: Asked) -> str:
    """What stands at the cursor for long enough to be read, behind a request that is the newest; "" for nothing."""
    if not request.answer.done() or time.perf_counter() - request.answer.result().at < _SECONDS_TO_READ:
        return ""
    items = request.answer.result().result or []
    return str(items[0]["insertText"]) if items else ""


def words_on(uri: str, log: Sequence[str]) -> dict[int, str]:
    """What the server's log has to say of the request for inline completion at each version of a document."""
    requests: dict[str, int] = {}
    said: dict[int, str] = {}
    for message in log:
        number = re.search(r" request=(r\d+)", message)
        if number is None:
            continue
        begin = re.match(r"begin .*feature=textDocument/inlineCompletion ", message)
        version = re.search(r" version=(\d+)", message)
        if begin and version and f"document={uri} " in message:
            requests[number[1]] = int(version[1])
        elif message.startswith("inline: ") and number[1] in requests:
            said[requests[number[1]]] = message.removeprefix("inline: ")
    return said


def outcome_of(error: int | None, said: str) -> Outcome:
    """What became of a request, by its answer and by the server's word on it."""
    if error == CANCELLED or said.startswith("dropped, "):
        return "overtaken"
    if error is not None:
        raise LacunaError(f"lacuna-lsp answered a request for inline completion with the error {error}")
    if said.startswith("from the cache"):
        return "cache"
    if said.startswith("suppressed, "):
        return "suppressed"
    return "computed" if re.match(r"\d+ tokens, ", said) else "nothing"
