"""The options that say where a file's holes are, and what they name."""

from __future__ import annotations

import argparse

from engine.errors import LacunaError
from engine.infiller import Infiller
from lsp_server.cli.places import place_range
from lsp_server.cli.source import Source
from lsp_server.configuration import SCHEMA, Settings
from lsp_server.context import largest_budget
from lsp_server.holes import Hole, find_markers, hole_from_range, in_order
from lsp_server.setting_kinds import UnfitValue


def add_hole_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hole", metavar="L:C-L:C", type=place_range, action="append", help="this range is a hole; may be given several times"
    )
    parser.add_argument("--marker", metavar="WORD", type=_marker, help="the word that stands for a hole (default: ___)")
    parser.add_argument("--max-tokens", metavar="N", type=_positive, help="most tokens of one hole (default: by the kind of hole)")


def chosen_holes(source: Source, arguments: argparse.Namespace, settings: Settings) -> tuple[Hole, ...]:
    """The holes that --hole names, in order, else the markers. Raises LacunaError where there is none, or two overlap."""
    if arguments.hole is None:
        holes = find_markers(source.buffer, source.tree, settings.marker, settings.max_tokens)
    else:
        ranges = [place.offsets(source.buffer) for place in arguments.hole]
        holes = tuple(hole_from_range(source.buffer, start, end, settings.max_tokens) for start, end in ranges)
    return in_order(source.buffer, holes, settings.marker)


def check_budget(arguments: argparse.Namespace, infiller: Infiller) -> None:
    """Raise LacunaError where --max-tokens asks for more than the model takes. A setting is for all models, and is brought down."""
    if arguments.max_tokens and arguments.max_tokens > largest_budget(infiller):
        raise LacunaError(f"--max-tokens {arguments.max_tokens} is more than this model takes; at most {largest_budget(infiller)}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def _marker(text: str) -> str:
    kind = SCHEMA["marker"].kind
    try:
        return str(kind.read(text))
    except UnfitValue:
        raise argparse.ArgumentTypeError(f"must be {kind.accepted}, not {text!r}") from None
