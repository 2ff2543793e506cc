"""Building a corpus: find, judge, spool, shuffle, write, and only then put it in its place."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from engine.errors import LacunaError
from export.corpus.files import SPLITS, Project, SourceFile
from export.corpus.filters import parses, path_reason, text_reason
from export.corpus.lexical import lexical_tokens
from export.corpus.near_copies import SHINGLE, SIMILARITY, NearCopies, fingerprint
from export.corpus.overlap import OVERLAP, EvaluationNgrams, Tally, read_evaluation
from export.corpus.sources import Source, find_sources
from export.corpus.storage import write

CAP_BYTES = 4_000_000
_OWN_FILE = re.compile(r"manifest\.json|overlap\.json|(train|held_out)(-\d{5}\.bin|-index\.npy|-paths\.bin|\.jsonl)")
REASONS = (
    "licence",
    "vendored",
    "test-thinned",
    "unreadable",
    "size",
    "generated",
    "minified",
    "data",
    "cap",
    "exact copy",
    "near copy",
    "syntax",
    "evaluation overlap",
)


@dataclass(frozen=True)
class _Kept:
    """A kept file's place in the spool (bytes)."""

    project: str
    path: str
    start: int
    size: int


def build(
    out: Path,
    site_packages: Iterable[Path],
    libraries: Iterable[Path] = (),
    *,
    evaluation: Iterable[Path] = (),
    seed: int = 0,
    cap_bytes: int = CAP_BYTES,
) -> list[Project]:
    """Write a corpus of standard libraries and all permissively licensed distributions under `site_packages`.

    Held-out projects are judged first, so that of two copies on both sides of the border the train split loses its own. At most
    `cap_bytes` of a project are kept; `seed` chooses which files, and their order. Files that share much with the evaluation data in
    `evaluation` are left out. The same sources, options and Python give the same bytes. `out` is replaced at the very end, if it was
    a corpus. Raises LacunaError when nothing was found, for bad evaluation data, and where `out` can't be written.
    """
    out = out.resolve()
    partial = out.with_name(f"{out.name}.partial")
    for folder in (out, partial):
        _refuse_other_folders(folder)
    evaluation = list(evaluation)
    ngrams = read_evaluation(evaluation) if evaluation else None
    sources = find_sources(site_packages, libraries)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            projects = _build(partial, sources, ngrams, seed, cap_bytes)
            if not projects:
                raise LacunaError(
                    f"no permissively licensed Python source was found for the corpus {out}; name a site-packages folder with --from"
                )
            _put_in_place(partial, out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise LacunaError(f"the corpus can't be written to {out} ({error.strerror}); make room or name another folder") from None
    return projects


class _Collector:
    """Judges file after file and spools those it keeps."""

    def __init__(self, spool: IO[bytes], ngrams: EvaluationNgrams | None, seed: int, cap_bytes: int) -> None:
        self.dropped = Counter[str]()
        self.tally = Tally(ngrams) if ngrams else None
        self._spool = spool
        self._seed = seed
        self._cap_bytes = cap_bytes
        self._kept: dict[str, list[_Kept]] = {split: [] for split in SPLITS}
        self._exact: set[bytes] = set()
        self._near = NearCopies()

    def take(self, source: Source) -> Project | None:
        """Keep what is worth it of a source, in a seeded order, up to the cap; None where nothing is."""
        if source.licence is None:
            self.dropped["licence"] += len(source.files)
            return None
        files = size = 0
        for relative, path in sorted(source.files, key=lambda file: self._rank(source.name, file[0])):
            if reason := path_reason(relative):
                self.dropped[reason] += 1
                continue
            text = _read(path)
            if text is None:
                self.dropped["unreadable"] += 1
                continue
            content = text.encode()
            if reason := text_reason(text) or ("cap" if size + len(content) > self._cap_bytes else self._known(source, relative, text)):
                self.dropped[reason] += 1
                continue
            self._kept[source.split].append(_Kept(source.name, relative, self._spool.tell(), len(content)))
            self._spool.write(content)
            files += 1
            size += len(content)
        return Project(source.name, source.version, source.licence, source.split, files, size) if files else None

    def shuffled(self, split: str) -> Iterator[SourceFile]:
        """The kept files of a split in the order of training."""
        for file in sorted(self._kept[split], key=lambda file: self._rank("order", file.project, file.path)):
            self._spool.seek(file.start)
            yield SourceFile(file.project, file.path, self._spool.read(file.size).decode())

    def _rank(self, *words: str) -> bytes:
        return hashlib.sha256("\0".join((str(self._seed), *words)).encode()).digest()

    def _known(self, source: Source, relative: str, text: str) -> str | None:
        """Why a text is left out for what is kept already or for the evaluation data, or for being no Python; None: it is new."""
        digest = hashlib.sha256(" ".join(text.split()).encode()).digest()
        if digest in self._exact:
            return "exact copy"
        tokens = lexical_tokens(text)
        minhash = fingerprint(tokens)
        if self._near.has(minhash):
            return "near copy"
        if not parses(text):
            return "syntax"
        if self.tally:
            shared = self.tally.ngrams.shared(tokens)
            if self.tally.ngrams.contaminates(shared):
                return "evaluation overlap"
            if source.split == "train":
                self.tally.add(source.name, relative, shared)
        self._exact.add(digest)
        self._near.add(f"{source.name}/{relative}", minhash)
        return None


def _build(folder: Path, sources: list[Source], ngrams: EvaluationNgrams | None, seed: int, cap_bytes: int) -> list[Project]:
    projects: list[Project] = []
    with tempfile.TemporaryFile(dir=folder) as spool:
        collector = _Collector(spool, ngrams, seed, cap_bytes)
        with tqdm(total=sum(len(source.files) for source in sources), unit="file", disable=None) as progress:
            for source in sorted(sources, key=lambda source: source.split != "held_out"):
                progress.set_description(source.name)
                project = collector.take(source)
                if project:
                    projects.append(project)
                progress.update(len(source.files))
        projects.sort(key=lambda project: project.name.lower())
        about = {
            "python": sys.version.split()[0],
            "seed": seed,
            "cap_bytes": cap_bytes,
            "near_copies": {"shingle": SHINGLE, "similarity": SIMILARITY},
            "dropped": {reason: collector.dropped[reason] for reason in REASONS},
        }
        write(folder, projects, {split: collector.shuffled(split) for split in SPLITS}, about)
    if collector.tally:
        (folder / OVERLAP).write_text(collector.tally.report().as_json() + "\n", encoding="utf-8")
    return projects


def _read(path: Path) -> str | None:
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text.replace("\r\n", "\n")


def _refuse_other_folders(out: Path) -> None:
    """A build replaces the whole folder, so that it must be new, empty or a corpus and nothing else."""
    if not out.exists():
        return
    if not out.is_dir():
        raise LacunaError(f"{out} is a file; name a folder for the corpus")
    strange = [entry.name for entry in out.iterdir() if not _OWN_FILE.fullmatch(entry.name)]
    if strange:
        raise LacunaError(f"{out} holds other things than a corpus ({sorted(strange)[0]}); name a new or empty folder")


def _put_in_place(partial: Path, out: Path) -> None:
    if not out.exists():
        partial.rename(out)
        return
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as aside:
        old = out.rename(Path(aside) / "old")
        try:
            partial.rename(out)
        except OSError:
            old.rename(out)
            raise
