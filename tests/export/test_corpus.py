"""The corpus: what is kept of made-up site-packages, and what a damaged one says."""

from __future__ import annotations

import json
from importlib.metadata import distributions
from pathlib import Path

import pytest

from engine.errors import LacunaError
from export import corpus
from export.corpus_summary import summarise
from tests.export.workshop import source, write_corpus


def install(site: Path, name: str, licence: str, files: dict[str, str]) -> None:
    """Put a distribution with metadata and a record into a folder; `licence` is one metadata line, or ''."""
    info = site / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n{licence}\n", encoding="utf-8")
    for relative, text in files.items():
        path = site / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (info / "RECORD").write_text("".join(f"{relative},,\n" for relative in files), encoding="utf-8")


@pytest.fixture
def no_standard_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests build from made-up folders alone."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(empty))


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        ("License-Expression: MIT", "MIT"),
        ("License: BSD 3-Clause", "BSD 3-Clause"),
        ("Classifier: License :: OSI Approved :: Apache Software License", "Apache Software License"),
        ("Classifier: License :: OSI Approved", None),
        ("License-Expression: GPL-3.0-or-later", None),
        ("License-Expression: MIT AND LGPL-2.1", None),
        ("License: Mozilla Public License 2.0", None),
        ("License: Proprietary", None),
        ("", None),
    ],
)
def test_only_permissive_licences_pass(tmp_path: Path, metadata: str, kept: str | None) -> None:
    install(tmp_path, "thing", metadata, {})
    (distribution,) = distributions(path=[str(tmp_path)])
    assert corpus.licence_of(distribution) == kept


@pytest.mark.usefixtures("no_standard_library")
def test_a_build_keeps_licensed_files_once_and_says_whose_they_are(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(
        site,
        "first",
        "License-Expression: MIT",
        {"first/a.py": source("a"), "first/_vendor/b.py": source("b"), "first/short.py": "x = 1\n", "first/g.py": source("g")},
    )
    install(
        site, "second", "License-Expression: BSD-3-Clause", {"second/a.py": source("a").replace("\n", "\n\n"), "second/c.py": source("c")}
    )
    install(site, "third", "License-Expression: GPL-3.0", {"third/d.py": source("d")})
    install(site, "broken", "License-Expression: MIT", {"broken/e.py": source("e") + "def (:\n", "broken/f.py": source("f")})
    projects = corpus.build(tmp_path / "out", [site])
    assert {p.name for p in projects} == {"first", "second", "broken"}
    paths = []
    for split in corpus.SPLITS:
        lines = (tmp_path / "out" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        assert all(corpus.split_of(record["project"]) == split for record in records)
        paths += [record["path"] for record in records]
    assert sorted(path for path in paths if not path.endswith("/a.py")) == ["broken/f.py", "first/g.py", "second/c.py"]
    # Whichever of the two copies came first was kept, and only that one.
    assert sum(path.endswith("/a.py") for path in paths) == 1
    summary = summarise(tmp_path / "out")
    assert sum(summary[split]["files"] for split in corpus.SPLITS) == 4
    assert set(summary["licences"]) == {p.licence for p in projects}


@pytest.mark.usefixtures("no_standard_library")
def test_nothing_found_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="no permissively licensed Python source"):
        corpus.build(tmp_path / "out", [tmp_path / "nowhere"])


@pytest.mark.parametrize(
    "text",
    [
        "# This file is auto-generated\n" + source("a"),
        source("a") + "x = '" + "y" * 500 + "'\n",
        source("a") + "table = [" + "12345678, " * 20 + "]\n" * 1 + "numbers = [\n" + "    98765432101234567890,\n" * 40 + "]\n",
        "short = True\n",
        source("a") + "return (\n",
    ],
)
def test_files_that_teach_nothing_are_left_out(text: str) -> None:
    assert not corpus.wanted("package/module.py", text)
    assert corpus.wanted("package/module.py", source("a"))


@pytest.mark.parametrize("line", ["{", "[]", '{"project": "p", "path": "q"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    folder = write_corpus(tmp_path / "corpus")
    with (folder / "train.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(line + "\n")
    with pytest.raises(LacunaError, match="line 13, is damaged"):
        corpus.load(folder, "train")


def test_a_missing_and_an_empty_corpus_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LacunaError, match="there is no corpus"):
        corpus.load(tmp_path / "nowhere", "train")
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(LacunaError, match="holds no file"):
        corpus.load(tmp_path, "train")


@pytest.mark.parametrize("text", ["{", "[]", '{"python": "3.11"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(LacunaError, match="is damaged"):
        summarise(tmp_path)
    with pytest.raises(LacunaError, match="there is no corpus"):
        summarise(tmp_path / "nowhere")
