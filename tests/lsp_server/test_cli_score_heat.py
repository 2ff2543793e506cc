"""`lacuna score --heat` and `--html`: the surprise map in the terminal and as a page."""

from __future__ import annotations

import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.infiller import Infiller
from lsp_server.buffer import Buffer
from lsp_server.cli import main
from lsp_server.cli import score as score_command
from lsp_server.cli.heat import LEVELS, cells, heat_map, rows
from lsp_server.cli.terminal import Style
from lsp_server.scoring import ScoredToken

TEXT = 'def total(orders):\n\tnote = "é😀</pre><script>alert(1)</script>"\r\n\treturn sum(order.price for order in orders)\n'


@pytest.fixture(autouse=True)
def one_model(infiller: Infiller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_command, "load_model", lambda folder, device: infiller)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "<b>orders.py"
    path.write_bytes(TEXT.encode())
    return path


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def token(start: int, end: int, bits: float) -> ScoredToken:
    return ScoredToken(start, end, -bits * math.log(2), 1, ())


def test_the_heat_map_shows_the_whole_text(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), "--heat"]) == 0
    out = capsys.readouterr().out
    assert "bits" in out and "least expected" in out
    shown = re.findall(r"^ {4}\d (.*)$", out, re.MULTILINE)
    assert shown == [line.expandtabs(4) for line in TEXT.replace("\r\n", "\n").splitlines()]


def test_a_range_s_heat_map_shows_its_lines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), "--heat", "--range", "3:2-3:8"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^ {4}3 ", out, re.MULTILINE) and "def total" not in out.split("least expected")[0]


def test_json_of_a_map_has_no_log_likelihood(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(file), "--heat", "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    places = [each["range"] for each in answer["tokens"]]
    assert "logprob" not in answer and all(first["end"] == second["start"] for first, second in pairwise(places))
    assert (places[0]["start"], places[-1]["end"]) == ({"line": 1, "character": 1}, {"line": 4, "character": 1})
    assert answer["bits_per_token"] == pytest.approx(sum(each["bits"] for each in answer["tokens"]) / len(answer["tokens"]))


def test_marks_stand_under_what_they_mean_and_colours_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    buffer = Buffer("a\t字b = 1\n".encode(), "t")
    tokens = [token(0, 1, 0.5), token(1, 5, 5), token(5, 6, 20), token(6, 10, 0)]
    _, line, marks = heat_map(buffer, tokens, Style(io.StringIO()))
    assert line == "    1 a   字b = 1"
    # The tab fills up to column 4, and the ideogram is two columns wide.
    assert marks == "      " + " " + "---" + "--" + "@"
    legend, painted = heat_map(buffer, tokens, Style(_Terminal()))
    assert "\x1b[" in legend and re.sub(r"\x1b\[[\d;]*m", "", painted) == line


@pytest.mark.parametrize("bits", [0.0, *LEVELS, 40.0])
def test_levels_begin_where_the_legend_says(bits: float) -> None:
    (cell,) = cells(Buffer(b"a", "t"), [token(0, 1, bits)])
    assert cell.level == sum(least <= cell.bits for least in LEVELS)


def test_tokens_that_share_a_character_share_a_cell() -> None:
    buffer = Buffer("é😀x".encode(), "t")
    found = list(cells(buffer, [token(0, 1, 1), token(1, 4, 2), token(4, 6, 4), token(6, 7, 8)]))
    assert [(cell.start, cell.end, round(cell.bits)) for cell in found] == [(0, 6, 7), (6, 7, 8)]


def test_a_token_over_several_lines_is_on_each() -> None:
    buffer = Buffer(b"a\r\n\r\nb", "t")
    found = list(rows(buffer, [token(0, 6, 1)]))
    assert [(row.number, [text for text, _ in row.pieces]) for row in found] == [(1, ["a"]), (2, []), (3, ["b"])]


class _Page(HTMLParser):
    """The text of the listing, and all tags and addresses of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.listing = ""
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "pre" in self.inside and "a" not in self.inside:
            self.listing += data


def test_the_page_holds_all_and_loads_nothing(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "map.html"
    assert main(["score", str(file), "--html", str(path)]) == 0
    assert f"written: {path}" in capsys.readouterr().out
    text = path.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.listing.rstrip("\n") == TEXT.replace("\r\n", "\n").rstrip("\n")
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object"}) and "default-src 'none'" in text
    assert page.addresses and all(re.fullmatch(r"#L\d+", address) for address in page.addresses)
    assert "<b>orders" not in text
    # Once more over the page of the first time.
    assert main(["score", str(file), "--html", str(path), "--json"]) == 0


def test_a_page_is_never_written_over_what_is_none(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, reason in (
        (file, "is no HTML page"),
        (tmp_path, "it is a folder"),
        (tmp_path / "no" / "map.html", "its folder does not exist"),
    ):
        assert main(["score", str(file), "--html", str(path)]) == 2
        captured = capsys.readouterr()
        assert reason in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert file.read_bytes() == TEXT.encode()
