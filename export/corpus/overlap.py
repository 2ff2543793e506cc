"""What a corpus shares with evaluation data: long n-grams of lexical tokens.

An n-gram is N lexical tokens in a row, white space aside, with at least WORDS different words that are no numbers: tables such as
`[1, 2, 3, 4]` are everywhere and give nothing away. Some n-grams of words are common property too (`for i in range(len(x)): for j in
range(`), so that a file counts as contaminated only from MOST_SHARED different n-grams of one evaluation record on: as many as a
copied run of about N + MOST_SHARED tokens has, or several shorter ones.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import LacunaError
from export.corpus.files import SourceFile
from export.corpus.lexical import lexical_tokens

OVERLAP = "overlap.json"
N = 13
WORDS = 4
MOST_SHARED = 8
_SHOWN = 20
_FACTORS = [pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(N)]


@dataclass(frozen=True)
class Shared:
    """What one file shares with the evaluation data: different n-grams in all, and those of the record it shares most with."""

    project: str
    path: str
    ngrams: int
    of_one_record: int
    share_of_record: float


@dataclass(frozen=True)
class Overlap:
    """The report on a split: `shared_ngrams` of the `evaluation_ngrams` occur in it, in `files_with_hits` of its `files`.

    `records_hit` records of the evaluation data have at least one n-gram in the split, `records_contaminated` have MOST_SHARED or
    more in one file. `most_shared_files` and `commonest` (`{"text", "files"}`) list the worst first.
    """

    n: int
    contaminated_from: int
    records: int
    evaluation_ngrams: int
    files: int
    files_with_hits: int
    shared_ngrams: int
    records_hit: int
    records_contaminated: int
    record_share_hit: float
    most_shared_files: tuple[Shared, ...]
    commonest: tuple[dict[str, Any], ...]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    def as_table(self) -> str:
        lines = [
            f"evaluation data: {self.records:,} records, {self.evaluation_ngrams:,} different {self.n}-grams of lexical tokens",
            f"of these in the train split: {self.shared_ngrams:,}, in {self.files_with_hits:,} of {self.files:,} files",
            f"records with any: {self.records_hit:,} ({self.record_share_hit:.1%}); "
            f"with {self.contaminated_from} or more in one file: {self.records_contaminated:,}",
        ]
        if self.most_shared_files:
            lines.append("files that share most (n-grams of one record, share of that record's):")
            lines += [f"  {f.of_one_record:5} {f.share_of_record:6.1%}  {f.project}: {f.path}" for f in self.most_shared_files[:10]]
            lines.append("commonest shared n-grams (files):")
            lines += [f"  {entry['files']:5}  {entry['text']}" for entry in self.commonest[:10]]
        return "\n".join(lines)


class EvaluationNgrams:
    """All n-grams of some evaluation records, found again in texts by a 64-bit rolling hash of random word values.

    A false hit has a chance of (different n-grams) / 2**64 per place, too little to check for.
    """

    def __init__(self, records: Iterable[Sequence[str]]) -> None:
        """`records`: the texts of each record."""
        self._values: dict[str, int] = {}
        texts: dict[int, str] = {}
        self.records: list[npt.NDArray[np.uint64]] = []
        for record in records:
            hashes: set[int] = set()
            for text in record:
                tokens = lexical_tokens(text)
                for token in tokens:
                    if token not in self._values:
                        self._values[token] = int.from_bytes(hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).digest())
                for start, value in enumerate(self._hashes(tokens).tolist()):
                    ngram = tokens[start : start + N]
                    if value in texts or len({token for token in ngram if token.isidentifier()}) >= WORDS:
                        hashes.add(value)
                        texts.setdefault(value, " ".join(ngram))
            self.records.append(np.array(sorted(hashes), dtype=np.uint64))
        self.texts = texts
        self.known = np.array(sorted(texts), dtype=np.uint64)
        self._records_of: dict[int, list[int]] = {}
        for number, record_hashes in enumerate(self.records):
            for value in record_hashes.tolist():
                self._records_of.setdefault(value, []).append(number)

    def shared(self, tokens: Sequence[str]) -> frozenset[int]:
        """The hashes of the evaluation n-grams among a text's lexical tokens."""
        hashes = self._hashes(tokens)
        if not len(hashes) or not len(self.known):
            return frozenset()
        places = np.minimum(np.searchsorted(self.known, hashes), len(self.known) - 1)
        return frozenset(hashes[self.known[places] == hashes].tolist())

    def by_record(self, shared: Iterable[int]) -> Counter[int]:
        """How many of these n-grams each record has."""
        return Counter(record for value in shared for record in self._records_of[value])

    def contaminates(self, shared: frozenset[int]) -> bool:
        return len(shared) >= MOST_SHARED and max(self.by_record(shared).values()) >= MOST_SHARED

    def _hashes(self, tokens: Sequence[str]) -> npt.NDArray[np.uint64]:
        # Words that no evaluation text has count as 0: an n-gram with one of them has no hash among the known ones.
        values = np.fromiter((self._values.get(token, 0) for token in tokens), dtype=np.uint64, count=len(tokens))
        count = max(0, len(values) - N + 1)
        hashes = np.zeros(count, dtype=np.uint64)
        for offset, factor in enumerate(_FACTORS):
            hashes += values[offset : offset + count] * np.uint64(factor)
        return hashes


class Tally:
    """Gathers what each kept file shares, for the report."""

    def __init__(self, ngrams: EvaluationNgrams) -> None:
        self.ngrams = ngrams
        self._files = 0
        self._hits: list[tuple[str, str, frozenset[int]]] = []

    def add(self, project: str, path: str, shared: frozenset[int]) -> None:
        self._files += 1
        if shared:
            self._hits.append((project, path, shared))

    def report(self) -> Overlap:
        ngrams, in_files = self.ngrams, Counter[int]()
        hit: set[int] = set()
        contaminated: set[int] = set()
        files: list[Shared] = []
        for project, path, shared in self._hits:
            in_files.update(shared)
            by_record = ngrams.by_record(shared)
            hit.update(by_record)
            contaminated.update(record for record, count in by_record.items() if count >= MOST_SHARED)
            record, most = min(by_record.items(), key=lambda item: (-item[1], item[0]))
            files.append(Shared(project, path, len(shared), most, most / len(ngrams.records[record])))
        files.sort(key=lambda file: (-file.of_one_record, -file.ngrams, file.project, file.path))
        commonest = sorted(in_files.items(), key=lambda item: (-item[1], ngrams.texts[item[0]]))
        return Overlap(
            N,
            MOST_SHARED,
            len(ngrams.records),
            len(ngrams.known),
            self._files,
            len(files),
            len(in_files),
            len(hit),
            len(contaminated),
            len(hit) / max(1, len(ngrams.records)),
            tuple(files),
            tuple({"text": ngrams.texts[value], "files": count} for value, count in commonest[:_SHOWN]),
        )


def measure(files: Iterable[SourceFile], ngrams: EvaluationNgrams) -> Overlap:
    """What some files share with evaluation data."""
    tally = Tally(ngrams)
    for file in files:
        tally.add(file.project, file.path, ngrams.shared(lexical_tokens(file.text)))
    return tally.report()


def read_evaluation(paths: Iterable[Path]) -> EvaluationNgrams:
    """The n-grams of evaluation files: .jsonl or .jsonl.gz, or folders of them. Raises LacunaError for a missing or damaged one."""
    return EvaluationNgrams(texts for path in paths for file in _files(path) for texts in _records(file))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for pattern in ("*.jsonl", "*.jsonl.gz") for file in path.rglob(pattern))
    if not files:
        raise LacunaError(f"{path} holds no .jsonl or .jsonl.gz file; name a folder or file of evaluation data")
    return files


def _records(path: Path) -> Iterator[list[str]]:
    opener = gzip.open if path.suffix == ".gz" else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                if line.strip():
                    yield _texts(json.loads(line))
                number += 1
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise LacunaError(f"{path} is damaged after line {number} ({error}); get this evaluation file again") from None
    except OSError as error:
        raise LacunaError(f"the evaluation data {path} can't be read ({error.strerror}); name a .jsonl or .jsonl.gz file") from None


def _texts(record: object) -> list[str]:
    """All strings of a record; and where it is an infilling or completion task, the solved task in one piece."""
    texts = list(_strings(record))
    if isinstance(record, dict) and isinstance(record.get("prompt"), str) and isinstance(record.get("canonical_solution"), str):
        texts.append(f"{record['prompt']}{record['canonical_solution']}{record.get('suffix', '')}")
    return texts


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
