"""`lacuna score`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from engine.infiller import Infiller
from lsp_server.cli import main
from lsp_server.cli import score as score_command

TEXT = 'def total(orders):\n    note = "é😀"\n    return sum(order.price for order in orders)\n'


@pytest.fixture(autouse=True)
def one_model(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_command, "load_model", lambda folder, device: infiller)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.py"
    path.write_bytes(TEXT.encode())
    return path


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", "--json", *map(str, arguments)]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_json_of_a_whole_file(file: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    answer = scored(capsys, file)
    assert list(answer) == ["model", "provider", "device", "elapsed_ms", "passes", "range", "logprob", "bits_per_token", "tokens"]
    assert answer["model"] == infiller.model_name
    assert answer["range"] == {"start": {"line": 1, "character": 1}, "end": {"line": 4, "character": 1}}
    assert answer["logprob"] == pytest.approx(sum(token["logprob"] for token in answer["tokens"]))
    assert answer["tokens"][-1]["text"] == ""
    for token in answer["tokens"]:
        assert list(token) == ["range", "text", "logprob", "bits", "rank", "alternatives"]
        assert token["bits"] == pytest.approx(-token["logprob"] / math.log(2))


def test_a_range_and_a_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = scored(capsys, file, "--range", "2:12-2:16")
    assert answer["range"] == {"start": {"line": 2, "character": 12}, "end": {"line": 2, "character": 16}}
    answer = scored(capsys, file, "--range", "3:17")
    assert answer["range"] == {"start": {"line": 3, "character": 16}, "end": {"line": 3, "character": 21}}
    assert "".join(token["text"] for token in answer["tokens"]) == "order"


def test_text_tells_the_likelihood_and_the_surprises(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file)]) == 0
    out = capsys.readouterr().out
    assert "log-likelihood -" in out and "bits per token" in out and "least expected" in out


def test_bad_input(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.py").touch()
    (tmp_path / "large.py").write_text("x = 1\n" * 100_000)
    for arguments, message in (
        ([tmp_path / "empty.py"], "is empty"),
        ([tmp_path / "large.py"], "are too many to score"),
        ([tmp_path], "is a folder"),
        ([file, "--range", "9:1-9:2"], "9:1 lies outside"),
        ([file, "--range", "2:3"], "nothing to score at 2:3"),
    ):
        assert main(["score", *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""
