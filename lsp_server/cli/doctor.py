"""`lacuna doctor`: what is installed, which model there is, what it takes, which settings hold, and whether all of it works."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.errors import LacunaError
from lsp_server.cli.model import add_device_option, add_model_option
from lsp_server.cli.terminal import Style, harmless
from lsp_server.configuration import SCHEMA, Layer, Layers
from lsp_server.languages import grammar_of, tables
from lsp_server.memory import resident_bytes
from lsp_server.self_check import self_check
from lsp_server.settings_file import find_upwards, read_settings_file
from lsp_server.version import lacuna_version

BROKEN = 1
_EDITOR_PARTS = ("pygls", "lsprotocol", "tree-sitter", "tree-sitter-python", "watchdog")


@dataclass
class Report:
    """What was found. `model` and `self_check` are empty where the model doesn't load; `problems` are for a person to mend.

    `grammars` are the versions of the languages' grammars, None where there is none, and the language therefore is plain text.
    `device` is what was wanted, the name of what the model runs on, and the reason where that isn't the GPU, expected or not.
    `settings` are those of lacuna.toml, empty where there is no such file; `memory` is what this process takes in the
    end, and how much of it came with the model and its runtime, empty where the system doesn't tell.
    """

    versions: dict[str, str] = field(default_factory=dict)
    grammars: dict[str, str | None] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    cores: int | None = None
    providers: list[str] = field(default_factory=list)
    model: dict[str, object] = field(default_factory=dict)
    device: dict[str, str] = field(default_factory=dict)
    self_check: dict[str, object] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    parser = commands.add_parser(
        "doctor",
        help="check the installation and the model",
        description="Versions, grammars, the settings that lacuna.toml has for the current folder, the model with its hashes checked, what "
        "it runs on and why, a fill as a trial, and the threads and the memory that it takes. Exit code 1 where something is broken.",
    )
    add_model_option(parser)
    add_device_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code: 1 where something is broken."""
    report = examine(arguments.model, arguments.device)
    if arguments.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _show(report)
    return BROKEN if report.problems else 0


def examine(folder: Path | None, device: str | None) -> Report:
    """Look at everything, whatever else is broken. `device` None: the one that the settings name."""
    report = Report(versions={"python": platform.python_version(), "lacuna-lsp": lacuna_version()})
    for name in _EDITOR_PARTS:
        try:
            report.versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            report.problems.append(f"{name} is not installed; install lacuna-lsp again")
    _examine_grammars(report)
    layer = _examine_settings(report)
    try:
        _examine_runtime(report)
        _examine_model(report, folder, device or Layers(file=layer).settings.device)
    except LacunaError as error:
        report.problems.append(str(error))
    except ImportError as error:
        report.problems.append(f"the runtime can't be imported ({error}); install lacuna-lsp again")
    return report


def _examine_grammars(report: Report) -> None:
    for table in tables():
        found = grammar_of(table.ids[0]) is not None
        report.grammars[table.name] = importlib.metadata.version(table.distribution) if found else None


def _examine_settings(report: Report) -> Layer:
    """Returns what lacuna.toml sets."""
    path = find_upwards(Path.cwd())
    if path is None:
        return Layers().file
    found = read_settings_file(path)
    names = {setting.field: setting.name for setting in SCHEMA.values()}
    report.settings = {"file": str(path), **{names[name]: value for name, value in found.layer.values.items()}}
    report.problems += found.problems
    return found.layer


def _examine_runtime(report: Report) -> None:
    # Imported here, so that a broken runtime is a finding and not a traceback.
    from engine.runtime import available_cores, available_providers, runtime_versions

    report.versions |= runtime_versions()
    report.cores = available_cores()
    report.providers = available_providers()


def _examine_model(report: Report, folder: Path | None, device: str) -> None:
    from engine.local import load_infiller

    before = resident_bytes()
    began = time.perf_counter()
    infiller = load_infiller(folder, device=device)
    report.model = {
        "name": infiller.model_name,
        "parameters": infiller.manifest.parameters,
        "folder": str(infiller.folder),
        # A folder with any file that isn't the one its manifest names doesn't load.
        "hashes": "as the manifest has them",
        "provider": infiller.provider,
        "precision": infiller.precision,
        "window": infiller.window,
        "threads": infiller.threads,
        "load_ms": round(1000 * (time.perf_counter() - began), 1),
    }
    result = self_check(infiller)
    found = infiller.device  # after the trial, which it might not stand
    report.device = {"wanted": device, "name": found.name, **({"reason": found.reason} if found.reason else {})}
    if device == "cuda" and found.is_news:
        report.problems.append(found.sentence)
    (fill,) = result.suggestions[0].fills
    report.self_check = {"text": fill.text, "logprob": fill.logprob, "passes": result.passes, "elapsed_ms": round(result.elapsed_ms, 1)}
    after = resident_bytes()
    if before is not None and after is not None:
        report.memory = {"resident_mb": _megabytes(after), "model_mb": _megabytes(after - before)}


def _megabytes(size: int) -> float:
    return round(size / 2**20, 1)


def _show(report: Report) -> None:
    style = Style(sys.stdout)
    for name, version in report.versions.items():
        print(f"{name:<22}{version}")
    for name, found in report.grammars.items():
        print(f"{'grammar ' + name:<22}{found or 'none, so it is plain text; pip install lacuna-lsp[languages] brings them all'}")
    print(f"{'providers':<22}{', '.join(report.providers) or 'none'}")
    print(f"{'cores':<22}{report.cores or 'unknown'}")
    settings = report.settings or {"file": "none"}
    for title, facts in (
        ("settings", settings),
        ("model", report.model),
        ("device", report.device),
        ("self-check", report.self_check),
        ("memory", report.memory),
    ):
        for name, value in facts.items():
            shown = f"{value:,}" if title == "model" and isinstance(value, int) else repr(value) if name == "text" else str(value)
            print(f"{title + ' ' + name:<21} {harmless(shown)}")
    for problem in report.problems:
        print(style.old(f"broken: {harmless(problem)}"))
    print(style.heading("something is broken" if report.problems else "all is well"))
