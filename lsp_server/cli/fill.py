"""`lacuna fill`: fill the holes of a file."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from engine.errors import LacunaError
from engine.infiller import Infiller
from engine.options import METHODS
from lsp_server.buffer import Buffer
from lsp_server.candidate import Candidate
from lsp_server.cli.also import add_also_option, other_files
from lsp_server.cli.holes import add_hole_options, check_budget, chosen_holes
from lsp_server.cli.model import add_device_option, add_model_option, at_work, load_model
from lsp_server.cli.places import PLACES_HELP, range_of
from lsp_server.cli.settings import SETTINGS_HELP, settings_for
from lsp_server.cli.source import STANDARD_INPUT, read_source
from lsp_server.cli.terminal import Style, harmless
from lsp_server.cli.write import write_file
from lsp_server.configuration import Settings
from lsp_server.edits import Range, apply_edits, ranges_after
from lsp_server.filling import Filling, fill_holes

NOTHING_TO_SHOW = 1
# A line longer than this is shown only around its fill.
_LONG_LINE = 160


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    defaults = Settings()
    parser = commands.add_parser(
        "fill",
        help="fill the holes of a file",
        description="Fill the holes of a file, all of them jointly, and show the likeliest suggestion first. Without --hole, every marker, "
        "such as ___, outside comments and strings is a hole.",
        epilog=f"{PLACES_HELP} {SETTINGS_HELP}marker, maxTokens, alternatives, temperature, topP, seed, method and device. "
        "Exit codes: 0 filled; 1 no suggestion passed the checks; 2 bad input; 130 cancelled.",
    )
    parser.add_argument("file", metavar="FILE", help="a UTF-8 text; - is standard input, taken for Python")
    add_hole_options(parser)
    add_also_option(parser)
    parser.add_argument("-n", dest="alternatives", metavar="N", type=int, help="number of suggestions (default: 1)")
    parser.add_argument("--temperature", metavar="T", type=float, help=f"0 is greedy (default: {defaults.temperature})")
    parser.add_argument("--top-p", metavar="P", type=float, help=f"share of probability kept (default: {defaults.top_p})")
    parser.add_argument("--seed", metavar="S", type=_seed, help="the same seed gives the same suggestions (default: a fresh one)")
    parser.add_argument("--method", choices=METHODS, help=f"how tokens are drawn (default: {defaults.method})")
    add_model_option(parser)
    add_device_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help="write the likeliest suggestion into the file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code; raises LacunaError for bad input and Cancelled on Ctrl-C."""
    if arguments.write and arguments.file == STANDARD_INPUT:
        raise LacunaError("--write needs a file to write to, not standard input")
    source = read_source(arguments.file)
    settings = settings_for(source, arguments)
    options = settings.fill_options()
    # Here already, before a model is loaded in vain.
    holes, others = chosen_holes(source, arguments, settings), other_files(source, arguments)
    infiller = load_model(arguments.model, settings.device)
    check_budget(arguments, infiller)
    with at_work(infiller, "filling") as on_pass:
        filling = fill_holes(source.buffer, source.tree, holes, infiller, options, on_pass, settings.marker, others=others)
    if arguments.json:
        print(json.dumps(_as_json(source.buffer, infiller, filling), indent=2))
    else:
        _show(source.buffer, infiller, filling)
    if not filling.candidates:
        print(f"lacuna: no suggestion: {_reasons(filling)}", file=sys.stderr)
        return NOTHING_TO_SHOW
    if arguments.write and source.path is not None:
        write_file(source.path, source.buffer, apply_edits(source.buffer.source, filling.candidates[0].edits))
        print(f"wrote {_number(len(holes), 'fill')} into {source.path}", file=sys.stderr if arguments.json else sys.stdout)
    return 0


def _as_json(buffer: Buffer, infiller: Infiller, filling: Filling) -> dict[str, object]:
    return {
        "model": infiller.model_name,
        "provider": infiller.provider,
        "device": infiller.device.name,
        "elapsed_ms": round(filling.elapsed_ms, 3),
        "prefill_ms": round(filling.prefill_ms, 3),
        "prompt_rows": filling.prompt_rows,
        "reused_rows": filling.reused_rows,
        "passes": filling.passes,
        "tokens": filling.tokens,
        "exact": filling.exact,
        "suggestions": [
            {
                "logprob": candidate.logprob,
                "bits_per_token": candidate.bits_per_token,
                "fills": [
                    {
                        "range": range_of(buffer, edit.start, edit.end).as_json(),
                        "text": edit.text,
                        "logprob": fill.logprob,
                        "tokens": len(fill.logprobs),
                    }
                    for edit, fill in zip(candidate.edits, candidate.fills, strict=True)
                ],
            }
            for candidate in filling.candidates
        ],
    }


def _show(buffer: Buffer, infiller: Infiller, filling: Filling) -> None:
    style = Style(sys.stdout)
    print(style.heading(f"{buffer.name}, filled by {infiller.model_name} on the {infiller.device.name}"))
    if filling.candidates:
        print("\nbefore")
        before = filling.candidates[0]
        ranges = [(edit.start, edit.end) for edit in before.edits]
        for number, line in _lines(buffer, ranges, style.old):
            print(f"{style.aside(f'{number:>5} - ')}{line}")
    for rank, candidate in enumerate(filling.candidates, 1):
        print(f"\n{style.heading(f'suggestion {rank}')}: {_likelihood(candidate)}")
        filled = Buffer(apply_edits(buffer.source, candidate.edits), buffer.name)
        for number, line in _lines(filled, ranges_after(candidate.edits), style.new):
            print(f"{style.aside(f'{number:>5} + ')}{line}")
    cost = f"{_number(filling.passes, 'pass', 'passes')} for {_number(filling.tokens, 'token')} of all alternatives drawn"
    print(f"\n{cost}, {filling.elapsed_ms:.0f} ms (prompt {filling.prefill_ms:.0f} ms)")
    if not filling.exact:
        print("the search for tied holes came to its limit, so these were drawn by the joint among candidates alone")


def _likelihood(candidate: Candidate) -> str:
    return (
        f"log-likelihood {candidate.logprob:.2f}, {candidate.bits_per_token:.2f} bits per token, "
        f"{_number(candidate.tokens, 'token')} in {_number(candidate.passes, 'pass', 'passes')}"
    )


def _lines(buffer: Buffer, ranges: Sequence[Range], paint: Callable[[str], str]) -> list[tuple[int, str]]:
    """The numbered lines that the ranges touch, with the ranges painted."""
    touched = sorted({line for start, end in ranges for line in range(buffer.line_at(start), buffer.line_at(end) + 1)})
    return [(line + 1, _painted(buffer, line, ranges, paint)) for line in touched]


def _painted(buffer: Buffer, line: int, ranges: Sequence[Range], paint: Callable[[str], str]) -> str:
    """One line with its ranges painted, and without most of what stands between them where the line is very long."""
    first, last = buffer.line_starts[line], buffer.line_end(line)
    inside = [(max(first, start), min(last, end)) for start, end in ranges if start <= last and end >= first]
    most = _LONG_LINE // (2 * len(inside) + 1) if last - first > _LONG_LINE else last - first
    shown, reached = "", first
    for start, end in inside:
        shown += _shortened(buffer, reached, start, most) + paint(_shortened(buffer, start, end, max(most, _LONG_LINE)))
        reached = end
    return shown + _shortened(buffer, reached, last, most)


def _shortened(buffer: Buffer, start: int, end: int, most: int) -> str:
    text = harmless(buffer.source[start:end].decode("utf-8"))
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - most // 2 :]}"


def _reasons(filling: Filling) -> str:
    """Why there is no suggestion, the commonest reason first."""
    counts = Counter(filling.refused).most_common(3)
    if not counts:
        return "the model offered none"
    return harmless("; ".join(reason if count == 1 else f"{reason} ({count} times)" for reason, count in counts))


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 2^63 - 1, not {number}")
    return number
