"""Both sides write what they are asked for; llama.cpp's cache serves it as it should. Needs the extra `versus`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks.sized_passages import Cutter, Size
from engine.local import LocalInfiller, load_infiller
from engine.options import METHODS
from engine.passage import Passage
from export.model import ModelConfig
from tests.export.workshop import RECIPE, TINY

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from benchmarks import llamacpp, versus_llamacpp
from benchmarks.random_model import write_random_model


@pytest.fixture(scope="module")
def infiller() -> LocalInfiller:
    return load_infiller()


@pytest.fixture(scope="module")
def passages(infiller: LocalInfiller) -> list[Passage]:
    return Cutter(infiller.text).cut(Size(120, holes=3, tokens=5), 2, seed=0)


@pytest.fixture(scope="module")
def rival(infiller: LocalInfiller, tmp_path_factory: pytest.TempPathFactory) -> llamacpp.LlamaCpp:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    llamacpp.write_gguf(file, ModelConfig(infiller.manifest.vocabulary, width=64, layers=1, heads=2, hidden=96), "q8_0", 512)
    return llamacpp.LlamaCpp(file, infiller.text, window=512, threads=1)


def test_each_call_runs_the_rows_that_its_cache_lacks(rival: llamacpp.LlamaCpp, passages: list[Passage]) -> None:
    passage = passages[0]
    rival.forget()
    filled = rival.fill(passage, 0.4, seed=1)
    counts = [len(rival.text.encode(piece)) for piece in passage.pieces]
    whole = sum(counts) + 3  # and three marks
    # Of the second prompt the mark and the first piece are there, of the third what stands before the second hole as well.
    expected = whole + (whole + 5 - 1 - counts[0]) + (whole + 10 - 1 - counts[0] - 5 - counts[1])
    assert filled.prompt_rows == expected
    assert filled.tokens == 15
    assert len(filled.texts) == 3


def test_rows_from_the_cache_do_not_change_what_is_written(rival: llamacpp.LlamaCpp, passages: list[Passage]) -> None:
    rival.forget()
    fresh = rival.fill(passages[0], 0.0, seed=1)
    again = rival.fill(passages[0], 0.0, seed=1)
    assert again.texts == fresh.texts
    assert again.prompt_rows < fresh.prompt_rows


def test_borrowed_passes_are_those_of_the_trained_model(infiller: LocalInfiller, passages: list[Passage], tmp_path: Path) -> None:
    tiny = ModelConfig(infiller.manifest.vocabulary + 7, TINY.width, TINY.layers, TINY.heads, TINY.hidden)
    random = write_random_model(dataclasses.replace(RECIPE, model=tiny), infiller.folder, tmp_path / "random", 512)
    for method in METHODS:
        trained = versus_llamacpp.engine_side(infiller.folder, "float32", method, 1, 0.4)
        borrowing = versus_llamacpp.borrowing_side(random, "int8", infiller, method, 1, 0.4)
        for seed, passage in enumerate(passages):
            own, borrowed = trained(passage, seed), borrowing(passage, seed)
            assert (borrowed.passes, borrowed.tokens) == (own.passes, own.tokens)
