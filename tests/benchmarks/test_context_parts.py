"""The benchmark of the context's parts: which holes it draws, and how it sums up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.context_parts import OF_SHARES, PARTS, Bits, Variant, best_of, draw, projects, summarise
from engine.errors import LacunaError
from engine.local import load_infiller
from export.corpus import split_of


def test_holes_are_drawn_from_long_files_with_others_of_the_project_open() -> None:
    infiller = load_infiller()
    _, files = projects(None, quick=True)
    examples = draw(files, infiller, 12, 3, seed=5)
    assert len(examples) == 12 and len({example.file.path for example in examples}) == 12
    for example in examples:
        assert infiller.count_tokens(example.file.buffer.text) > infiller.window
        assert infiller.count_tokens(example.text) < example.hole.budget
        assert len(example.others) == 3 and all(other.buffer is not example.file.buffer for other in example.others)
        projects_of = {file.path: file.project for file in files}
        assert {projects_of[other.buffer.name] for other in example.others} == {example.file.project}
    again = draw(files, infiller, 12, 3, seed=5)
    assert [(example.file.path, example.hole) for example in again] == [(example.file.path, example.hole) for example in examples]


def test_folders_without_python_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x = 1\n")
    with pytest.raises(LacunaError, match="0 Python files"):
        projects([tmp_path], quick=False)


@pytest.mark.slow
def test_installed_files_are_held_out_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("benchmarks.context_parts.CORPUS", tmp_path)
    source, files = projects(None, quick=False)
    assert source.startswith("installed distributions held out of training: ")
    assert {split_of(file.project) for file in files} == {"held_out"}


def test_figures_are_of_bytes_and_paired() -> None:
    variants = (Variant("all", "all"), Variant("less", "all"), Variant("least", "less"))
    bits = np.array([[10.0, 12.0, 13.0], [20.0, 20.0, 20.0]] * 50)
    changed = np.array([[False, True, True], [False, False, False]] * 50)
    found = Bits(np.arange(100) // 2, np.full(100, 10.0), bits, changed)
    everything, less, least = summarise(variants, found)
    assert everything.bits_per_byte.value == pytest.approx(1.5)
    assert less.more.value == pytest.approx(0.1) and (less.more.low, less.more.high) == pytest.approx((0.1, 0.1))
    assert less.changed == 0.5 and less.more_there is not None and less.more_there.value == pytest.approx(0.2)
    assert least.more.value == pytest.approx(0.05), "compared with `less`, not with all"
    assert everything.more_there is None


def test_the_variant_with_the_fewest_bits_is_chosen() -> None:
    bits = np.ones((4, 6))
    bits[:, 4] = 0.5
    bits[:, 0] = 0.1
    found = Bits(np.arange(4), np.ones(4), bits, np.zeros_like(bits, dtype=bool))
    assert best_of(found, [3, 4, 5]) == 4


def test_every_variant_is_compared_with_one_that_is_there() -> None:
    for group in (PARTS, *OF_SHARES.values()):
        assert {variant.against for variant in group} <= {variant.name for variant in group}
