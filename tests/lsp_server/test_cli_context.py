"""`lacuna context`, and the option --also of all commands that have it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.infiller import Infiller
from lsp_server.cli import context as context_command
from lsp_server.cli import fill as fill_command
from lsp_server.cli import main
from lsp_server.cli import score as score_command
from lsp_server.line_ends import to_model
from tests.lsp_server.narrowed import Narrowed

HELPERS = 'class Order:\n    price: float\n\n\ndef load(path: str) -> list[Order]:\n    """All orders of a file."""\n    return []\n'
TEXT = "from helpers import load\n\n\ndef total(path):\n    orders = load(___)\n    return ___\n"
LONG = "import os\n\n\nclass Report:\n" + "".join(
    f"    def number_{n}(self, first, second):\n        return first * {n} + second\n\n" for n in range(80)
).replace("return first * 40 +", "return ___ +")


@pytest.fixture(autouse=True)
def one_model(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (context_command, fill_command, score_command):
        monkeypatch.setattr(command, "load_model", lambda folder, device: infiller)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sample.py"
    path.write_text(TEXT)
    (tmp_path / "helpers.py").write_text(HELPERS)
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["context", "--json", *map(str, arguments)]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_json_has_the_passage_and_its_sums(file: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    helpers = file.with_name("helpers.py")
    answer = shown(capsys, file, "--also", helpers)
    assert list(answer) == ["model", "window", "passages"]
    assert (answer["model"], answer["window"]) == (infiller.model_name, infiller.window)
    (passage,) = answer["passages"]
    assert list(passage) == ["tokens", "at_start", "at_end", "holes", "parts", "left_out"]
    assert [(part["reason"], part["file"], part["piece"]) for part in passage["parts"]] == [
        ("definition", str(helpers), 0),
        ("file", str(file), 0),
        ("file", str(file), 1),
        ("file", str(file), 2),
    ]
    quote = passage["parts"][0]
    assert quote["ranges"] == [{"start": {"line": 5, "character": 1}, "end": {"line": 8, "character": 1}}]
    assert quote["text"] == "# helpers.py\n" + HELPERS[HELPERS.index("def load") :]
    assert "".join(part["text"] for part in passage["parts"][1:]) == TEXT.replace("___", "")
    assert [hole["range"]["start"] for hole in passage["holes"]] == [{"line": 5, "character": 19}, {"line": 6, "character": 12}]
    tokens = passage["tokens"]
    pieces = [quote["text"] + passage["parts"][1]["text"], *(part["text"] for part in passage["parts"][2:])]
    assert tokens["text"] == sum(part["tokens"] for part in passage["parts"]) == sum(map(infiller.count_tokens, pieces))
    assert tokens["holes"] == sum(hole["budget"] for hole in passage["holes"])
    assert tokens["total"] == tokens["text"] + tokens["holes"] + tokens["marks"] <= infiller.window
    assert passage["left_out"] == [] and passage["at_start"] and passage["at_end"]


def test_a_file_too_long_is_shown_in_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "long.py"
    path.write_text(LONG)
    (passage,) = shown(capsys, path)["passages"]
    assert {part["reason"] for part in passage["parts"]} == {"import", "header", "beside", "near"}
    assert not passage["at_end"]
    lines = LONG.splitlines(keepends=True)
    for part in passage["parts"]:
        if part["reason"] != "beside":
            assert part["text"] == "".join(
                "".join(lines[piece["start"]["line"] - 1 : piece["end"]["line"] - 1]) for piece in part["ranges"]
            ), "the ranges are those of the text"
            assert all(piece["start"]["character"] == 1 for piece in part["ranges"])


def test_a_table_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers = file.with_name("helpers.py")
    assert main(["context", str(file), "--also", str(helpers)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["why", "file", "lines", "tokens"]
    assert [line.split()[0] for line in out[2:] if line and not line[0].isdigit()] == ["definition", "file", "hole", "file", "hole", "file"]
    assert out[2].split()[1:3] == [str(helpers), "5-7"]
    assert "5:19-5:22" in out[4]
    ends = {len(line) for line in out[1:8]}
    assert len(ends) == 1, "the columns are aligned"
    assert out[-1].endswith(" end marks") and " of 509 tokens: " in out[-1].replace(f"{509}", "509")
    assert "def load" not in "\n".join(out)


def test_text_has_line_numbers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["context", str(file), "--also", str(file.with_name("helpers.py")), "--text"]) == 0
    out = capsys.readouterr().out
    assert "        # helpers.py\n      5 def load(path: str) -> list[Order]:\n" in out
    assert "      4 def total(path):\n      5     orders = load(\n" in out
    assert "\x1b" not in out


def test_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil\x1b[2J.py"
    path.write_text("x = '\x1b[31m'\ny = ___\n")
    assert main(["context", str(path), "--text"]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_named_holes_and_line_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str], newline: str) -> None:
    path = tmp_path / "a.py"
    text = f'if True:{newline}\tx = "😀é" + 5  # 😀{newline}'
    path.write_bytes(text.encode())
    (passage,) = shown(capsys, path, "--hole", "2:13-2:14")["passages"]
    assert [part["text"] for part in passage["parts"]] == ['if True:\n\tx = "😀é" + ', "  # 😀\n"]
    assert passage["holes"][0]["range"] == {"start": {"line": 2, "character": 13}, "end": {"line": 2, "character": 14}}
    assert "".join(part["text"] for part in passage["parts"]) == to_model(text).replace(" 5 ", "  ")


def test_what_is_left_out_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_command, "load_model", lambda folder, device: Narrowed(infiller, 150))
    path = tmp_path / "long.py"
    path.write_text("".join(f"import a_module_of_a_long_name_{n}\n" for n in range(30)) + LONG)
    (passage,) = shown(capsys, path)["passages"]
    assert passage["left_out"] and all(part["reason"] == "import" and part["tokens"] > 0 for part in passage["left_out"])
    assert main(["context", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("import  ") == len([part for part in passage["parts"] if part["reason"] == "import"]) + len(passage["left_out"])
    assert "left out for want of room" in out and "of 150 tokens" in out


def test_many_holes_are_shown_by_passage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_command, "load_model", lambda folder, device: Narrowed(infiller, 200, max_holes=2))
    path = tmp_path / "many.py"
    path.write_text("".join(f"x{n} = ___\n" for n in range(5)))
    passages = shown(capsys, path)["passages"]
    assert [len(passage["holes"]) for passage in passages] == [2, 2, 1]
    assert all(passage["tokens"]["total"] <= 200 for passage in passages)
    assert main(["context", str(path)]) == 0
    assert "passage 3 of 3" in capsys.readouterr().out


def test_standard_input_and_plain_text(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x = ___\n")))
    assert shown(capsys, "-")["passages"][0]["parts"][0]["file"] == "standard input"
    path = tmp_path / "notes.txt"
    path.write_text("Dear ___,\n")
    assert [part["text"] for part in shown(capsys, path)["passages"][0]["parts"]] == ["Dear ", ",\n"]


def test_bad_input(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.py").write_text("x = 1\n")
    (tmp_path / "notes.txt").write_text("___\n")
    (tmp_path / "link.py").symlink_to(file)
    for arguments, message in (
        ([tmp_path / "none.py"], "no hole"),
        ([tmp_path / "missing.py"], "there is no file"),
        ([tmp_path], "is a folder"),
        ([file, "--hole", "9:1-9:2"], "9:1 lies outside"),
        ([file, "--hole", "4:1-4:5", "--hole", "4:3-4:8"], "overlap"),
        ([file, "--max-tokens", "4000"], "more than this model takes"),
        ([file, "--also", tmp_path / "missing.py"], "there is no file"),
        ([file, "--also", "-"], "needs a file"),
        ([file, "--also", file], "is the file itself"),
        ([file, "--also", tmp_path / "link.py"], "is the file itself"),
        ([file, "--also", tmp_path / "notes.txt"], "only a file of the same language"),
        ([tmp_path / "notes.txt", "--also", file], "no grammar for"),
    ):
        assert main(["context", *map(str, arguments)]) == 2, arguments
        captured = capsys.readouterr()
        assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_quoted_definition_makes_its_use_likelier(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helpers = file.with_name("helpers.py")
    helpers.write_text("def frobnicate(zebra_crossing, alpaca_wool):\n    return zebra_crossing\n")
    file.write_text("from helpers import frobnicate\n\nx = frobnicate(zebra_crossing=1, alpaca_wool=2)\n")
    bits = []
    for also in ([], ["--also", str(helpers)]):
        assert main(["score", "--json", str(file), "--range", "3:16-3:30", *also]) == 0
        bits.append(json.loads(capsys.readouterr().out)["bits_per_token"])
    assert bits[1] < bits[0] / 2


def test_a_fill_is_given_other_files_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for also in ([], ["--also", str(file.with_name("helpers.py"))]):
        main(["fill", "--json", "--seed", "1", str(file), *also])
        answer = json.loads(capsys.readouterr().out)
        rows.append(answer["prompt_rows"] + answer["reused_rows"])
    assert rows[1] > rows[0]
