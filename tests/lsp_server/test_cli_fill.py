"""`lacuna fill`: arguments, output, files, and what it says of bad input."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.errors import LacunaError
from engine.infiller import Infiller
from engine.results import HoleFill
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.cli import fill as fill_command
from lsp_server.cli import main
from lsp_server.cli.write import write_file
from lsp_server.edits import Edit
from lsp_server.filling import Filling

TEXT = """import csv


def total(orders):
    result = ___
    for order in ___:
        result += order.price
    return ___
"""


@pytest.fixture(autouse=True)
def one_model(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's model in the place of one loaded for each command; a named folder is still looked for."""
    from lsp_server.cli import model

    load = model.load_model
    monkeypatch.setattr(fill_command, "load_model", lambda folder, device: infiller if folder is None else load(folder, device))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.py"
    path.write_bytes(TEXT.encode())
    return path


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must exit with 2 and print nothing else."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lacuna: ") and captured.err.count("\n") == 1
    return captured.err


def filled(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """The JSON of a fill. It may have no suggestion, when the model's were all refused, and then a reason on stderr."""
    code = main(["fill", "--json", "--seed", "1", *map(str, arguments)])
    captured = capsys.readouterr()
    answer: dict[str, Any] = json.loads(captured.out)
    assert code == (0 if answer["suggestions"] else 1)
    assert answer["suggestions"] or captured.err.startswith("lacuna: no suggestion: ")
    return answer


def test_json_has_the_promised_fields(file: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    answer = filled(capsys, file, "-n", 3)
    assert list(answer) == [
        "model",
        "provider",
        "device",
        "elapsed_ms",
        "prefill_ms",
        "prompt_rows",
        "reused_rows",
        "passes",
        "tokens",
        "exact",
        "suggestions",
    ]
    assert (answer["model"], answer["provider"]) == (infiller.model_name, infiller.provider)
    assert len(answer["suggestions"]) <= 3
    for suggestion in answer["suggestions"]:
        assert list(suggestion) == ["logprob", "bits_per_token", "fills"]
        assert suggestion["logprob"] == pytest.approx(sum(fill["logprob"] for fill in suggestion["fills"]))
        assert [list(fill) for fill in suggestion["fills"]] == [["range", "text", "logprob", "tokens"]] * 3
        places = [(fill["range"]["start"], fill["range"]["end"]) for fill in suggestion["fills"]]
        assert places[0] == ({"line": 5, "character": 14}, {"line": 5, "character": 17})
        assert places[1] == ({"line": 6, "character": 18}, {"line": 6, "character": 21})
        assert places[2] == ({"line": 8, "character": 12}, {"line": 8, "character": 15})


def test_text_shows_before_and_after(file: Path, capsys: pytest.CaptureFixture[str], infiller: Infiller) -> None:
    code = main(["fill", str(file), "-n", "2", "--seed", "1"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err, "no colours and no progress where there is no terminal"
    assert infiller.model_name in out.splitlines()[0]
    if code == 0:
        assert "    5 -     result = ___\n" in out
        assert "suggestion 1: log-likelihood -" in out
        assert " bits per token, " in out and " passes" in out and " ms (prompt " in out
        assert out.count("    5 +     result = ") == out.count("suggestion ")


def test_a_named_hole(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = filled(capsys, file, "--hole", "7:19-7:30", "--hole", "8:5")
    for suggestion in answer["suggestions"]:
        first, second = (fill["range"] for fill in suggestion["fills"])
        assert first == {"start": {"line": 7, "character": 19}, "end": {"line": 7, "character": 30}}
        assert second["start"] == second["end"] == {"line": 8, "character": 5}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_columns_count_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str], newline: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(f'if True:{newline}\tx = "😀é" + ___  # 😀{newline}'.encode())
    for arguments in ([], ["--hole", "2:13-2:16"]):
        for suggestion in filled(capsys, path, *arguments)["suggestions"]:
            assert suggestion["fills"][0]["range"] == {"start": {"line": 2, "character": 13}, "end": {"line": 2, "character": 16}}


def test_write_keeps_line_ends_mark_and_permissions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orders.py"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    path.chmod(0o640)
    link = tmp_path / "link.py"
    link.symlink_to(path)
    code = main(["fill", str(link), "--write", "--seed", "1"])
    out, _ = capsys.readouterr()
    after = path.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf")
    assert b"\n" not in after.replace(b"\r\n", b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    if code == 0:
        assert "___" not in after.decode() and f"wrote 3 fills into {link}" in out
        ast.parse(after.decode("utf-8-sig"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.py", "orders.py"]


def test_write_refuses_a_file_that_changed_meanwhile(file: Path) -> None:
    buffer = Buffer.read(file)
    file.write_bytes(b"mine\n")
    with pytest.raises(LacunaError, match="has changed meanwhile"):
        write_file(file, buffer, b"theirs\n")
    assert file.read_bytes() == b"mine\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_write_says_where_it_must_not(file: Path) -> None:
    file.parent.chmod(0o500)
    try:
        with pytest.raises(LacunaError, match="can't be written"):
            write_file(file, Buffer.read(file), b"x")
    finally:
        file.parent.chmod(0o700)


def test_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x = ___  # ___\n")))
    for suggestion in filled(capsys, "-")["suggestions"]:
        assert len(suggestion["fills"]) == 1
    assert "--write needs a file" in refusal(capsys, "fill", "-", "--write")


def test_no_hole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.py"
    path.write_text("x = '___'\n")
    assert "there is no hole in" in refusal(capsys, "fill", path)


def test_empty_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.py"
    path.touch()
    assert "there is no hole in" in refusal(capsys, "fill", path)
    assert "2:1 lies outside" in refusal(capsys, "fill", path, "--hole", "2:1")
    filled(capsys, path, "--hole", "1:1")


@pytest.mark.parametrize(
    ("holes", "message"),
    [
        (["99:1-99:2"], "99:1 lies outside"),
        (["5:1-5:99"], "line 5 ends at column 17"),
        (["0:1-1:1"], "0:1 lies outside"),
        (["1:0"], "1:0 lies outside"),
        (["5:9-5:3"], "ends before it starts"),
        (["5:3-5:9", "5:8-5:12"], "the holes at 5:3 and 5:8"),
        (["5:3", "5:3"], "overlap"),
    ],
)
def test_holes_that_are_not_there(file: Path, capsys: pytest.CaptureFixture[str], holes: list[str], message: str) -> None:
    assert message in refusal(capsys, "fill", file, *(part for hole in holes for part in ("--hole", hole)))


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    latin = tmp_path / "latin.py"
    latin.write_bytes("x = 'é' + ___".encode("latin-1"))
    assert "is not UTF-8" in refusal(capsys, "fill", latin)
    assert "is a folder" in refusal(capsys, "fill", tmp_path)
    assert "there is no file" in refusal(capsys, "fill", tmp_path / "nowhere.py")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "is no plain file" in refusal(capsys, "fill", tmp_path / "pipe")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "between 1 and 64"),
        (["--temperature", "-1"], "temperature must lie"),
        (["--temperature", "nan"], "temperature must lie"),
        (["--top-p", "0"], "top-p must be"),
        (["--max-tokens", "1000000"], "is more than this model takes"),
        (["--model", "no/such/folder"], "no/such/folder"),
    ],
)
def test_values_out_of_range(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert message in refusal(capsys, "fill", file, *arguments)


@pytest.mark.parametrize("arguments", [["--method", "magic"], ["--hole", "three"], ["--max-tokens", "0"], ["--seed", "-1"], ["-n", "few"]])
def test_values_of_the_wrong_kind(file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fill", str(file), *arguments])
    assert stopped.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["5 MB", "one line of 1 MB", "far more than the window", "plain text"])
def test_large_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    function = "def f_{}(a):\n    if a:\n        return [a, 1]\n    return None\n\n\n"
    text = {
        "5 MB": "".join(map(function.format, range(50_000))) + "def g(a):\n    return ___\n" + "".join(map(function.format, range(40_000))),
        "one line of 1 MB": "x = [" + "1, " * 170_000 + "___" + ", 2" * 170_000 + "]\n",
        "far more than the window": "".join(map(function.format, range(100))).replace("a, 1", "a, ___", 1),
        "plain text": "word " * 200_000 + "___\n",
    }[name]
    path = tmp_path / ("a.txt" if name == "plain text" else "a.py")
    path.write_text(text)
    began = time.monotonic()
    answer = filled(capsys, path)
    assert time.monotonic() - began < 60
    assert all(len(suggestion["fills"]) == 1 for suggestion in answer["suggestions"])


def test_a_long_line_is_shown_around_its_fill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.py"
    path.write_text("x = [" + "1, " * 5000 + "___" + ", 2" * 5000 + "]\n")
    main(["fill", str(path), "--seed", "1"])
    assert all(len(line) < 1000 for line in capsys.readouterr().out.splitlines())


def test_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\x1b]0;gotcha\x07 ___\n")
    main(["fill", str(path), "--seed", "1"])
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07"} & set(out + err)


def test_nothing_to_show_exits_with_1_and_says_why(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "it would be a syntax error: ("
    monkeypatch.setattr(fill_command, "fill_holes", lambda *arguments, **named: Filling((), 3, 10, 1.0, 9, 0, 2.0, (reason, reason)))
    before = file.read_bytes()
    assert main(["fill", str(file), "--write"]) == 1
    assert capsys.readouterr().err == f"lacuna: no suggestion: {reason} (2 times)\n"
    assert file.read_bytes() == before


def test_colours_on_a_terminal_only(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fills = (HoleFill("0", (1, 2), (-1.0, -1.0), True),)
    candidate = Candidate((Edit(TEXT.index("___"), TEXT.index("___") + 3, "0"),), fills, 2)
    monkeypatch.setattr(fill_command, "fill_holes", lambda *arguments, **named: Filling((candidate,), 2, 2, 1.0, 9, 0, 2.0, ()))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)
    assert main(["fill", str(file)]) == 0
    assert "result = \x1b[32;1m0\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["fill", str(file)]) == 0
    assert "\x1b[32" not in capsys.readouterr().out


def test_interrupt_exits_with_130_and_one_line(file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    from engine.results import Progress

    def interrupted(*arguments: Any, **named: Any) -> Filling:
        signal.raise_signal(signal.SIGINT)
        arguments[5](Progress(1, 1, 10))
        raise AssertionError("the hook must stop the fill")

    monkeypatch.setattr(fill_command, "fill_holes", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    assert main(["fill", str(file)]) == 130
    assert capsys.readouterr().err == "lacuna: cancelled\n"
    assert signal.getsignal(signal.SIGINT) is handler


def installed(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command `lacuna`, in a process of its own."""
    command = shutil.which("lacuna", path=str(Path(sys.executable).parent))
    assert command, "install the project first: pip install -e ."
    return subprocess.run([command, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def test_the_installed_command_fills_a_file(file: Path) -> None:
    # A workspace whose own folders have the names of Lacuna's packages must not be imported.
    (file.parent / "engine").mkdir()
    (file.parent / "engine" / "__init__.py").write_text("raise SystemExit('the workspace was run')\n")
    done = installed("fill", file.name, "--seed", "1", "--json", cwd=file.parent)
    assert done.returncode in (0, 1), done.stderr
    assert len(json.loads(done.stdout)["suggestions"]) == (done.returncode == 0)


@pytest.mark.parametrize(
    "arguments", [["fill", "nowhere.py"], ["fill", "."], ["fill", "orders.py", "--model", "nowhere"], ["score", "nowhere.py"]]
)
def test_the_installed_command_refuses_in_one_line(file: Path, arguments: list[str]) -> None:
    done = installed(*arguments, cwd=file.parent)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_the_installed_command_helps(tmp_path: Path) -> None:
    assert "fill the holes of a file" in installed("--help", cwd=tmp_path).stdout
    assert installed("--version", cwd=tmp_path).stdout.startswith("lacuna ")
    assert "columns in characters" in " ".join(installed("fill", "--help", cwd=tmp_path).stdout.split())
    assert installed(cwd=tmp_path).returncode == 2


def test_markers_of_one_name_get_one_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "size.py"
    path.write_text("import os\n\n\ndef size(path):\n    ___status = os.stat(path)\n    return ___status.st_size + ___\n")
    answer = filled(capsys, path, "--temperature", 0.5, "--write")
    (suggestion,) = answer["suggestions"]
    first, second, other = (fill["text"] for fill in suggestion["fills"])
    assert first == second
    written = path.read_text()
    assert "___" not in written
    assert f"    {first} = os.stat(path)\n    return {first}.st_size + {other}\n" in written


def test_a_name_that_stands_once_is_a_hole_like_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.py"
    path.write_text("import os\n\n\ndef size(path):\n    return os.stat(___what).st_size\n")
    suggestions = filled(capsys, path, "-n", 3)["suggestions"]
    assert suggestions
    (fill,) = suggestions[0]["fills"]
    assert fill["range"] == {"start": {"line": 5, "character": 20}, "end": {"line": 5, "character": 27}}
