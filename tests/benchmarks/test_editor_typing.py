"""The typing session: what is recorded, how it is typed, and what is made of the server's answers."""

from __future__ import annotations

import random

import pytest

from benchmarks.editor_client import CANCELLED, lacuna_lsp
from benchmarks.editor_typing import Recording, Stroke, Typist, outcome_of, record, replay, words_on
from engine.errors import LacunaError

PLAIN = Stroke(0.1)
TAKES = Stroke(0.1, takes=True)


def typist(typed: str, before: str = "", after: str = "") -> Typist:
    return Typist(Recording(before, typed, after, ()))


def test_a_session_is_the_same_each_time_and_of_a_real_file() -> None:
    recording = record(500, 3)
    assert recording == record(500, 3)
    assert recording != record(500, 4)
    assert len(recording.strokes) == 500
    assert len(recording.typed) >= 1500 and len(recording.before) >= 1500 and len(recording.after) > 1000
    assert recording.after.startswith("\n")
    pauses = [stroke.pause for stroke in recording.strokes]
    assert min(pauses) > 0 and max(pauses) <= 4.0
    assert 0.1 < sorted(pauses)[250] < 0.3
    assert sum(stroke.wrong is not None for stroke in recording.strokes) > 5
    assert 150 < sum(stroke.takes for stroke in recording.strokes) < 350


def test_impossible_sessions_are_refused() -> None:
    with pytest.raises(LacunaError, match="at least 1"):
        record(0, 0)
    with pytest.raises(LacunaError, match="ask for fewer"):
        record(100_000, 0)


def test_a_line_end_brings_the_indentation() -> None:
    hands = typist("a:\n\n    b", "x", "y")
    kinds = [(edit.kind, edit.text) for edit in (hands.strike(PLAIN, "") for _ in range(4))]
    assert kinds == [("character", "a"), ("character", ":"), ("line end", "\n\n    "), ("character", "b")]
    assert hands.text == "xa:\n\n    by" and hands.is_done


def test_a_wrong_letter_is_taken_back() -> None:
    hands = typist("(ab")
    # Only letters go wrong.
    assert hands.strike(Stroke(0.1, wrong="q"), "").text == "("
    assert hands.strike(Stroke(0.1, wrong="q"), "").text == "q"
    assert (hands.text, hands.cursor) == ("(q", 2)
    back = hands.strike(Stroke(0.1, wrong="z", takes=True), "ab")
    assert (back.kind, back.start, back.end, back.text) == ("backspace", 1, 2, "")
    assert (hands.text, hands.cursor) == ("(", 1)


@pytest.mark.parametrize(
    ("stroke", "shown", "taken"),
    [
        (TAKES, "pha(beta)", "pha(beta)"),
        (TAKES, "pha(gamma)", "pha("),
        (TAKES, "pha(be", "pha("),
        (TAKES, "ph", ""),
        (TAKES, "xy", ""),
        (TAKES, "", ""),
        (PLAIN, "pha", ""),
    ],
)
def test_only_words_that_were_about_to_be_typed_are_taken(stroke: Stroke, shown: str, taken: str) -> None:
    hands = typist("alpha(beta)")
    hands.strike(PLAIN, "")
    hands.strike(PLAIN, "")
    edit = hands.strike(stroke, shown)
    assert edit.text == (taken or "p")
    assert (edit.kind == "accept") is bool(taken)


def test_whatever_is_shown_the_text_comes_out_as_it_was() -> None:
    recording = record(40, 1)
    rng = random.Random(0)
    hands = Typist(recording)
    while not hands.is_done:
        left = recording.typed[hands.cursor - len(recording.before) :]
        shown = rng.choice(["", left[: rng.randint(1, 9)], "else"])
        before, stroke = hands.text, rng.choice(recording.strokes)
        edit = hands.strike(stroke, shown)
        assert hands.text == before[: edit.start] + edit.text + before[edit.end :]
        assert hands.cursor == edit.start + len(edit.text)
    assert hands.text == recording.before + recording.typed + recording.after


def test_the_log_tells_what_came_of_each_version() -> None:
    log = [
        "begin request=r4 feature=textDocument/inlineCompletion document=file:///a.py version=7",
        "begin request=r5 feature=textDocument/inlineCompletion document=file:///b.py version=8",
        "begin request=r6 feature=textDocument/hover document=file:///a.py version=9",
        "inline: from the cache request=r4",
        "inline: dropped, too late request=r5",
        "inline: nothing request=r6",
        "loading the model",
    ]
    assert words_on("file:///a.py", log) == {7: "from the cache request=r4"}


def test_outcomes_go_by_answer_and_log() -> None:
    assert outcome_of(CANCELLED, "") == "overtaken"
    assert outcome_of(None, "dropped, the document changed meanwhile request=r1") == "overtaken"
    assert outcome_of(None, "from the cache request=r1") == "cache"
    assert outcome_of(None, "suppressed, mean token probability 0.12 < 0.3; 4 passes") == "suppressed"
    assert outcome_of(None, "12 tokens, mean token probability 0.51; 4 passes") == "computed"
    assert outcome_of(None, "nothing, it repeats the line that follows it") == "nothing"
    with pytest.raises(LacunaError, match="-32603"):
        outcome_of(-32603, "")


async def test_a_fast_typist_overtakes_the_server_and_a_slow_one_is_answered() -> None:
    before = "def total(items):\n    return sum(items)\n\n\ndef mean(items):\n"
    strokes = (*[Stroke(0.0)] * 11, Stroke(0.4), Stroke(0.4))
    async with lacuna_lsp(None) as client:
        await client.initialize()
        session = await replay(client, Recording(before, "    return total(items)", "\n", strokes))
        await client.leave()
    outcomes = [event.outcome for event in session.events]
    assert outcomes[:10] == ["overtaken"] * 10
    assert "overtaken" not in outcomes[-2:]
    assert len(outcomes) == 13 and 0.5 < session.seconds < 60
    assert all(event.milliseconds > 0 for event in session.events)
    assert 20 << 20 < session.before <= session.after + (64 << 20)
