"""textDocument/hover: how likely the code under the cursor is, and what the model expected there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass
from lsp_server.buffer import Buffer
from lsp_server.context import OtherFile
from lsp_server.documents import Document
from lsp_server.holes import find_markers
from lsp_server.inference import Job
from lsp_server.language_server import LacunaServer
from lsp_server.likelihood_text import bar, code, code_block, percent, surface, visible
from lsp_server.line_ends import to_model
from lsp_server.progress import WorkDoneProgress
from lsp_server.refusals import refusals
from lsp_server.scoring import Expectation, RangeScore, ScoredToken, expected_text, range_at, score_range

log = logging.getLogger(__name__)

MOST_ALTERNATIVES = 3
# A long string literal, say, would take many passes, which nobody asked for by resting the mouse on it.
MOST_BYTES = 4096


@dataclass(frozen=True)
class Judgement:
    """What the model thinks of a range: the score of what stands there (None for a hole, where nothing does), and its own text."""

    score: RangeScore | None
    expected: Expectation


async def hover(ls: LacunaServer, params: types.HoverParams) -> types.Hover | None:
    """The likelihood of the smallest syntax node at the position, given everything around it: definitions in other open files, too.

    None where there is nothing, or no model to ask (the log then has the reason: a pop-up at every move of the mouse would
    be no help).
    """
    document = ls.documents.get(params.text_document.uri)
    if document is None:
        return None
    offset = document.buffer.offset(params.position.line, params.position.character, ls.unit)
    place = _place(ls, document, offset)
    if place is None:
        return None
    start, end, budget = place
    if end - start > MOST_BYTES:
        ls.note(f"hover: {end - start:,} bytes are too many to score; at most {MOST_BYTES:,} are")
        return None
    job = ls.inference.new_job("hover", document.uri)
    others = ls.documents.others_of(document)

    def work(infiller: Infiller, on_pass: OnPass) -> Judgement:
        return _judge(document, start, end, budget, others, infiller, on_pass, job)

    with refusals(ls):
        try:
            async with WorkDoneProgress(ls, "Scoring", params.work_done_token, create=False, on_cancel=job.stop):
                judgement = await ls.inference.run(job, work)
        except LacunaError as error:
            ls.note(f"hover: {error}", types.MessageType.Warning)
            return None
    kind = types.MarkupKind.Markdown if ls.abilities.markdown else types.MarkupKind.PlainText
    text = "\n\n".join(_paragraphs(document.buffer, judgement, ls.abilities.markdown))
    return types.Hover(types.MarkupContent(kind, text), document.range(start, end, ls.unit))


def _place(ls: LacunaServer, document: Document, offset: int) -> tuple[int, int, int | None] | None:
    """The bytes to judge, and, where they are a hole's marker, the hole's budget."""
    for hole in find_markers(document.buffer, document.tree, ls.settings.marker, ls.settings.max_tokens):
        if hole.start <= offset < hole.end:
            return hole.start, hole.end, hole.budget
    found = range_at(document.buffer, document.tree, offset)
    return (*found, None) if found else None


def _judge(
    document: Document,
    start: int,
    end: int,
    budget: int | None,
    others: Sequence[OtherFile],
    infiller: Infiller,
    on_pass: OnPass,
    job: Job,
) -> Judgement:
    buffer, tree = document.buffer, document.tree
    score = score_range(buffer, tree, start, end, infiller, on_pass=on_pass, others=others) if budget is None else None
    job.check()
    return Judgement(score, expected_text(buffer, tree, start, end, infiller, on_pass, others, budget))


def _paragraphs(buffer: Buffer, judgement: Judgement, markdown: bool) -> list[str]:
    score, expected = judgement.score, judgement.expected
    # What ran out of its budget goes on after what is shown.
    text = expected.text if expected.complete else f"{expected.text}…"
    expectation = f"{code(text or '(nothing)', markdown=markdown)} (log-likelihood {expected.logprob:.2f})"
    if score is None:
        return [f"Lacuna would write {expectation}"]
    actual = buffer.source[score.start : score.end].decode("utf-8")
    # All but the mark that says where the text ends.
    least = min(score.tokens[:-1] or score.tokens, key=lambda token: token.logprob)
    agrees = expected.text.strip() == actual.strip()
    return [
        f"{code(actual, markdown=markdown)}: {_figures(score)}",
        "The model would have written the same." if agrees else f"The model would have written {expectation}",
        code_block(_alternatives(buffer, least, markdown), markdown=markdown),
    ]


def _figures(score: RangeScore) -> str:
    bits = f"{score.bits_per_token:.2f} bits per token"
    ranks = [token.rank for token in score.tokens[:-1]]
    rank = f"rank {ranks[0]}" if len(ranks) == 1 else f"rank {max(ranks)} at worst"
    return f"{bits}, log-likelihood {score.logprob:.2f} ({len(score.tokens)} tokens with the end), {rank}"


def _alternatives(buffer: Buffer, token: ScoredToken, markdown: bool) -> list[str]:
    """A line with a bar for each of the likeliest tokens, and one for the token that stands there."""
    own = surface(buffer, token)
    rows = [(visible(text), chance, "") for text, chance in token.alternatives[:MOST_ALTERNATIVES]]
    if token.rank <= len(rows):
        text, chance, _ = rows[token.rank - 1]
        rows[token.rank - 1] = text, chance, " <- here"
    else:
        rows.append((visible(to_model(own)), token.probability, f" <- here, rank {token.rank:,}"))
    width = max(len(text) for text, _, _ in rows)
    return [f"{bar(chance, blocks=markdown)} {percent(chance):>8}  {text:<{width}}{here}".rstrip() for text, chance, here in rows]
