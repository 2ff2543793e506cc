"""What the engine makes of a model of this kind: prompts that see all of themselves, holes whose lengths it has to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import PassageError
from engine.lengths import candidate_lengths, likeliest_lengths
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions
from engine.passage import Passage, Wording
from engine.prompt_cache import PromptCache
from engine.results import FillResult, Progress
from engine.scoring import conditionals
from export.xlnet import export_xlnet
from tests.export.xlnet_folder import random_model, train_pieces, write_folder

PASSAGE = Passage(("def area(width, height):\n    return ", "\n"), (6,))
GREEDY = FillOptions(temperature=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("xlnet")
    train_pieces(root / "spiece.model")
    export_xlnet(write_folder(root / "theirs", random_model(7), root / "spiece.model"), root / "ours", "tiny", code_whitespace=True)
    return root / "ours"


@pytest.fixture
def infiller(folder: Path) -> LocalInfiller:
    return load_infiller(folder)


def fixed(passage: Passage, *lengths: int) -> Passage:
    return replace(passage, budgets=lengths, fixed_lengths=(True,) * len(lengths))


def mean_logprob(result: FillResult) -> float:
    (suggestion,) = result.suggestions
    return suggestion.logprob / suggestion.tokens


def test_an_edited_prompt_is_run_anew_and_the_same_one_is_not(infiller: LocalInfiller) -> None:
    passage = fixed(PASSAGE, 3)
    longer = replace(passage, pieces=("def area(width, height):\n    return width", "\n"))
    first = infiller.fill(passage, GREEDY)
    again = infiller.fill(passage, GREEDY)
    assert (first.reused_rows, again.reused_rows) == (0, first.prompt_rows - 1)
    grown = infiller.fill(longer, GREEDY)
    assert grown.reused_rows == 0
    back = infiller.fill(passage, GREEDY)
    assert back.prompt_rows == 1
    infiller.prompts = PromptCache()
    for kept, fresh in ((again, infiller.fill(passage, GREEDY)), (grown, infiller.fill(longer, GREEDY)), (back, first)):
        assert kept.suggestions[0].fills[0].tokens == fresh.suggestions[0].fills[0].tokens
        assert kept.suggestions[0].logprob == pytest.approx(fresh.suggestions[0].logprob, abs=1e-4)


def test_a_prompt_whose_pass_failed_is_not_taken_for_a_shorter_one(infiller: LocalInfiller) -> None:
    """The rows kept of it have seen the row that was to be run again."""
    passage = fixed(PASSAGE, 3)
    sequence = infiller.sequence(passage)
    infiller.fill(passage, GREEDY)
    infiller.prompts.start(infiller.model, sequence)  # as a fill begins, and then nothing
    shorter = replace(sequence, ids=sequence.ids[:-1], positions=sequence.positions[:-1])
    assert infiller.prompts.start(infiller.model, shorter)[1] == 0


def test_a_score_after_a_fill_is_that_of_a_fresh_model(infiller: LocalInfiller, folder: Path) -> None:
    passage = fixed(PASSAGE, 3)
    text = infiller.text.decode(infiller.text.encode("width, height")[:3], before="return ")
    assert len(infiller.text.encode(text)) == 3
    infiller.fill(passage, GREEDY)
    assert infiller.score(passage, [text]).logprob == pytest.approx(load_infiller(folder).score(passage, [text]).logprob, abs=1e-4)


def test_alternatives_are_drawn_as_one_batch_as_they_are_alone(infiller: LocalInfiller) -> None:
    passage = fixed(PASSAGE, 4)
    result = infiller.fill(passage, FillOptions(count=8, temperature=1.5, seed=3))
    assert len(result.suggestions) > 4
    for suggestion in result.suggestions:
        if infiller.text.encode(suggestion.texts[0], going_on=False) == list(suggestion.fills[0].tokens):
            assert infiller.score(passage, suggestion.texts).logprob == pytest.approx(suggestion.logprob, abs=1e-3)


@pytest.mark.parametrize(("budget", "wanted"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 3, 4, 6)), (20, (1, 2, 3, 4, 6, 9, 13, 19, 20))])
def test_candidates_grow_by_half_up_to_the_budget(budget: int, wanted: tuple[int, ...]) -> None:
    assert candidate_lengths(budget) == wanted


def test_one_hole_gets_the_length_that_trying_each_gives(infiller: LocalInfiller) -> None:
    for before in ("def area(width, height):\n    return ", "class Shape", "x = "):
        passage = replace(PASSAGE, pieces=(before, "\n"))
        each = {length: infiller.fill(fixed(passage, length), GREEDY) for length in candidate_lengths(6)}
        best = max(each, key=lambda length: mean_logprob(each[length]))
        found = infiller.fill(passage, GREEDY)
        assert found.suggestions[0].fills[0].tokens == each[best].suggestions[0].fills[0].tokens
        assert found.suggestions[0].logprob == pytest.approx(each[best].suggestions[0].logprob, abs=1e-4)
        assert found.suggestions[0].fills[0].complete


def test_what_is_drawn_at_a_temperature_has_the_length_found_greedily(infiller: LocalInfiller) -> None:
    length = len(infiller.fill(PASSAGE, GREEDY).suggestions[0].fills[0].tokens)
    result = infiller.fill(PASSAGE, FillOptions(count=4, temperature=1.0, seed=2))
    assert {len(suggestion.fills[0].tokens) for suggestion in result.suggestions} == {length}


def test_several_holes_are_looked_for_one_after_another() -> None:
    """Against all combinations, where what one length is worth doesn't hang on the others; and never a combination twice."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        worth = rng.normal(size=(3, 21))
        tried: list[tuple[int, ...]] = []

        def mean(lengths: tuple[int, ...], worth: np.ndarray = worth, tried: list[tuple[int, ...]] = tried) -> float:
            tried.append(lengths)
            return float(sum(worth[hole, length] for hole, length in enumerate(lengths)))

        found = likeliest_lengths((20, 5, 9), (False, True, False), (0, 1, 2), mean)
        every = [(first, 5, last) for first in candidate_lengths(20) for last in candidate_lengths(9)]
        assert found == max(every, key=lambda lengths: mean(lengths, tried=[]))
        assert len(set(tried)) == len(tried) == len(candidate_lengths(20)) + len(candidate_lengths(9)) - 1


def test_tied_holes_have_one_length_and_equal_ones_are_short() -> None:
    def mean(lengths: tuple[int, ...]) -> float:
        return float(lengths[:2] == (4, 4)) + float(lengths[2] == 1)

    assert likeliest_lengths((8, 8, 8), (False,) * 3, (0, 0, 2), mean) == (4, 4, 1)
    assert likeliest_lengths((8,), (False,), (0,), lambda lengths: 0.0) == (1,)


def test_all_that_was_tried_is_counted_and_may_be_stopped(infiller: LocalInfiller) -> None:
    seen: list[Progress] = []
    result = infiller.fill(PASSAGE, GREEDY, seen.append)
    assert seen[-1].passes == result.passes
    assert result.tokens == sum(candidate_lengths(6)) + len(result.suggestions[0].fills[0].tokens)
    assert [each.passes for each in seen] == sorted(each.passes for each in seen)

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.passes == 4:
            raise Stop

    with pytest.raises(Stop):
        infiller.fill(PASSAGE, GREEDY, stop)


def test_names_are_words_and_tied_ones_are_one(infiller: LocalInfiller) -> None:
    pieces = ("def ", "(self):\n    return self.", "\n")
    passage = Passage(pieces, (3, 3), ties=(0, 0), wordings=(Wording.WORD, Wording.WORD))
    (suggestion,) = infiller.fill(passage, GREEDY).suggestions
    assert suggestion.texts[0] == suggestion.texts[1] and suggestion.texts[0].isidentifier()


def test_a_name_behind_white_space_may_be_a_word_of_its_own(infiller: LocalInfiller) -> None:
    """Its token carries a space, which is there already: the likeliest name is looked for among both kinds."""
    for before, found_spaced in (("class Shape:\n    def ", True), ("return self.", False)):
        passage = Passage((before, "(self):\n"), (1,), fixed_lengths=(True,), wordings=(Wording.WORD,))
        (logits,) = conditionals(infiller.model, infiller.sequence(passage), [[9]])
        surfaces = [infiller.text.decode([token], before=before) for token in range(len(logits))]
        fits = np.array([surface.isidentifier() for surface in surfaces])
        carries_space = np.array([infiller.text.decode([token], before="x").startswith(" ") for token in range(len(logits))])
        assert (fits & carries_space).any() == found_spaced
        logits[~fits] = -np.inf
        (fill,) = infiller.fill(passage, GREEDY).suggestions[0].fills
        assert fill.tokens == (int(logits.argmax()),)
        assert fill.text.isidentifier()


def test_a_score_is_that_of_the_text_s_own_length(infiller: LocalInfiller) -> None:
    text = "width, height"
    tokens = len(infiller.text.encode(text))
    loose = infiller.score(replace(PASSAGE, budgets=(tokens + 9,)), [text])
    *read, end = loose.holes[0]
    assert (len(read), end.text, end.logprob) == (tokens, "", 0.0)
    assert loose.logprob == pytest.approx(infiller.score(fixed(PASSAGE, tokens), [text]).logprob, abs=1e-5)
    assert "".join(token.text for token in loose.holes[0]) == text
    with pytest.raises(PassageError, match=r"takes .* tokens, but its budget is 1"):
        infiller.score(replace(PASSAGE, budgets=(1,)), [text])
    with pytest.raises(PassageError, match="no likelihood of an empty text"):
        infiller.score(PASSAGE, [""])


def test_a_passage_without_any_text_is_refused(infiller: LocalInfiller) -> None:
    with pytest.raises(PassageError, match="needs some text around the holes"):
        infiller.fill(Passage(("", ""), (3,)), GREEDY)


def test_no_special_token_is_ever_drawn(infiller: LocalInfiller) -> None:
    for seed in range(4):
        result = infiller.fill(fixed(PASSAGE, 12), FillOptions(count=4, temperature=3.0, seed=seed))
        drawn = {token for suggestion in result.suggestions for token in suggestion.fills[0].tokens}
        assert not drawn & set(infiller.manifest.barred)
