"""A tiny corpus and a run of sixty steps on it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export import train as training
from tests.export.workshop import RECIPE, rows, write_corpus


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny tensors are slower on many threads, and much slower beside other programs."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("workshop") / "corpus")


@pytest.fixture(scope="session")
def tiny_run(tiny_corpus: Path) -> Path:
    """A finished run; tests must leave it as it is."""
    run = tiny_corpus.parent / "run"
    training.train(tiny_corpus, run, RECIPE, rows(60))
    return run
