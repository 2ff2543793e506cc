"""Proposals by the real model: their likelihood is exact, and the text around the cursor stays what it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import lsp_server
from engine.infiller import Infiller
from engine.options import FillOptions
from lsp_server.buffer import Buffer
from lsp_server.context import passage_for
from lsp_server.extent import Extent, extent_at
from lsp_server.holes import Hole
from lsp_server.line_ends import to_model
from lsp_server.proposals import Place, Proposals, propose
from lsp_server.syntax import count_errors, parse
from tests.lsp_server.narrowed import Narrowed

GREEDY = FillOptions(temperature=0)
SEVERAL = FillOptions(count=6, temperature=0.8, seed=2)

CODE = '''"""Little sums."""


def total(items):
    result = 0
    for item in items:
        result += item
    return result


def mean(items):
    if not items:
        return 0.0
    return total(|
'''


def place(text: str, language: str = "python") -> Place:
    """The cursor at the bar in `text`, which is taken out."""
    offset = len(text[: text.index("|")].encode())
    buffer = Buffer(text.replace("|", "", 1).encode())
    return Place(buffer, parse(buffer.source, language), offset)


def proposals(at: Place, infiller: Infiller, options: FillOptions = GREEDY) -> Proposals:
    return propose(at, extent_at(at.buffer, at.tree, at.offset), infiller, options)


def test_the_likelihood_is_the_engine_s_own_of_that_beginning(infiller: Infiller) -> None:
    beginnings = 0
    for text in (CODE, CODE.replace("total(|", "total(|)"), CODE + "\n\ndef largest(items):\n    |\n"):
        at = place(text.replace("|", "", 1) if text.count("|") > 1 else text)
        extent = extent_at(at.buffer, at.tree, at.offset)
        passage = passage_for(at.buffer, at.tree, (Hole(at.offset, at.offset, "range", extent.budget),), infiller)
        for proposal in proposals(at, infiller, SEVERAL).found:
            if proposal.text != to_model(proposal.text).rstrip():
                continue
            (scores,) = infiller.score(passage, (proposal.text,), 0).holes
            assert len(scores) - 1 <= proposal.tokens <= len(scores)
            beginnings += proposal.tokens == len(scores) - 1
            own = sum(token.logprob for token in scores[: proposal.tokens])
            assert proposal.logprob == pytest.approx(own, abs=1e-3)
            assert 0 < proposal.mean_probability <= 1
            assert proposal.mean_probability == pytest.approx(2**-proposal.bits_per_token)
    assert beginnings


def test_several_are_distinct_and_sorted(infiller: Infiller) -> None:
    found = proposals(place(CODE.replace("total(|", "|")), infiller, SEVERAL).found
    assert len(found) > 1
    assert len({proposal.text for proposal in found}) == len(found)
    assert [proposal.logprob for proposal in found] == sorted((proposal.logprob for proposal in found), reverse=True)


def test_one_is_the_same_each_time(infiller: Infiller) -> None:
    first, second = (proposals(place(CODE), infiller).found for _ in range(2))
    assert [proposal.text for proposal in first] == [proposal.text for proposal in second] == ["items)"]


def cursors(seed: int, count: int) -> list[tuple[str, int]]:
    """Places in this package's own files: the text without what stood between the cursor and some place further on its line."""
    random_ = random.Random(seed)
    files = sorted(Path(lsp_server.__file__).parent.glob("*.py"))
    found: list[tuple[str, int]] = []
    while len(found) < count:
        text = random_.choice(files).read_text(encoding="utf-8")
        start = random_.randrange(len(text))
        line_end = text.find("\n", start)
        end = random_.choice((start, line_end, random_.randint(start, max(start, line_end))))
        found.append((text[:start] + text[max(start, end) :], start))
    return found


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_nothing_that_is_shown_repeats_what_follows_or_breaks_the_syntax(infiller: Infiller, newline: str) -> None:
    shown = 0
    for text, start in cursors(5, 25):
        before, after = (part.replace("\n", newline) for part in (text[:start], text[start:]))
        at = place(before + "|" + after)
        for proposal in proposals(at, infiller).found:
            shown += 1
            assert "\n" not in proposal.text.replace(newline, "")
            rest, _, below = after.partition(newline)
            full = (before + proposal.text).rpartition(newline)[2].strip()
            if rest.strip():
                assert not proposal.text.rstrip().endswith(rest.strip()) or set(rest.strip()) <= set(")]}")
            elif any(map(str.isalnum, full)):
                assert full != next((line.strip() for line in below.split(newline) if line.strip()), None)
            filled = parse((before + proposal.text + after).encode(), "python")
            assert at.tree is not None and filled is not None
            # The cursor's line may be unfinished; nothing is to make it worse than a name there would. Of what is broken either way
            # tree-sitter counts more errors or fewer, as it happens to go on behind them.
            named = parse((before + "___" + after).encode(), "python")
            assert named is not None
            fewest, most = sorted((count_errors(at.tree), count_errors(named)))
            assert fewest > 0 or count_errors(filled) <= most
    assert shown >= 5


def test_a_block_ends_where_its_indentation_does(infiller: Infiller) -> None:
    at = place(CODE.replace("    if not items:\n        return 0.0\n    return total(|\n", "    |\n\n\nx = 1\n"))
    assert extent_at(at.buffer, at.tree, at.offset) == Extent("block", 4)
    (proposal, *_) = proposals(at, infiller).found
    assert all(line.startswith("    ") or not line for line in proposal.text.splitlines()[1:])


def test_where_nothing_is_fit_the_reason_is_told(infiller: Infiller) -> None:
    nothing = proposals(place("def total(items):\n    return sum(|items) / len(items)\n"), infiller)
    assert not nothing.found
    assert "it repeats the beginning of what follows it" in nothing.refused[0] or "word that follows" in nothing.refused[0]


@pytest.mark.parametrize("text", ["|", "x = |", "\ufeff|", "😀|😀", "\r|\r", "\t|", "|\x0c", "print('|"])
def test_odd_texts(infiller: Infiller, text: str) -> None:
    for language in ("python", "plaintext"):
        assert proposals(place(text, language), infiller).passes >= 1


def test_a_large_file(infiller: Infiller) -> None:
    half = "".join(f"value_{number} = [{number}, 'é']\n" for number in range(20_000))
    for language in ("python", "plaintext"):
        assert proposals(place(half + "value = |\n" + half, language), infiller).passes >= 1
    assert proposals(place("x = '" + "a" * 500_000 + "|" + "a" * 500_000 + "'", "plaintext"), infiller).passes >= 1


def test_a_small_window_is_kept_to(infiller: Infiller) -> None:
    narrow = Narrowed(infiller, window=40)
    at = place(CODE)
    propose(at, Extent("block", 4), narrow, GREEDY)
    for passage in narrow.passages:
        assert sum(map(infiller.count_tokens, passage.pieces)) + sum(passage.budgets) <= 40
