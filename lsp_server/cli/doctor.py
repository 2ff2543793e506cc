"""`lacuna doctor`: what is installed, which model there is, and whether it works."""

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
from engine.options import FillOptions
from engine.passage import Passage
from lsp_server.cli.model import add_model_option
from lsp_server.cli.terminal import Style, harmless
from lsp_server.version import lacuna_version

BROKEN = 1
_EDITOR_PARTS = ("pygls", "lsprotocol", "tree-sitter", "tree-sitter-python", "watchdog")


@dataclass
class Report:
    """What was found. `model` and `self_check` are empty where the model doesn't load; `problems` are for a person to mend."""

    versions: dict[str, str] = field(default_factory=dict)
    providers: list[str] = field(default_factory=list)
    model: dict[str, object] = field(default_factory=dict)
    self_check: dict[str, object] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    parser = commands.add_parser(
        "doctor",
        help="check the installation and the model",
        description="Versions, providers, the model with its hashes checked, and a fill as a trial. Exit code 1 where something is broken.",
    )
    add_model_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code: 1 where something is broken."""
    report = examine(arguments.model)
    if arguments.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _show(report)
    return BROKEN if report.problems else 0


def examine(folder: Path | None) -> Report:
    """Look at everything, whatever else is broken."""
    report = Report(versions={"python": platform.python_version(), "lacuna-lsp": lacuna_version()})
    for name in _EDITOR_PARTS:
        try:
            report.versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            report.problems.append(f"{name} is not installed; install lacuna-lsp again")
    try:
        _examine_runtime(report)
        _examine_model(report, folder)
    except LacunaError as error:
        report.problems.append(str(error))
    except ImportError as error:
        report.problems.append(f"the runtime can't be imported ({error}); install lacuna-lsp again")
    return report


def _examine_runtime(report: Report) -> None:
    # Imported here, so that a broken runtime is a finding and not a traceback.
    from engine.runtime import available_providers, runtime_versions

    report.versions |= runtime_versions()
    report.providers = available_providers()


def _examine_model(report: Report, folder: Path | None) -> None:
    from engine.local import load_infiller

    began = time.perf_counter()
    infiller = load_infiller(folder)
    report.model = {
        "name": infiller.model_name,
        "parameters": infiller.manifest.parameters,
        "folder": str(infiller.folder),
        # A folder with any file that isn't the one its manifest names doesn't load.
        "hashes": "as the manifest has them",
        "provider": infiller.provider,
        "precision": infiller.precision,
        "window": infiller.window,
        "load_ms": round(1000 * (time.perf_counter() - began), 1),
    }
    passage = Passage(("def add(a, b):\n    return a", "\n"), (8,))
    result = infiller.fill(passage, FillOptions(temperature=0))
    (fill,) = result.suggestions[0].fills
    report.self_check = {"text": fill.text, "logprob": fill.logprob, "passes": result.passes, "elapsed_ms": round(result.elapsed_ms, 1)}


def _show(report: Report) -> None:
    style = Style(sys.stdout)
    for name, version in report.versions.items():
        print(f"{name:<22}{version}")
    print(f"{'providers':<22}{', '.join(report.providers) or 'none'}")
    for title, facts in (("model", report.model), ("self-check", report.self_check)):
        for name, value in facts.items():
            shown = f"{value:,}" if isinstance(value, int) else harmless(repr(value)) if name == "text" else str(value)
            print(f"{title + ' ' + name:<22}{shown}")
    for problem in report.problems:
        print(style.old(f"broken: {harmless(problem)}"))
    print(style.heading("something is broken" if report.problems else "all is well"))
