"""The options that say where a file's holes are, and what they name."""

from __future__ import annotations

import argparse

from engine.errors import LacunaError
from engine.infiller import Infiller
from lsp_server.cli.places import place_range
from lsp_server.cli.source import Source
from lsp_server.context import largest_budget
from lsp_server.holes import Hole, find_markers, hole_from_range, in_order


def add_hole_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hole", metavar="L:C-L:C", type=place_range, action="append", help="this range is a hole; may be given several times"
    )
    parser.add_argument("--max-tokens", metavar="N", type=_positive, help="most tokens of one hole (default: by the kind of hole)")


def chosen_holes(source: Source, arguments: argparse.Namespace) -> tuple[Hole, ...]:
    """The holes that --hole names, in order, else the markers. Raises LacunaError where there is none, or two overlap."""
    if arguments.hole is None:
        holes = find_markers(source.buffer, source.tree, max_tokens=arguments.max_tokens)
    else:
        ranges = [place.offsets(source.buffer) for place in arguments.hole]
        holes = tuple(hole_from_range(source.buffer, start, end, arguments.max_tokens) for start, end in ranges)
    return in_order(source.buffer, holes)


def check_budget(arguments: argparse.Namespace, infiller: Infiller) -> None:
    """Raise LacunaError where --max-tokens asks for more than the model takes."""
    if arguments.max_tokens and arguments.max_tokens > largest_budget(infiller):
        raise LacunaError(f"--max-tokens {arguments.max_tokens} is more than this model takes; at most {largest_budget(infiller)}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
