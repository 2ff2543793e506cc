"""Exported XLNet models answer as transformers' XLNetLMHeadModel does, with its permutation masks and target mapping."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import XLNetLMHeadModel

from engine.local import LocalInfiller, load_infiller
from engine.manifest import load_manifest
from engine.model import Rows
from engine.onnx_model import OnnxModel
from engine.options import FillOptions
from engine.passage import Passage
from engine.sampling import log_softmax
from engine.scoring import conditionals
from engine.sequence import IntArray, MaskedSequence
from export.xlnet import export_xlnet
from tests.export.xlnet_folder import PIECES, hugging_face_logits, random_model, train_pieces, write_folder

WINDOW = 48
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one layer": {"n_layer": 1, "n_head": 2},
    "deep": {"n_layer": 5, "d_model": 24, "n_head": 3},
    "clamped": {"clamp_len": 6, "ff_activation": "relu"},
    "loose norms": {"layer_norm_eps": 1e-2, "ff_activation": "gelu_new"},
    "untied": {"tie_word_embeddings": False, "ff_activation": "silu", "d_inner": 20},
}


@dataclass(frozen=True)
class Pair:
    """One model twice: in transformers, and as a model folder."""

    theirs: XLNetLMHeadModel
    folder: Path

    def model(self) -> OnnxModel:
        return OnnxModel(self.folder, load_manifest(self.folder), threads=1)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    root = tmp_path_factory.mktemp("xlnet")
    train_pieces(root / "spiece.model")
    made = {}
    for seed, (name, sizes) in enumerate(CONFIGS.items()):
        folder = write_folder(root / name, random_model(seed, **sizes), root / "spiece.model")
        export_xlnet(folder, root / f"{name}.out", name, code_whitespace=True, window=WINDOW)
        made[name] = Pair(XLNetLMHeadModel.from_pretrained(folder).eval(), root / f"{name}.out")
    return made


@pytest.fixture(scope="module")
def models(pairs: dict[str, Pair]) -> dict[str, OnnxModel]:
    return {name: pair.model() for name, pair in pairs.items()}


@dataclass(frozen=True)
class Case:
    """`ids` `[T]`, of which those at `hidden` are asked for in sigma, in steps that end before the hidden ones numbered `ends`."""

    ids: IntArray
    visible: IntArray
    hidden: IntArray
    ends: tuple[int, ...]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    length = draw(st.integers(2, WINDOW))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, length - 1))
    hidden = np.sort(rng.choice(length, count, replace=False))
    cuts = draw(st.sets(st.integers(1, count), max_size=3))
    return Case(rng.integers(0, PIECES, length), np.setdiff1d(np.arange(length), hidden), hidden, tuple(sorted({*cuts, count})))


def cached_logits(model: OnnxModel, case: Case, copies: int = 1) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The graph's logits `[copies, S, V]`: the prompt in one pass, then the hidden tokens step by step, each asking for the next."""
    prompt = len(case.visible)
    state = model.open()
    rows = Rows(
        ids=case.ids[None, case.visible],
        positions=case.visible[None],
        counts=np.array([prompt]),
        sources=np.array([[prompt - 1]]),
        targets=case.hidden[None, :1],
        sees=np.array([[prompt]]),
        mutual=prompt,
    )
    found = [np.repeat(state.run(rows), copies, axis=0)]
    state.keep(np.array([prompt]))
    state = state.fork(copies)
    start = 0
    for end in case.ends:
        at = np.tile(case.hidden[start:end], (copies, 1))
        index = np.tile(np.arange(end - start), (copies, 1))
        following = np.tile(case.hidden[np.minimum(np.arange(start + 1, end + 1), len(case.hidden) - 1)], (copies, 1))
        found.append(state.run(Rows(case.ids[at], at, np.full(copies, end - start), index, following, index + 1)))
        state.keep(np.full(copies, end - start))
        start = end
    return np.concatenate(found, axis=1)[:, : len(case.hidden)]


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=cases())
def test_logits_are_those_of_transformers_whatever_the_mask_and_the_cache(
    name: str, pairs: dict[str, Pair], models: dict[str, OnnxModel], case: Case
) -> None:
    wanted = hugging_face_logits(pairs[name].theirs, case.ids, case.visible, case.hidden)
    for copies in (1, 3):
        found = cached_logits(models[name], case, copies)
        found[..., models[name].never] = wanted[..., models[name].never]
        assert np.abs(found - wanted).max() <= 1e-4


def test_logits_are_those_of_transformers_at_large_distances(pairs: dict[str, Pair], tmp_path: Path) -> None:
    folder = pairs["plain"].folder.with_suffix("")
    export_xlnet(folder, tmp_path / "far", "far", code_whitespace=True, window=500)
    model = OnnxModel(tmp_path / "far", load_manifest(tmp_path / "far"), threads=1)
    rng = np.random.default_rng(8)
    hidden = np.sort(rng.choice(500, 40, replace=False))
    case = Case(rng.integers(0, PIECES, 500), np.setdiff1d(np.arange(500), hidden), hidden, (7, 40))
    wanted = hugging_face_logits(pairs["plain"].theirs, case.ids, case.visible, case.hidden)
    found = cached_logits(model, case)[0]
    found[:, model.never] = wanted[:, model.never]
    assert np.abs(found - wanted).max() <= 1e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_a_density_takes_one_pass_and_is_that_of_transformers(name: str, pairs: dict[str, Pair], models: dict[str, OnnxModel]) -> None:
    rng = np.random.default_rng(5)
    ids, hidden = rng.integers(9, PIECES, 30), np.array([3, 4, 5, 19, 20])
    visible = np.setdiff1d(np.arange(30), hidden)
    sequence = MaskedSequence(ids[visible], visible, (hidden[:3], hidden[3:]), (True, True), mutual=True)
    found = conditionals(models[name], sequence, [ids[hidden[:3]].tolist(), ids[hidden[3:]].tolist()])
    wanted = hugging_face_logits(pairs[name].theirs, ids, visible, hidden)
    wanted[:, models[name].never] = -np.inf
    np.testing.assert_allclose(log_softmax(found), log_softmax(wanted), atol=1e-4)


def test_naming_the_one_segment_changes_nothing(pairs: dict[str, Pair]) -> None:
    """Why the graph has no segment term."""
    theirs = pairs["plain"].theirs
    ids = torch.arange(9, 21)[None]
    with torch.no_grad():
        unnamed, named = theirs(ids).logits, theirs(ids, token_type_ids=torch.zeros_like(ids)).logits
    torch.testing.assert_close(unnamed, named, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def infiller(pairs: dict[str, Pair]) -> LocalInfiller:
    return load_infiller(pairs["deep"].folder)


PASSAGE = Passage(("def area(width, height):\n    return ", " * height\n\nclass ", ":\n"), (3, 2), fixed_lengths=(True, True))


@pytest.mark.parametrize("method", ["sequential", "assd", "assd-ngram", "fused"])
def test_greedy_fills_are_those_of_transformers_by_every_method(method: str, infiller: LocalInfiller, pairs: dict[str, Pair]) -> None:
    sequence = infiller.sequence(PASSAGE)
    hidden = np.concatenate(sequence.slots)
    ids = np.zeros(len(sequence.ids) + len(hidden), dtype=np.int64)
    ids[sequence.positions] = sequence.ids
    logprobs = []
    for index, position in enumerate(hidden):
        logits = hugging_face_logits(pairs["deep"].theirs, ids, sequence.positions, hidden)[index]
        logits[infiller.model.never] = -np.inf
        ids[position] = logits.argmax()
        logprobs.append(log_softmax(logits).max())
    result = infiller.fill(PASSAGE, FillOptions(temperature=0, method=method))
    (suggestion,) = result.suggestions
    assert [token for fill in suggestion.fills for token in fill.tokens] == ids[hidden].tolist()
    np.testing.assert_allclose([each for fill in suggestion.fills for each in fill.logprobs], logprobs, atol=1e-4)
    assert result.passes <= result.tokens
    assert all(fill.complete for fill in suggestion.fills)


def test_a_fill_s_likelihood_is_its_score(infiller: LocalInfiller) -> None:
    for seed in range(3):
        (suggestion,) = infiller.fill(PASSAGE, FillOptions(temperature=0.7, seed=seed)).suggestions
        sequence = infiller.sequence(PASSAGE)
        logits = conditionals(infiller.model, sequence, [list(fill.tokens) for fill in suggestion.fills])
        tokens = [token for fill in suggestion.fills for token in fill.tokens]
        assert log_softmax(logits)[np.arange(len(tokens)), tokens].sum() == pytest.approx(suggestion.logprob, abs=1e-3)
