"""Evaluation data in a corpus: copies are found whatever their white space, common property is not held against a file."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.errors import LacunaError
from export import cli, corpus
from export.corpus import SourceFile
from export.corpus.lexical import lexical_tokens
from export.corpus.overlap import MOST_SHARED, WORDS, EvaluationNgrams, N, measure, read_evaluation
from export.corpus_summary import summarise
from tests.export.test_corpus import MIT, install, kept
from tests.export.workshop import source

PROMPT = 'def widest_gap(numbers):\n    """The largest difference between neighbours of a sorted list."""\n'
SOLUTION = """    widest = 0
    for before, after in zip(sorted(numbers), sorted(numbers)[1:]):
        if after - before > widest:
            widest = after - before
    return widest
"""
TASK = {"task_id": "task/0", "prompt": PROMPT, "canonical_solution": SOLUTION, "test": "assert widest_gap([1, 5, 2]) == 3\n"}
COPY = (
    source("a")
    + "\n\nclass Holder:\n    "
    + (PROMPT + SOLUTION).replace("\n", "\n    ").replace("after - before", "after-before")
    + "pass\n"
)


def write_data(path: Path, *records: Any) -> Path:
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_ngrams_are_those_of_brute_force() -> None:
    rng = random.Random(0)

    def draw() -> list[str]:
        return [rng.choice(["a", "b", "1", "(", ")"] if rng.random() < 0.97 else ["c", "d", "e", "f"]) for _ in range(4000)]

    def ngrams(tokens: list[str]) -> set[str]:
        windows = [tokens[i : i + N] for i in range(len(tokens) - N + 1)]
        return {" ".join(window) for window in windows if len({token for token in window if token.isalpha()}) >= WORDS}

    evaluation = draw()
    found = EvaluationNgrams([[" ".join(evaluation)]])
    text = draw() + evaluation[100:300] + ["zzz"] + evaluation[1000:1400]
    assert set(found.texts.values()) == ngrams(evaluation)
    assert {found.texts[value] for value in found.shared(text)} == ngrams(text) & ngrams(evaluation) != set()


@pytest.mark.parametrize("tokens", [[], ["a"], ["a"] * (N - 1), ["never", "seen"] * N])
def test_texts_without_ngrams_share_nothing(tokens: list[str]) -> None:
    assert EvaluationNgrams([[PROMPT]]).shared(tokens) == frozenset()
    assert EvaluationNgrams([[]]).shared(tokens) == frozenset()


def test_a_copy_is_contamination_and_an_idiom_or_a_table_is_not() -> None:
    ngrams = EvaluationNgrams([[PROMPT + SOLUTION, "table = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]"]])
    assert ngrams.contaminates(ngrams.shared(lexical_tokens(COPY)))
    idiom = "for before, after in zip(sorted(numbers), sorted(numbers)[1:]):"
    shared = ngrams.shared(lexical_tokens(source("a") + idiom))
    assert 0 < len(shared) < MOST_SHARED or not ngrams.contaminates(shared)
    assert not ngrams.shared(lexical_tokens("other = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]"))


def test_ngrams_of_many_records_do_not_add_up() -> None:
    lines = [f"first{i} = second{i}(third{i}, fourth{i}) + fifth{i} * sixth{i}[seventh{i}]" for i in range(2 * MOST_SHARED)]
    ngrams = EvaluationNgrams([[line] for line in lines])
    shared = ngrams.shared(lexical_tokens("\n".join(lines)))
    assert len(shared) >= MOST_SHARED and not ngrams.contaminates(shared)


def test_a_solved_task_counts_in_one_piece(tmp_path: Path) -> None:
    pieces = {"prompt": PROMPT + SOLUTION[:40], "canonical_solution": SOLUTION[40:90], "suffix": SOLUTION[90:]}
    whole = read_evaluation([write_data(tmp_path / "whole.jsonl", {"text": PROMPT + SOLUTION})])
    cut = read_evaluation([write_data(tmp_path / "cut.jsonl", pieces)])
    assert set(whole.texts.values()) <= set(cut.texts.values())


def test_the_report_counts_and_names(tmp_path: Path) -> None:
    other = {"text": "some words that nobody ever wrote in any source file of the whole wide world before"}
    ngrams = read_evaluation([write_data(tmp_path / "data.jsonl.gz", TASK, {"nested": [{"text": PROMPT + SOLUTION}]}, other)])
    files = [SourceFile("clean", "a.py", source("a")), SourceFile("copied", "b.py", COPY), SourceFile("copied", "c.py", PROMPT + SOLUTION)]
    report = measure(files, ngrams)
    assert (report.records, report.files, report.files_with_hits) == (3, 3, 2)
    assert (report.records_hit, report.records_contaminated) == (2, 2)
    assert report.record_share_hit == pytest.approx(2 / 3)
    assert 0 < report.shared_ngrams < report.evaluation_ngrams
    worst = report.most_shared_files[0]
    assert (worst.project, worst.path, worst.share_of_record) == ("copied", "b.py", 1.0)
    assert report.commonest[0]["files"] == 2
    assert "copied: c.py" in report.as_table() and report.commonest[0]["text"] in report.as_table()


@pytest.fixture
def no_standard_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "empty"))


@pytest.mark.usefixtures("no_standard_library")
def test_a_build_leaves_evaluation_data_out_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, out, data = tmp_path / "site", tmp_path / "out", tmp_path / "data"
    install(site, "first", MIT, {"first/clean.py": source("a"), "first/copied.py": COPY})
    data.mkdir()
    write_data(data / "tasks.jsonl", TASK)
    assert cli.main(["corpus", str(out), "--from", str(site), "--exclude", str(data)]) == 0
    assert kept(out) == {"train": ["first/clean.py"]}
    figures = summarise(out)
    assert figures["dropped"]["evaluation overlap"] == 1
    assert figures["evaluation_overlap"]["records_contaminated"] == figures["evaluation_overlap"]["records_hit"] == 0
    assert "evaluation overlap        1" in capsys.readouterr().out

    assert cli.main(["overlap", str(out), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "overlap.json").read_text(encoding="utf-8"))

    corpus.build(out, [site])
    assert cli.main(["overlap", str(out), str(data)]) == 0
    assert "first: first/copied.py" in capsys.readouterr().out
    assert summarise(out)["evaluation_overlap"] == {}


@pytest.mark.usefixtures("no_standard_library")
def test_a_build_is_summed_up_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site, out, library = tmp_path / "site", tmp_path / "out", tmp_path / "python3.5"
    install(site, "first", MIT, {"first/clean.py": source("a")})
    library.mkdir()
    (library / "module.py").write_text(source("b"), encoding="utf-8")
    arguments = ["corpus", str(out), "--from", str(site), "--library", str(library), "--cap-mb", "0.001", "--seed", "3", "--json"]
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == summarise(out)
    assert summarise(out)["train"]["projects"] == 2
    assert cli.main(["corpus", str(out), "--verify"]) == 0
    assert "5 files are as they were built" in capsys.readouterr().out
    (out / "train-00000.bin").write_bytes(b"other")
    assert cli.main(["corpus", str(out), "--verify"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--from", "--library"):
        assert cli.main(["corpus", str(tmp_path / "out"), option, str(tmp_path / "nowhere")]) == 2
        assert f"nowhere; name an existing one with {option}" in capsys.readouterr().err


def test_bad_evaluation_data_is_named(tmp_path: Path) -> None:
    broken = write_data(tmp_path / "broken.jsonl", TASK)
    broken.write_text(broken.read_text(encoding="utf-8") + "{\n", encoding="utf-8")
    with pytest.raises(LacunaError, match=r"broken.jsonl is damaged after line 1"):
        read_evaluation([broken])
    whole = write_data(tmp_path / "short.jsonl.gz", TASK).read_bytes()
    for content in (whole[:-20], b"no gzip", whole[:20] + b"\0" * 40 + whole[60:]):
        (tmp_path / "short.jsonl.gz").write_bytes(content)
        with pytest.raises(LacunaError, match=r"short.jsonl.gz is damaged"):
            read_evaluation([tmp_path / "short.jsonl.gz"])
    with pytest.raises(LacunaError, match=r"none.jsonl can't be read"):
        read_evaluation([tmp_path / "none.jsonl"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(LacunaError, match=r"holds no .jsonl"):
        read_evaluation([tmp_path / "empty"])
