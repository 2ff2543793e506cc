"""`lacuna score`: how likely the code of a file is."""

from __future__ import annotations

import argparse
import json
import math
import sys

from engine.errors import LacunaError
from engine.infiller import Infiller
from lsp_server.buffer import Buffer
from lsp_server.cli.model import add_model_option, load_model
from lsp_server.cli.places import PLACES_HELP, PlaceRange, place_range, range_of
from lsp_server.cli.source import Source, read_source
from lsp_server.cli.terminal import Style, harmless, progress
from lsp_server.scoring import LARGEST_RANGE, RangeScore, ScoredToken, range_at, score_range

_MOST_SURPRISING = 10


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    parser = commands.add_parser(
        "score",
        help="say how likely the code of a file is",
        description="The joint log-likelihood of a range, given everything around it, and the tokens that surprise the model most. "
        "Without --range, of the whole file; an empty range means the syntax node at that place.",
        epilog=PLACES_HELP,
    )
    parser.add_argument("file", metavar="FILE", help="a UTF-8 text; - is standard input, taken for Python")
    parser.add_argument("--range", metavar="L:C-L:C", type=place_range, help="score this range alone")
    add_model_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code; raises LacunaError for bad input and Cancelled on Ctrl-C."""
    source = read_source(arguments.file)
    start, end = _range(source, arguments.range)
    infiller = load_model(arguments.model)
    with progress("scoring") as on_pass:
        score = score_range(source.buffer, source.tree, start, end, infiller, on_pass=on_pass)
    if arguments.json:
        print(json.dumps(_as_json(source.buffer, infiller, score), indent=2))
    else:
        _show(source.buffer, infiller, score)
    return 0


def _range(source: Source, asked: PlaceRange | None) -> tuple[int, int]:
    """The bytes to score. Raises LacunaError, before a model is loaded in vain, where there are none or too many."""
    buffer = source.buffer
    start, end = (0, len(buffer.source)) if asked is None else asked.offsets(buffer)
    found = range_at(buffer, source.tree, start) if start == end else (start, end)
    if found is None:
        raise LacunaError(f"{buffer.name} is empty" if not buffer.source else f"there is nothing to score at {asked} of {buffer.name}")
    if found[1] - found[0] > LARGEST_RANGE:
        raise LacunaError(f"{found[1] - found[0]:,} bytes are too many to score; name a --range of at most {LARGEST_RANGE:,}")
    return found


def _as_json(buffer: Buffer, infiller: Infiller, score: RangeScore) -> dict[str, object]:
    return {
        "model": infiller.model_name,
        "provider": infiller.provider,
        "elapsed_ms": round(score.elapsed_ms, 3),
        "passes": score.passes,
        "range": range_of(buffer, score.start, score.end).as_json(),
        "logprob": score.logprob,
        "bits_per_token": score.bits_per_token,
        "tokens": [
            {
                "range": range_of(buffer, token.start, token.end).as_json(),
                "text": _text(buffer, token),
                "logprob": token.logprob,
                "rank": token.rank,
                "alternatives": [{"text": text, "probability": probability} for text, probability in token.alternatives],
            }
            for token in score.tokens
        ],
    }


def _show(buffer: Buffer, infiller: Infiller, score: RangeScore) -> None:
    style = Style(sys.stdout)
    print(style.heading(f"{buffer.name} {range_of(buffer, score.start, score.end)}, by {infiller.model_name} ({infiller.provider})"))
    print(f"log-likelihood {score.logprob:.2f}, {score.bits_per_token:.2f} bits per token, {len(score.tokens):,} tokens")
    print(style.aside(f"{score.elapsed_ms:.0f} ms, passes: {score.passes}"))
    print("\nleast expected")
    for token in sorted(score.tokens, key=lambda token: token.logprob)[:_MOST_SURPRISING]:
        expected = ", ".join(f"{harmless(repr(text))} {probability:.0%}" for text, probability in token.alternatives[:3])
        place = range_of(buffer, token.start, token.end).start
        bits = f"{max(0.0, -token.logprob / math.log(2)):5.1f} bits"
        surface = style.new(repr(_text(buffer, token))) if token.start < token.end else "the end"
        print(f"{style.aside(f'{place!s:>9}')}  {bits}  {surface} is number {token.rank:,}; expected {expected}")


def _text(buffer: Buffer, token: ScoredToken) -> str:
    """What the token stands for; a part of a character shows as a replacement character."""
    return buffer.source[token.start : token.end].decode("utf-8", errors="replace")
