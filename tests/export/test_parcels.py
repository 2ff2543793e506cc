"""A run in parts and back: the same model comes out of it, and nothing damaged does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.errors import LacunaError
from export.draft_head import DRAFT_HEAD, train_draft_head
from export.parcels import PARTS, join_run, split_run
from export.source import read_source
from export.train import CHECKPOINT, METRICS, TOKENIZER, load_checkpoint, train
from tests.export.workshop import RECIPE, rows

PART = 30_000


@pytest.fixture(scope="module")
def run(tiny_run: Path, tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a draft head; tests must leave it as it is."""
    copy = shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run")
    train_draft_head(tiny_corpus, copy, rows(2))
    return copy


def test_a_run_in_parts_comes_back_as_it_would_be_exported(run: Path, tmp_path: Path) -> None:
    written = split_run(run, tmp_path / "parts", PART)
    assert len(written) > 3
    assert all(path.stat().st_size <= PART for path in written)
    join_run(tmp_path / "parts", tmp_path / "whole" / "run")
    before, after = read_source(run), read_source(tmp_path / "whole" / "run")
    for name, weight in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], weight)
    assert before.head is not None and after.head is not None
    for name, weight in before.head.state_dict().items():
        assert torch.equal(after.head.state_dict()[name], weight)
    assert after.tokenizer == before.tokenizer
    assert (tmp_path / "whole" / "run" / METRICS).read_bytes() == (run / METRICS).read_bytes()


def test_a_joined_run_can_be_begun_from_and_not_gone_on_with(tiny_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    split_run(tiny_run, tmp_path / "parts")
    joined = tmp_path / "joined"
    join_run(tmp_path / "parts", joined)
    assert not (joined / DRAFT_HEAD).exists()
    with pytest.raises(LacunaError, match="begin a new run from it with --start-from"):
        train(tiny_corpus, joined, RECIPE, rows(61))
    train(tiny_corpus, tmp_path / "further", RECIPE, rows(1), start_from=joined)
    assert load_checkpoint(tmp_path / "further")["step"] == 1
    with pytest.raises(LacunaError, match="is a run already"):
        join_run(tmp_path / "parts", joined)


def test_damage_is_named(tiny_run: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    split_run(tiny_run, parts, PART)
    with pytest.raises(LacunaError, match="is not empty"):
        split_run(tiny_run, parts, PART)
    part = sorted(parts.glob("part-2-*"))[0]
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(LacunaError, match=f"{part.name} is not what was written"):
        join_run(parts, tmp_path / "run")
    part.unlink()
    with pytest.raises(LacunaError, match=f"{part.name} can't be read"):
        join_run(parts, tmp_path / "run")
    (parts / PARTS).write_text(json.dumps({"format": 9, "parts": []}), encoding="utf-8")
    with pytest.raises(LacunaError, match=f"{PARTS} is damaged"):
        join_run(parts, tmp_path / "run")
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    assert not (tmp_path / "run" / TOKENIZER).exists()
