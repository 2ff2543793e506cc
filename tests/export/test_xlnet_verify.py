"""`lacuna-export verify` of a model of this kind: no marks, prompts that see all of themselves, positions beside the cache."""

from __future__ import annotations

from pathlib import Path

from export.verify import FAILED, OK, SKIPPED, verify
from export.xlnet import export_xlnet
from tests.export.xlnet_folder import random_model, train_pieces, write_folder


def test_an_imported_model_passes_every_check_that_can_be_made(tmp_path: Path) -> None:
    train_pieces(tmp_path / "spiece.model")
    export_xlnet(write_folder(tmp_path / "theirs", random_model(7), tmp_path / "spiece.model"), tmp_path / "ours", "tiny")
    checks = verify(tmp_path / "ours")
    assert [check.name for check in checks if check.outcome == SKIPPED] == ["float32 numerics", "draft head"]
    assert not [check for check in checks if check.outcome == FAILED], "\n".join(map(str, checks))
    assert len(checks) == 10


def test_numbers_are_compared_with_the_folder_it_came_from(tmp_path: Path) -> None:
    train_pieces(tmp_path / "spiece.model")
    theirs = write_folder(tmp_path / "theirs", random_model(7), tmp_path / "spiece.model")
    export_xlnet(theirs, tmp_path / "ours", "tiny")
    other = write_folder(tmp_path / "other", random_model(8), tmp_path / "spiece.model")
    deeper = write_folder(tmp_path / "deeper", random_model(7, n_layer=3), tmp_path / "spiece.model")
    told = [verify(tmp_path / "ours", reference) for reference in (theirs, other, deeper)]
    numerics = [next(check for check in checks if check.name == "float32 numerics") for checks in told]
    assert [check.outcome for check in numerics] == [OK, FAILED, FAILED]
    assert "differ from torch's by" in numerics[1].why and "another model, of layers 3" in numerics[2].why
