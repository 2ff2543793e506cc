"""`lacuna score`: how likely the code of a file is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import LacunaError
from engine.infiller import Infiller
from lsp_server.buffer import Buffer
from lsp_server.cli.also import add_also_option, other_files
from lsp_server.cli.heat import heat_map
from lsp_server.cli.model import add_device_option, add_model_option, at_work, load_model
from lsp_server.cli.page import check_page_path, page, write_page
from lsp_server.cli.places import PLACES_HELP, PlaceRange, place_range, range_of
from lsp_server.cli.settings import SETTINGS_HELP, settings_for
from lsp_server.cli.source import Source, read_source
from lsp_server.cli.terminal import Style, harmless
from lsp_server.context import OtherFile
from lsp_server.likelihood_text import surface
from lsp_server.scoring import LARGEST_RANGE, RangeScore, ScoredToken, range_at, score_range
from lsp_server.surprise_map import LARGEST_MAP, SurpriseMap, surprise_map

_MOST_SURPRISING = 10


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    parser = commands.add_parser(
        "score",
        help="say how likely the code of a file is",
        description="The joint log-likelihood of a range, given everything around it that fits the model's window, and the tokens that "
        "surprise the model most. "
        "Without --range, of the whole file; an empty range means the syntax node at that place. With --heat or --html a surprise map "
        "instead: each token given what stands before it and after its paragraph, as in an editor's lacuna/surpriseMap.",
        epilog=f"{PLACES_HELP} {SETTINGS_HELP}device.",
    )
    parser.add_argument("file", metavar="FILE", help="a UTF-8 text; - is standard input, taken for Python")
    parser.add_argument("--range", metavar="L:C-L:C", type=place_range, help="score this range alone")
    add_also_option(parser)
    add_model_option(parser)
    add_device_option(parser)
    parser.add_argument("--heat", action="store_true", help="show the text with each token in the colour of its surprise")
    parser.add_argument("--html", metavar="PAGE", type=Path, help="write that as an HTML page, which needs nothing else")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code; raises LacunaError for bad input and Cancelled on Ctrl-C."""
    source = read_source(arguments.file)
    mapped = arguments.heat or arguments.html is not None
    start, end = _range(source, arguments.range, LARGEST_MAP if mapped else LARGEST_RANGE)
    if arguments.html is not None:
        check_page_path(arguments.html)
    others = other_files(source, arguments)
    infiller = load_model(arguments.model, settings_for(source, arguments).device)
    if mapped:
        return _map(source, start, end, infiller, others, arguments)
    with at_work(infiller, "scoring") as on_pass:
        score = score_range(source.buffer, source.tree, start, end, infiller, on_pass=on_pass, others=others)
    if arguments.json:
        print(json.dumps(_as_json(source.buffer, infiller, score), indent=2))
    else:
        _show(source.buffer, infiller, score)
    return 0


def _map(source: Source, start: int, end: int, infiller: Infiller, others: Sequence[OtherFile], arguments: argparse.Namespace) -> int:
    buffer = source.buffer
    with at_work(infiller, "scoring") as on_pass:
        found = surprise_map(buffer, source.tree, start, end, infiller, on_pass, others)
    if arguments.html is not None:
        write_page(arguments.html, page(buffer, found, f"{buffer.name} {range_of(buffer, start, end)}", infiller.model_name))
    if arguments.json:
        print(json.dumps(_as_json(buffer, infiller, found), indent=2))
        return 0
    style = Style(sys.stdout)
    _show_heading(buffer, infiller, found, style)
    print(f"each token given all before it and what follows its paragraph: {found.bits_per_token:.2f} bits, {len(found.tokens):,} tokens")
    print(style.aside(f"{found.elapsed_ms:.0f} ms, passes: {found.passes}"))
    if arguments.heat:
        print("\n" + "\n".join(heat_map(buffer, found.tokens, style)))
    _show_least_expected(buffer, found.tokens, style)
    if arguments.html is not None:
        print(f"\nwritten: {harmless(str(arguments.html))}")
    return 0


def _range(source: Source, asked: PlaceRange | None, most: int) -> tuple[int, int]:
    """The bytes to score. Raises LacunaError, before a model is loaded in vain, where there are none or more than `most`."""
    buffer = source.buffer
    start, end = (0, len(buffer.source)) if asked is None else asked.offsets(buffer)
    found = range_at(buffer, source.tree, start) if start == end else (start, end)
    if found is None:
        raise LacunaError(f"{buffer.name} is empty" if not buffer.source else f"there is nothing to score at {asked} of {buffer.name}")
    if found[1] - found[0] > most:
        raise LacunaError(f"{found[1] - found[0]:,} bytes are too many to score; name a --range of at most {most:,}")
    return found


def _as_json(buffer: Buffer, infiller: Infiller, score: RangeScore | SurpriseMap) -> dict[str, object]:
    """A map has no log-likelihood: its tokens are given more than those before them, so theirs are not to be added up."""
    return {
        "model": infiller.model_name,
        "provider": infiller.provider,
        "device": infiller.device.name,
        "elapsed_ms": round(score.elapsed_ms, 3),
        "passes": score.passes,
        "range": range_of(buffer, score.start, score.end).as_json(),
        **({"logprob": score.logprob} if isinstance(score, RangeScore) else {}),
        "bits_per_token": score.bits_per_token,
        "tokens": [
            {
                "range": range_of(buffer, token.start, token.end).as_json(),
                "text": surface(buffer, token),
                "logprob": token.logprob,
                "bits": token.bits,
                "rank": token.rank,
                "alternatives": [{"text": text, "probability": probability} for text, probability in token.alternatives],
            }
            for token in score.tokens
        ],
    }


def _show(buffer: Buffer, infiller: Infiller, score: RangeScore) -> None:
    style = Style(sys.stdout)
    _show_heading(buffer, infiller, score, style)
    print(f"log-likelihood {score.logprob:.2f}, {score.bits_per_token:.2f} bits per token, {len(score.tokens):,} tokens")
    print(style.aside(f"{score.elapsed_ms:.0f} ms, passes: {score.passes}"))
    _show_least_expected(buffer, score.tokens, style)


def _show_heading(buffer: Buffer, infiller: Infiller, score: RangeScore | SurpriseMap, style: Style) -> None:
    place = range_of(buffer, score.start, score.end)
    print(style.heading(f"{harmless(buffer.name)} {place}, by {infiller.model_name} on the {infiller.device.name}"))


def _show_least_expected(buffer: Buffer, tokens: Sequence[ScoredToken], style: Style) -> None:
    print("\nleast expected")
    for token in sorted(tokens, key=lambda token: token.logprob)[:_MOST_SURPRISING]:
        expected = ", ".join(f"{harmless(repr(text))} {probability:.0%}" for text, probability in token.alternatives[:3])
        place = range_of(buffer, token.start, token.end).start
        # Elsewhere a token of no text is a word's space behind white space.
        name = "the end" if token is tokens[-1] and token.start == token.end else style.new(repr(surface(buffer, token)))
        print(f"{style.aside(f'{place!s:>9}')}  {token.bits:5.1f} bits  {name} is number {token.rank:,}; expected {expected}")
