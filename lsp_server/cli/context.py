"""`lacuna context`: what of a file, and of others, the model gets to see around holes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.infiller import Infiller
from lsp_server.buffer import Buffer
from lsp_server.cli.also import add_also_option, other_files
from lsp_server.cli.holes import add_hole_options, check_budget, chosen_holes
from lsp_server.cli.model import add_model_option, load_model
from lsp_server.cli.places import PLACES_HELP, range_of
from lsp_server.cli.settings import SETTINGS_HELP, settings_for
from lsp_server.cli.source import read_source
from lsp_server.cli.terminal import Style, harmless
from lsp_server.context import END_MARKS, Context, Part, choose_context
from lsp_server.filling import passage_groups
from lsp_server.holes import Hole


@dataclass(frozen=True)
class Seen:
    """The context of the `holes` of one passage, and the tokens of each of its parts, which add up to those of the passage's pieces."""

    holes: tuple[Hole, ...]
    context: Context
    tokens: tuple[int, ...]

    @property
    def total(self) -> int:
        """Tokens of the whole passage, end marks included."""
        return sum(self.tokens) + sum(self.context.budgets) + END_MARKS


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command's parser."""
    parser = commands.add_parser(
        "context",
        help="show what the model sees around the holes of a file",
        description="Show which parts of a file, and of other ones, go into the model's window around holes, in their order there, why, "
        "and what was left out for want of room. Without --hole, every marker, such as ___, outside comments and strings "
        "is a hole. Holes that are too many "
        "for one passage are filled in several, one after the other; here the earlier ones then stand as they are in the file.",
        epilog=f"{PLACES_HELP} {SETTINGS_HELP}marker and maxTokens.",
    )
    parser.add_argument("file", metavar="FILE", help="a UTF-8 text; - is standard input, taken for Python")
    add_hole_options(parser)
    add_also_option(parser)
    add_model_option(parser)
    parser.add_argument("--text", action="store_true", help="print the text of the parts, too")
    parser.add_argument("--json", action="store_true", help="print JSON, with the text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Returns the exit code; raises LacunaError for bad input."""
    source = read_source(arguments.file)
    holes, others = chosen_holes(source, arguments, settings_for(source, arguments)), other_files(source, arguments)
    infiller = load_model(arguments.model, "cpu")
    check_budget(arguments, infiller)
    passages = []
    for group in passage_groups(holes, infiller):
        context = choose_context(source.buffer, source.tree, group, infiller, others)
        passages.append(Seen(tuple(group), context, tuple(_tokens(context, infiller))))
    if arguments.json:
        print(json.dumps(_as_json(source.buffer, infiller, passages), indent=2))
    else:
        _show(source.buffer, infiller, passages, with_text=arguments.text)
    return 0


def _tokens(context: Context, infiller: Infiller) -> Iterator[int]:
    """What each part adds to the tokens of its piece."""
    text, counted = [""] * (len(context.budgets) + 1), [0] * (len(context.budgets) + 1)
    for part in context.parts:
        text[part.piece] += part.text
        count = infiller.count_tokens(text[part.piece])
        yield count - counted[part.piece]
        counted[part.piece] = count


def _as_json(buffer: Buffer, infiller: Infiller, passages: Sequence[Seen]) -> dict[str, object]:
    return {
        "model": infiller.model_name,
        "window": infiller.window,
        "passages": [
            {
                "tokens": {"text": sum(seen.tokens), "holes": sum(seen.context.budgets), "marks": END_MARKS, "total": seen.total},
                "at_start": seen.context.at_start,
                "at_end": seen.context.at_end,
                "holes": [
                    {"range": range_of(buffer, hole.start, hole.end).as_json(), "kind": hole.kind, "budget": hole.budget}
                    for hole in seen.holes
                ],
                "parts": [
                    {**_part_as_json(part), "tokens": tokens, "text": part.text}
                    for part, tokens in zip(seen.context.parts, seen.tokens, strict=True)
                ],
                "left_out": [
                    {**_part_as_json(part), "tokens": infiller.count_tokens(part.text), "text": part.text} for part in seen.context.left_out
                ],
            }
            for seen in passages
        ],
    }


def _part_as_json(part: Part) -> dict[str, object]:
    return {
        "piece": part.piece,
        "reason": part.reason.value,
        "file": part.buffer.name,
        "ranges": [range_of(part.buffer, start, end).as_json() for start, end in part.spans],
    }


def _show(buffer: Buffer, infiller: Infiller, passages: Sequence[Seen], *, with_text: bool) -> None:
    style = Style(sys.stdout)
    for number, seen in enumerate(passages, 1):
        which = "" if len(passages) == 1 else f", passage {number} of {len(passages)}"
        print(style.heading(f"{harmless(buffer.name)}, as {infiller.model_name} sees it{which}"))
        _show_rows(list(_rows(buffer, seen)), style, with_text)
        if seen.context.left_out:
            print(style.heading("\nleft out for want of room"))
            _show_rows([_row(part, infiller.count_tokens(part.text)) for part in seen.context.left_out], style, with_text)
        text, holes = sum(seen.tokens), sum(seen.context.budgets)
        print(f"\n{seen.total:,} of {infiller.window:,} tokens: {text:,} of text, {holes:,} for what is written, {END_MARKS} end marks")
        if number < len(passages):
            print()


@dataclass(frozen=True)
class _Row:
    """What is shown of a part, or of a hole, for which `part` is None."""

    why: str
    file: str
    lines: str
    tokens: int
    part: Part | None = None


def _rows(buffer: Buffer, seen: Seen) -> Iterator[_Row]:
    parts = list(zip(seen.context.parts, seen.tokens, strict=True))
    for piece, hole in enumerate([*seen.holes, None]):
        yield from (_row(part, tokens) for part, tokens in parts if part.piece == piece)
        if hole is not None:
            yield _Row(f"hole {piece + 1}", harmless(buffer.name), str(range_of(buffer, hole.start, hole.end)), hole.budget)


def _row(part: Part, tokens: int) -> _Row:
    lines = ", ".join(_lines(part.buffer, span) for span in part.spans)
    return _Row(part.reason.value, harmless(part.buffer.name), lines, tokens, part)


def _lines(buffer: Buffer, span: tuple[int, int]) -> str:
    """The lines of whole lines, else the range of places."""
    start, end = span
    first, last = buffer.line_at(start), buffer.line_at(max(start, end - 1))
    if start != buffer.line_starts[first] or end != buffer.next_line(last):
        return str(range_of(buffer, start, end))
    return str(first + 1) if first == last else f"{first + 1}-{last + 1}"


def _show_rows(rows: Sequence[_Row], style: Style, with_text: bool) -> None:
    table = [("why", "file", "lines"), *((row.why, row.file, row.lines) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *lines = ("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table)
    print(style.aside(f"{head}  tokens"))
    for line, row in zip(lines, rows, strict=True):
        print(f"{line}  {row.tokens:>6,}")
        if with_text and row.part is not None:
            _show_text(row.part, style)


def _show_text(part: Part, style: Style) -> None:
    if part.comment:
        print(f"{style.aside('        ')}{harmless(part.comment.rstrip())}")
    for start, end in part.spans:
        for line in range(part.buffer.line_at(start), part.buffer.line_at(max(start, end - 1)) + 1):
            first, last = max(start, part.buffer.line_starts[line]), min(end, part.buffer.line_end(line))
            print(f"{style.aside(f'{line + 1:>7} ')}{harmless(part.buffer.source[first:last].decode('utf-8'))}")
