"""The options --model and --device, and the loading of what they name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.devices import DEVICES, Device
from engine.infiller import Infiller, OnPass
from lsp_server.cli.terminal import ProgressLine, harmless, progress


def add_model_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="DIR", type=Path, help="model folder (default: the model that comes with Lacuna)")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, help="what the model runs on (default: auto, the GPU where that can be used)")


def load_model(folder: Path | None, device: str) -> Infiller:
    """The model in `folder`, or the default one for None, on one of DEVICES. Where it can't run on that one, stderr says so.

    Raises ModelError where there is no model that works.
    """
    line = ProgressLine()
    line.show("loading the model…")
    try:
        # Only here, as the runtime takes a while to import and most bad input is found without it.
        from engine.local import load_infiller

        infiller = load_infiller(folder, device=device)
    finally:
        line.clear()
    _warn(infiller.device)
    return infiller


@contextmanager
def at_work(infiller: Infiller, doing: str) -> Iterator[OnPass]:
    """`progress` for work of a model. Where the model had to leave its device meanwhile, stderr says so afterwards."""
    before = infiller.device
    with progress(doing) as on_pass:
        yield on_pass
    if infiller.device != before:
        _warn(infiller.device)


def _warn(device: Device) -> None:
    if device.is_news:
        print(f"lacuna: {harmless(device.sentence)}", file=sys.stderr)
