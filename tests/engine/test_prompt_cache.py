"""A prompt that is partly there already leaves the same context as one that is run whole, whatever was typed before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.decoders.base import prefill
from engine.decoders.sequential import sequential
from engine.errors import Cancelled, ModelError
from engine.infiller import ignore_progress
from engine.local import LocalInfiller
from engine.model import Rows
from engine.options import FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.results import Progress
from engine.sampling import Sampler
from engine.scoring import conditionals
from engine.sequence import MaskedSequence, SpecialIds, mask, typing_step
from tests.engine.oracle import Oracle, OracleState, Tampered

MARKS = SpecialIds(pad=0, bos=0, sof=0, eof=1, eoh=2)
BUDGETS = (2, 3, 4)
EDITS = ("type", "delete", "paste", "left", "right", "undo", "switch", "budget", "second hole")


@dataclass(frozen=True)
class Text:
    """A buffer of letters 'a' and 'b', the cursor in it, where the hole is, and perhaps a second hole at its end."""

    letters: str
    cursor: int
    budget: int = BUDGETS[0]
    two: bool = False

    def edited(self, edit: str, letter: str) -> Text:
        before, after = self.letters[: self.cursor], self.letters[self.cursor :]
        match edit:
            case "type":
                return replace(self, letters=before + letter + after, cursor=self.cursor + 1)
            case "paste":
                return replace(self, letters=before + 3 * letter + after, cursor=self.cursor + 3)
            case "delete":
                return replace(self, letters=before[:-1] + after, cursor=max(0, self.cursor - 1))
            case "left":
                return replace(self, cursor=max(0, self.cursor - 1))
            case "right":
                return replace(self, cursor=min(len(self.letters), self.cursor + 1))
            case "budget":
                return replace(self, budget=BUDGETS[(BUDGETS.index(self.budget) + 1) % len(BUDGETS)])
            case "second hole":
                return replace(self, two=not self.two)
        raise AssertionError(edit)

    @property
    def pieces(self) -> tuple[str, ...]:
        return self.letters[: self.cursor], self.letters[self.cursor :], *([""] if self.two else [])

    @property
    def budgets(self) -> tuple[int, ...]:
        return (self.budget, 2) if self.two else (self.budget,)


def requests(start: tuple[Text, Text], script: list[tuple[str, str]], most: int) -> list[Text]:
    """What is asked for after each edit of one of two buffers, that grow to at most `most` letters."""
    histories = [[text] for text in start]
    here, asked = 0, [start[0]]
    for edit, letter in script:
        history = histories[here]
        if edit == "switch":
            here = 1 - here
        elif edit == "undo":
            del history[max(1, len(history) - 1) :]
        else:
            edited = history[-1].edited(edit, letter)
            if len(edited.letters) <= most:
                history.append(edited)
        asked.append(histories[here][-1])
    return asked


scripts = st.lists(st.tuples(st.sampled_from(EDITS), st.sampled_from("ab")), min_size=1, max_size=16)


def oracle_sequence(text: Text, order: str) -> MaskedSequence:
    pieces = [[" ab".index(letter) - 1 for letter in piece] for piece in text.pieces]
    step = 2 if order == "suffix-first" else 1
    return mask(pieces, text.budgets, MARKS, at_start=False, at_end=True, order=order, step=step)


@settings(max_examples=60)
@given(scripts, st.sampled_from(["suffix-first", "prefix-first"]), st.integers(0, 3000))
def test_the_oracle_s_contexts_are_the_same_after_any_edits(script: list[tuple[str, str]], order: str, most_bytes: int) -> None:
    oracle = Oracle(seed=1, length=22, vocabulary=3)
    cache = PromptCache(most_bytes)
    for text in requests((Text("abab", 2), Text("bbaab", 4)), script, most=8):
        sequence = oracle_sequence(text, order)
        cached, fresh = prefill(oracle, sequence, 3, cache), prefill(oracle, sequence, 3)
        assert isinstance(cached.state, OracleState) and isinstance(fresh.state, OracleState)
        assert cached.state.contexts == fresh.state.contexts
        np.testing.assert_array_equal(cached.logits, fresh.logits)
        assert 0 <= cached.reused_rows < len(sequence.ids) and fresh.reused_rows == 0
        assert cache.nbytes <= most_bytes
        # What a decoder does with the context leaves the cached one as it is.
        sequential(cached, 2, Sampler(), 1, np.random.default_rng(0), ignore_progress)


LETTERS = {"a": "total += value\n", "b": "    return [item for item in items]\n"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts)
def test_the_model_s_logits_are_the_same_after_any_edits(infiller: LocalInfiller, script: list[tuple[str, str]]) -> None:
    cache = PromptCache()
    for text in requests((Text("abab", 2), Text("bbaab", 4)), script, most=8):
        # Half a line stands before the hole, so that its last token changes with what is typed.
        pieces = ["".join(LETTERS[letter] for letter in piece) for piece in text.pieces]
        passage = Passage((pieces[0] + 3 * text.letters[: text.cursor][-1:], *pieces[1:]), tuple(8 * each for each in text.budgets))
        sequence = infiller.sequence(passage)
        cached, fresh = prefill(infiller.model, sequence, 4, cache), prefill(infiller.model, sequence, 4)
        np.testing.assert_allclose(cached.logits, fresh.logits, atol=1e-4, rtol=0)
        fills = [[10, 11, infiller.model.eoh] for _ in text.budgets]
        again = conditionals(infiller.model, sequence, fills, cache)
        np.testing.assert_allclose(again, conditionals(infiller.model, sequence, fills), atol=1e-4, rtol=0)


def passage_before(typed: str, after: str = ")\n    return total\n", budget: int = 32) -> Passage:
    return Passage(("def total(values):\n    total = 0\n    for value in values:\n        total += " + typed, after), (budget,))


@pytest.fixture
def fresh(infiller: LocalInfiller, monkeypatch: pytest.MonkeyPatch) -> LocalInfiller:
    monkeypatch.setattr(infiller, "prompts", PromptCache())
    return infiller


GREEDY = FillOptions(temperature=0)


def test_a_typed_character_runs_a_few_rows(fresh: LocalInfiller) -> None:
    first = fresh.fill(passage_before("int(val"), GREEDY)
    assert first.reused_rows == 0 and first.prompt_rows == len(fresh.sequence(passage_before("int(val")).ids)
    second = fresh.fill(passage_before("int(valu"), GREEDY)
    assert second.prompt_rows <= 3 and second.reused_rows + second.prompt_rows == len(fresh.sequence(passage_before("int(valu")).ids)
    # An undone character, too.
    assert fresh.fill(passage_before("int(val"), GREEDY).prompt_rows <= 3


def test_an_unchanged_prompt_runs_one_row_however_it_is_asked(fresh: LocalInfiller) -> None:
    passage = passage_before("int(value")
    scored = fresh.score(passage, ["[0]"])
    again = fresh.fill(passage, GREEDY)
    assert again.prompt_rows == 1
    assert fresh.score(passage, ["[0]"]).logprob == pytest.approx(scored.logprob, abs=1e-4)


def test_two_buffers_in_turns_keep_their_prompts(fresh: LocalInfiller) -> None:
    other = "\n\nclass Other:\n" + "    name = 'other'\n" * 12
    for typed in ("", "i", "in", "int"):
        here, there = (fresh.fill(passage_before(typed, after), GREEDY) for after in (")\n" + "# first\n" * 40, other))
        if typed:
            assert max(here.prompt_rows, there.prompt_rows) <= 3


def test_what_follows_the_hole_is_run_again_where_it_changed(fresh: LocalInfiller) -> None:
    fresh.fill(passage_before("int(", ")\n    return total\n"), GREEDY)
    changed = fresh.fill(passage_before("int(", "))\n    return total\n"), GREEDY)
    assert changed.reused_rows <= 1


class Failing:
    """A model whose passes fail as long as `broken`."""

    def __init__(self, oracle: Oracle) -> None:
        self.broken = False
        self.model = Tampered(oracle, self.run)

    def run(self, rows: Rows) -> Rows:
        if self.broken:
            raise ModelError("broken")
        return rows


def test_a_prefill_that_fails_leaves_no_half_a_prompt_behind() -> None:
    failing, cache = Failing(Oracle(seed=2, length=22, vocabulary=3)), PromptCache()
    text = Text("aabab", 3, budget=4)
    before, after = (oracle_sequence(each, "suffix-first") for each in (text, text.edited("delete", "")))
    prefill(failing.model, before, 2, cache)
    failing.broken = True
    with pytest.raises(ModelError):
        prefill(failing.model, after, 2, cache)
    failing.broken = False
    for sequence in (before, after):
        again = prefill(failing.model, sequence, 2, cache)
        np.testing.assert_array_equal(again.logits, prefill(failing.model, sequence, 2).logits)
        assert again.reused_rows > 1


def test_a_cancelled_fill_leaves_a_whole_prompt_behind(fresh: LocalInfiller) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fresh.fill(passage_before("int("), GREEDY, stop)
    after = fresh.fill(passage_before("int("), GREEDY)
    assert after.prompt_rows == 1
    fresh.prompts = PromptCache()
    assert fresh.fill(passage_before("int("), GREEDY).suggestions[0].fills[0].tokens == after.suggestions[0].fills[0].tokens


def test_what_was_not_used_for_longest_goes_first(infiller: LocalInfiller) -> None:
    def rows_run(cache: PromptCache, name: str) -> int:
        sequence = infiller.sequence(Passage((f"x = {name}", f"\n# {name}" + " and so on" * 40), (4,)))
        return len(sequence.ids) - prefill(infiller.model, sequence, 2, cache).reused_rows

    measure = PromptCache()
    whole = rows_run(measure, "first")
    cache = PromptCache(2 * measure.nbytes)
    for name in ("first", "second", "first", "third"):
        rows_run(cache, name)
        assert cache.nbytes <= cache.most_bytes
    assert rows_run(cache, "first") == 1
    assert rows_run(cache, "second") > whole // 2


def test_a_prompt_larger_than_the_whole_cache_is_not_kept(infiller: LocalInfiller) -> None:
    cache = PromptCache(1000)
    sequence = infiller.sequence(passage_before("int("))
    prefill(infiller.model, sequence, 2, cache)
    assert cache.nbytes == 0
    assert prefill(infiller.model, sequence, 2, cache).reused_rows == 0


def test_what_follows_a_hole_of_known_length_stands_right_behind_it(infiller: LocalInfiller) -> None:
    passage = Passage(("x = ", "\n"), (5,), fixed_lengths=(True,))
    sequence = infiller.sequence(passage)
    assert sequence.positions[1] == sequence.slots[0][-1] + 1


def test_positions_stay_among_those_the_model_knows(infiller: LocalInfiller, monkeypatch: pytest.MonkeyPatch) -> None:
    passage = Passage(("x = 1\n" * 20, "\ny = 2\n" * 20), (32,))
    stepped = infiller.sequence(passage)
    assert stepped.positions[1] % typing_step(32) == 0
    longest = int(stepped.positions.max())
    monkeypatch.setattr(infiller, "manifest", replace(infiller.manifest, longest_position=longest, window=longest))
    tight = infiller.sequence(passage)
    assert tight.positions.max() < longest and tight.positions[1] == tight.slots[0][-1] + 1
