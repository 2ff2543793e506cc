"""Where source comes from: standard libraries and installed distributions, with their licences."""

from __future__ import annotations

import contextlib
import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from export.corpus.files import split_of

_PERMISSIVE = re.compile(
    r"\b(mit|bsd|apache|isc|psf|python software foundation|0bsd|unlicense|zlib|hpnd|cc0|mit-0|public domain|boost|bsl-1\.0)\b", re.I
)
_COPYLEFT = re.compile(r"\b(a?gpl|lgpl|gnu|mpl|mozilla|eupl|cddl|epl|proprietary|commercial|cc-by-nc)\b", re.I)
_OWN = "lacuna-lsp"


@dataclass(frozen=True)
class Source:
    """A project to take files from: `(path inside the project, path on disk)` each. `licence` is None unless it is permissive."""

    name: str
    version: str
    licence: str | None
    split: str
    files: tuple[tuple[str, Path], ...]


def licence_of(distribution: Distribution) -> str | None:
    """The licence a distribution declares, if it is permissive; None for copyleft, proprietary or unknown ones."""
    metadata = distribution.metadata
    classifiers = [c.rpartition("::")[2].strip() for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    expression, free_text = ((metadata.get_all(name) or [""])[0] for name in ("License-Expression", "License"))
    declared = expression or "; ".join(c for c in classifiers if c != "OSI Approved") or free_text or ""
    declared = " ".join(declared.split())[:120]
    if _COPYLEFT.search(declared) or not _PERMISSIVE.search(declared):
        return None
    return declared


def find_sources(site_packages: Iterable[Path], libraries: Iterable[Path]) -> list[Source]:
    """This Python's standard library and `libraries`, newest first, then the distributions under `site_packages`, by name.

    A project that is installed several times counts once, as it is in the first folder.
    """
    found: dict[str, Source] = {}
    for name, root in sorted(_named(libraries).items(), key=lambda item: _version(item[0]), reverse=True):
        # All versions of the standard library are one work: were one of them held out, training would lose the whole of it.
        found[_normal(name)] = Source(name, name.partition(" ")[2], "PSF-2.0", split_of("CPython"), tuple(_library_files(root)))
    installed: dict[str, Source] = {}
    for folder in site_packages:
        for distribution in _readable(folder):
            name = distribution.metadata["Name"]
            if name and _normal(name) != _OWN and _normal(name) not in installed:
                version, files = distribution.metadata["Version"] or "unknown", tuple(_distribution_files(distribution))
                installed[_normal(name)] = Source(name, version, licence_of(distribution), split_of(name), files)
    return [*found.values(), *(installed[name] for name in sorted(installed) if name not in found)]


def _readable(folder: Path) -> list[Distribution]:
    named: list[tuple[str, Distribution]] = []
    for distribution in distributions(path=[str(folder)]):
        # Metadata in no known encoding declares no licence that could be read.
        with contextlib.suppress(UnicodeDecodeError):
            named.append((distribution.metadata["Name"] or "", distribution))
    return [distribution for _, distribution in sorted(named, key=lambda pair: pair[0].lower())]


def _named(libraries: Iterable[Path]) -> dict[str, Path]:
    named = {f"CPython {sys.version_info.major}.{sys.version_info.minor}": Path(sysconfig.get_path("stdlib"))}
    for root in libraries:
        named.setdefault(f"CPython {root.resolve().name.removeprefix('python')}", root)
    return named


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _library_files(root: Path) -> Iterable[tuple[str, Path]]:
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if not relative.startswith(("site-packages/", "dist-packages/")):
            yield relative, path


def _distribution_files(distribution: Distribution) -> Iterable[tuple[str, Path]]:
    for file in distribution.files or []:
        if file.suffix == ".py" and ".." not in file.parts:
            yield file.as_posix(), Path(str(distribution.locate_file(file)))
