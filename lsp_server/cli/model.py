"""The option --model and the loading of what it names."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.infiller import Infiller
from lsp_server.cli.terminal import ProgressLine


def add_model_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", type=Path, help="model folder (default: the model that comes with Lacuna)")


def load_model(folder: Path | None) -> Infiller:
    """The model in `folder`, or the default one for None. Raises ModelError where there is none that works."""
    line = ProgressLine()
    line.show("loading the model…")
    try:
        # Only here, as the runtime takes a while to import and most bad input is found without it.
        from engine.local import load_infiller

        return load_infiller(folder)
    finally:
        line.clear()
