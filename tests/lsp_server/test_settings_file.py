"""lacuna.toml: what it sets, and the sentence about whatever is wrong with it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from lsp_server.configuration import SCHEMA, Layer, Layers, Settings
from lsp_server.settings_file import NAME, SettingsFile, find_in, find_upwards, read_settings_file

# Of each kind of setting a value that it doesn't take, as TOML, and as the message quotes it.
WRONG = [
    ("marker", '""" """', '" "'),
    ("marker", '"two\\nlines"', '"two\\nlines"'),
    ("temperature", '"hot"', '"hot"'),
    ("temperature", "nan", "nan"),
    ("temperature", "1979-05-27", '"1979-05-27"'),
    ("topP", "0", "0"),
    ("alternatives", "2.5", "2.5"),
    ("method", '"magic"', '"magic"'),
    ("maxTokens", "[32]", "[32]"),
    ("seed", "-1", "-1"),
    ("inlineCompletion", '"yes"', '"yes"'),
    ("inlineDelayMs", "10_001", "10001"),
    ("inlineMinProbability", "1.5", "1.5"),
    ("plainCompletion", "true", "true"),
    ("surpriseHints", "1", "1"),
    ("surpriseHintBits", "inf", "inf"),
    ("unloadAfterMinutes", "{ often = 1 }", '{"often": 1}'),
    ("logLevel", '"loud"', '"loud"'),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / NAME


def read(path: Path, text: str | bytes) -> SettingsFile:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings_file(path)


def settings_of(found: SettingsFile) -> Settings:
    return Layers(file=found.layer).settings


def test_every_setting_of_a_project_is_read(path: Path) -> None:
    found = read(
        path,
        """# For this project.
marker = "TODO_"
temperature = 0
topP = 0.9
"alternatives" = 5
method = 'sequential'
maxTokens = 40
device = "cuda"
seed = 7
inlineCompletion = false
inlineDelayMs = 0
inlineMinProbability = 1
plainCompletion = "on"
surpriseHints = true
surpriseHintBits = 5.5
unloadAfterMinutes = 0
logLevel = "debug"
""",
    )
    assert found.problems == ()
    assert set(found.layer.values) == {setting.field for setting in SCHEMA.values() if setting.in_workspace}
    assert found.layer.source == str(path)
    assert settings_of(found) == Settings(
        "TODO_", 0.0, 0.9, 5, "sequential", 40, None, "cuda", 7, False, 0, 1.0, "on", True, 5.5, 0.0, "debug"
    )


@pytest.mark.parametrize(("name", "value", "quoted"), WRONG)
def test_a_wrong_value_is_told_with_its_line_and_what_is_accepted(path: Path, name: str, value: str, quoted: str) -> None:
    other = "seed = 3" if name != "seed" else "topP = 0.5"
    found = read(path, f"# one\n{other}\n\n{name} = {value}\n")
    assert found.problems == (f"{path}:4: {name} must be {SCHEMA[name].kind.accepted}, not {quoted}",)
    # What is right beside it counts.
    assert settings_of(found) == (Settings(seed=3) if name != "seed" else Settings(top_p=0.5))


def test_wrong_values_are_told_in_the_order_of_the_file(path: Path) -> None:
    found = read(path, 'topP = 7\nalternatives = """\nmany\n"""\nseed = 1\ncolour = "red"\ntemperature.at = 3\n')
    assert [problem.removeprefix(f"{path}:") for problem in found.problems] == [
        "1: topP must be a number above 0 and at most 1, not 7",
        '2: alternatives must be a whole number from 1 to 64, not "many\\n"',
        f'6: there is no setting "colour"; there are {", ".join(SCHEMA)}',
        '7: temperature must be a number from 0 to 10, not {"at": 3}',
    ]
    assert found.layer.values == {"seed": 1}


@pytest.mark.parametrize("name", ["top_p", "TopP", "top-p", "topp"])
def test_a_misspelt_name_is_told_with_the_nearest(path: Path, name: str) -> None:
    found = read(path, f"seed = 3\n{name} = 0.5\n")
    assert found.problems == (f'{path}:2: there is no setting "{name}"; did you mean topP?',)
    assert found.layer.values == {"seed": 3}


@pytest.mark.parametrize("text", ["seed = 3\n[lacuna]\ntopP = 7\n", "seed = 3\nlacuna = { topP = 7 }\n", "seed = 3\nlacuna.topP = 7\n"])
def test_a_table_is_no_place_for_settings(path: Path, text: str) -> None:
    found = read(path, text)
    assert found.problems == (f'{path}:2: there is no table "lacuna"; settings stand by themselves, such as temperature = 0.2',)
    assert found.layer.values == {"seed": 3}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed = 3\n\ntopP 0.5\n", 3),
        ("seed = \n", 1),
        ("seed = 3\nseed = 4\n", 2),
        ("# one\r\nseed = 3\r\nmarker = 'x\r\n", 3),
        ("marker = '''\nnever closed\n", 2),
        ("temperature = hot\n", 1),
    ],
)
def test_what_is_no_toml_is_told_with_its_line_and_sets_nothing(path: Path, text: str, line: int) -> None:
    found = read(path, text)
    (problem,) = found.problems
    assert problem.startswith(f"{path}:{line}: the file is no TOML: ") and "(at " not in problem
    assert found.layer == Layer(str(path))


def test_what_is_no_utf_8_is_told_with_its_line(path: Path) -> None:
    found = read(path, b"seed = 3\nmarker = '\xe4'\n")
    assert found == SettingsFile(path, Layer(str(path)), (f"{path}:2: the file is no UTF-8 text",))


def test_line_ends_and_a_byte_order_mark_as_windows_writes_them(path: Path) -> None:
    found = read(path, b"\xef\xbb\xbfseed = 3\r\n\r\ntopP = 7\r\n")
    assert found.problems == (f"{path}:3: topP must be a number above 0 and at most 1, not 7",)
    assert found.layer.values == {"seed": 3}


def test_an_empty_file_sets_nothing(path: Path) -> None:
    assert read(path, "") == SettingsFile(path, Layer(str(path)), ())


def test_a_project_names_no_model(path: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for value in (f"'{tmp_path / 'model'}'", "'~nobody/model'", "7", "''"):
        found = read(path, f"seed = 3\nmodel = {value}\n")
        assert found.problems == (f"{path}:2: model can't be set by a project; set it in the editor or on the command line",)
        assert settings_of(found) == Settings(seed=3)


def test_a_large_file_is_not_read(path: Path) -> None:
    found = read(path, "#" * 8_193)
    assert found.problems == (f"{path}:1: {path} has 8,193 bytes; at most 8,192 are read",)
    assert read(path, "#" * 8_180 + "\na=1").problems[0].startswith(f"{path}:2: ")


def test_a_folder_of_that_name_and_one_that_vanished(path: Path) -> None:
    assert read_settings_file(path).problems == (f"{path}:1: there is no file {path}",)
    path.mkdir()
    assert read_settings_file(path).problems == (f"{path}:1: {path} is a folder; give a file",)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes in folders")
def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    assert "is no plain file" in read_settings_file(path).problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "seed = " + "[" * 4_000 + "]" * 4_000,
        "temperature" + ".a" * 4_000 + " = 1",
        "temperature = 0x" + "f" * 8_000,
        "temperature = " + "9" * 8_000,
        "\n".join(f"a{number} = 1" for number in range(800)),
        "\n".join("[" * 30 for _ in range(250)),
        "marker = '''" + "\n" * 8_000 + "'''",
        "marker = '" + "x" * 4_000 + "'\ntopP = '" + "x" * 4_000 + "'",
    ],
    ids=["brackets", "dots", "hexadecimal digits", "digits", "names", "bracket lines", "blank lines", "long words"],
)
def test_a_hostile_file_costs_little_and_is_told_shortly(path: Path, text: str) -> None:
    began = time.monotonic()
    found = read(path, text)
    # It is read before `initialize` is answered. Well below a second, that is, on a machine with nothing else to do.
    assert time.monotonic() - began < 5
    assert len(found.problems) <= 9 and all(len(problem) < 1_000 for problem in found.problems)


def test_more_unknown_names_than_anybody_reads_are_counted(path: Path) -> None:
    found = read(path, "\n".join(f"name{number} = 1" for number in range(1, 511)))
    assert len(found.problems) == 9
    assert found.problems[-1] == f"{path}:9: 502 more names are no settings"


def test_the_first_folder_that_has_a_file_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second" / "inner"
    first.mkdir()
    second.mkdir(parents=True)
    assert find_in([first, second]) is None
    (second / NAME).touch()
    assert find_in([first, second, tmp_path / "nowhere"]) == second / NAME
    (tmp_path / "second" / NAME).touch()
    assert find_upwards(second) == second / NAME
    (second / NAME).unlink()
    assert find_upwards(second) == tmp_path / "second" / NAME
    assert find_in([Path("\0")]) is None
