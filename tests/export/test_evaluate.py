"""The evaluation end to end, on a tiny corpus with the default model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.errors import LacunaError, ModelError
from export.corpus import Project, SourceFile, write
from export.evaluate import Evaluation, compare, evaluate

MODEL = Path(__file__).parents[2] / "engine" / "models" / "default"

TRAINING = '''"""Counting words."""


def count(words):
    """How often each word comes."""
    found = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


class Counter:
    def __init__(self, words):
        self.words = list(words)

    def total(self):
        return len(self.words)
'''

HELD_OUT = '''import os


def read_lines(path):
    """All lines of a file, without their ends."""
    if not os.path.exists(path):
        raise ValueError("no such file: " + path)
    with open(path, encoding="utf-8") as stream:
        return [line.rstrip("\\n") for line in stream]


def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result
'''


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    texts = {"train": TRAINING, "held_out": HELD_OUT}
    projects = [Project(split, "1.0", "MIT", split, 1, len(text.encode())) for split, text in texts.items()]
    files = {split: [SourceFile(split, "a.py", text)] for split, text in texts.items()}
    write(folder, projects, files, {"python": "3.11.0", "dropped": {}})
    return folder


@pytest.fixture(scope="module")
def evaluation(corpus: Path) -> Evaluation:
    return evaluate(corpus, MODEL, windows=8)


def test_every_figure_is_in_its_interval_and_gains_are_differences(evaluation: Evaluation) -> None:
    for comparison in (evaluation.left, evaluation.holes, evaluation.hole_texts):
        for interval in (comparison.model, comparison.rival, comparison.gain):
            assert interval.low <= interval.value <= interval.high
        assert comparison.gain.value == pytest.approx(comparison.rival.value - comparison.model.value)
        assert comparison.model.low > 0


def test_the_model_beats_an_ngram_that_saw_one_file(evaluation: Evaluation) -> None:
    assert evaluation.left.gain.low > 0


def test_end_marks_cost_bits(evaluation: Evaluation) -> None:
    assert evaluation.holes.model.value > evaluation.hole_texts.model.value


def test_the_seed_decides_and_one_byte_of_training_text_takes_one_file(corpus: Path, evaluation: Evaluation) -> None:
    assert evaluate(corpus, MODEL, windows=8, train_bytes=1) == evaluation
    assert evaluate(corpus, MODEL, windows=8, seed=1).left != evaluation.left


def test_the_report(evaluation: Evaluation) -> None:
    assert json.loads(json.dumps(evaluation.as_dict()))["left"]["model"]["value"] == evaluation.left.model.value
    table = evaluation.as_table()
    assert "8 held-out windows (seed 0)" in table
    assert str(evaluation.holes.gain) in table


def test_compare_is_paired() -> None:
    rng = np.random.default_rng(0)
    model = rng.uniform(50, 500, size=80)
    result = compare(model, model + 10.0, np.full(80, 100.0))
    assert (result.gain.low, result.gain.value, result.gain.high) == pytest.approx((0.1, 0.1, 0.1))
    assert result.model.high - result.model.low > 0.1


def test_refuses_too_few_windows_and_bytes(corpus: Path) -> None:
    with pytest.raises(LacunaError, match="at least 2 windows, not 1"):
        evaluate(corpus, MODEL, windows=1)
    with pytest.raises(LacunaError, match="at least 1 byte of training text, not 0"):
        evaluate(corpus, MODEL, train_bytes=0)


def test_refuses_a_missing_corpus_and_a_missing_model(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="there is no corpus"):
        evaluate(tmp_path, MODEL)
    with pytest.raises(ModelError, match="there is no model folder"):
        evaluate(corpus, tmp_path / "none")
