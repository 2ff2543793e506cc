"""`lacuna-export verify` of a model of this kind: no marks, prompts that see all of themselves, positions beside the cache."""

from __future__ import annotations

from pathlib import Path

from export.verify import FAILED, SKIPPED, verify
from export.xlnet import export_xlnet
from tests.export.xlnet_folder import random_model, train_pieces, write_folder


def test_an_imported_model_passes_every_check_that_can_be_made(tmp_path: Path) -> None:
    train_pieces(tmp_path / "spiece.model")
    export_xlnet(write_folder(tmp_path / "theirs", random_model(7), tmp_path / "spiece.model"), tmp_path / "ours", "tiny")
    checks = verify(tmp_path / "ours")
    assert [check.name for check in checks if check.outcome == SKIPPED] == ["float32 numerics", "draft head"]
    assert not [check for check in checks if check.outcome == FAILED], "\n".join(map(str, checks))
    assert len(checks) == 10
