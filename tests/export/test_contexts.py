"""Cut contexts: what is fetched from above a window, and that training sees it where the editor's side would put it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import LacunaError
from export.contexts import HEADERS_SHARE, IMPORTS_SHARE, ContextMix, fetch
from export.corpus import Project, SourceFile, load, write
from export.examples import Windows
from export.train import prepare_tokenizer
from export.validation import draw_passages
from export.vocabulary import SPECIAL_IDS
from tests.export.workshop import RECIPE, source

FILE = '''import os
from typing import (
    Any,
    Final,
)

LIMIT: Final = 3


@final
class Café(
    Base,
):
    """Ein Café."""

    size = 1

    def first(self) -> None:
        import json

        print(json)

    @property
    def second(self, value: Any) -> int:
        if value:
            for each in value:
                os.remove(each)
        return LIMIT


def after() -> None:
    pass
'''


def above(line: str, room: int = 100_000) -> tuple[str, bool]:
    """What is fetched for the window that begins with `line`, imports getting nearly all of their share."""
    rng = random.Random()
    rng.uniform = lambda low, high: high  # type: ignore[method-assign, assignment]
    return fetch(FILE, FILE.index(line), room, rng)


IMPORTS = "import os\nfrom typing import (\n    Any,\n    Final,\n)\n"
CLASS = "@final\nclass Café(\n    Base,\n):\n"
PROPERTY = "    @property\n    def second(self, value: Any) -> int:\n"


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        (
            "                os.remove",
            "    @property\n    def second(self, value: Any) -> int:\n        if value:\n            for each in value:\n",
        ),
        ("        return LIMIT", "    @property\n    def second(self, value: Any) -> int:\n"),
        ("        print(json)", "    def first(self) -> None:\n"),
    ],
)
def test_imports_and_the_headers_of_the_scopes_around_are_fetched(line: str, headers: str) -> None:
    assert above(line) == (IMPORTS + CLASS + headers, True)


def test_outside_of_scopes_there_are_imports_alone() -> None:
    assert above("def after") == (IMPORTS, True)
    assert above("LIMIT: Final") == (IMPORTS, True)
    assert above("import os") == ("", False)


def test_what_has_no_room_is_left_out_the_outer_headers_first() -> None:
    room = 300  # 25 bytes of imports, 50 of headers
    assert above("        print(json)", room) == ("import os\n    def first(self) -> None:\n", True)


@settings(deadline=None)
@given(st.integers(0, len(FILE.splitlines()) - 1), st.integers(0, 3000), st.integers(0, 2**32))
def test_whole_lines_from_above_come_in_order_and_within_their_shares(line: int, room: int, seed: int) -> None:
    lines = FILE.splitlines(keepends=True)
    start = sum(map(len, lines[:line]))
    text, at_start = fetch(FILE, start, room, random.Random(seed))
    rest = iter(lines[:line])
    assert all(fetched in rest for fetched in text.splitlines(keepends=True))
    assert len(text.encode()) <= (IMPORTS_SHARE + HEADERS_SHARE) * room
    assert at_start == text.startswith("import os")


@settings(deadline=None, max_examples=40)
@given(st.text(alphabet="if x:\n \tdef():'é", max_size=120), st.integers(0, 2**32))
def test_broken_text_is_no_trouble(text: str, seed: int) -> None:
    starts = [0, *(index + 1 for index, character in enumerate(text) if character == "\n")]
    fetch(text, random.Random(seed).choice(starts), 1000, random.Random(seed))


def test_training_puts_it_before_a_window_that_begins_with_a_line(tiny_run: Path, tmp_path: Path) -> None:
    files = [SourceFile("p", f"{name}.py", f"import {name}\n\n" + source(name) * 3) for name in ("box", "ring")]
    write(tmp_path, [Project("p", "1", "MIT", "train", 2, 1)], {"train": files, "held_out": []}, {"python": "3", "dropped": {}})
    tokenizer = prepare_tokenizer(tiny_run, (), RECIPE.model.vocabulary)
    windows = Windows(load(tmp_path, "train"), tokenizer, 128, 1, context=ContextMix(cut=1.0))
    texts = {file.text for file in files}
    cut = 0
    for seed in range(60):
        window = windows.window(random.Random(seed), 128)
        whole = next(text for text in texts if window.text in text)
        if not window.above:
            continue
        cut += 1
        assert any(whole[: at + 1].endswith("\n") for at in range(len(whole)) if whole.startswith(window.text, at + 1))
        assert window.at_start == window.above.startswith("import ")
        made = windows.example(random.Random(seed), 128)
        begins = [mark for mark in (SPECIAL_IDS.bos, SPECIAL_IDS.sof) if mark in made.ids]
        shown = tokenizer.decode([made.ids[index] for index in made.positions.argsort()], skip_special_tokens=True)
        assert shown == window.above + window.text
        assert (SPECIAL_IDS.sof in begins) == window.at_start
        assert len(made.ids) < 128 + 24
    assert cut > 20


def test_without_cut_contexts_windows_are_what_they_were(tiny_corpus: Path, tiny_run: Path) -> None:
    windows = Windows(load(tiny_corpus, "train"), prepare_tokenizer(tiny_run, (), RECIPE.model.vocabulary), 64, 1)
    assert not any(windows.window(random.Random(seed), 64).above for seed in range(40))


def test_an_impossible_share_is_refused() -> None:
    with pytest.raises(LacunaError, match=r"between 0 and 1, not 1\.5"):
        ContextMix(cut=1.5)


def test_held_out_passages_can_be_cut_contexts(tiny_corpus: Path) -> None:
    split = load(tiny_corpus, "held_out")
    plain, cut = (draw_passages(split, 128, 40, 5, context=ContextMix(cut=share)) for share in (0.0, 1.0))
    files = [file.text for file in split]
    assert all(any(text.whole() in file for file in files) for text in plain.texts)
    gaps = [text for text in cut.texts if not any(text.whole() in file for file in files)]
    assert gaps
    for text in gaps:
        fetched = next(line for line in text.pieces[0].splitlines())
        assert fetched.startswith(("def ", "class ", "    def ", "    if "))
        assert all(any(hole in file for file in files) for hole in text.holes)
