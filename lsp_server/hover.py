"""textDocument/hover: how likely the code under the cursor is, and what the model expected there."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from lsprotocol import types

from engine.errors import LacunaError
from engine.infiller import Infiller, OnPass
from lsp_server.buffer import Buffer
from lsp_server.documents import Document
from lsp_server.holes import find_markers
from lsp_server.inference import Job
from lsp_server.language_server import LacunaServer
from lsp_server.progress import WorkDoneProgress
from lsp_server.refusals import refusals
from lsp_server.scoring import Expectation, RangeScore, ScoredToken, expected_text, range_at, score_range

log = logging.getLogger(__name__)

MOST_SURPRISING = 3
MOST_ALTERNATIVES = 3
# A long string literal, say, would take many passes, which nobody asked for by resting the mouse on it.
MOST_BYTES = 4096


@dataclass(frozen=True)
class Judgement:
    """What the model thinks of a range: the score of what stands there (None for a hole, where nothing does), and its own text."""

    score: RangeScore | None
    expected: Expectation


async def hover(ls: LacunaServer, params: types.HoverParams) -> types.Hover | None:
    """The likelihood of the smallest syntax node at the position, given everything around it.

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
    start, end, is_hole = place
    if end - start > MOST_BYTES:
        ls.note(f"hover: {end - start:,} bytes are too many to score; at most {MOST_BYTES:,} are")
        return None
    job = ls.inference.new_job("hover", document.uri)

    def work(infiller: Infiller, on_pass: OnPass) -> Judgement:
        return _judge(document, start, end, is_hole, infiller, on_pass, job)

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


def _place(ls: LacunaServer, document: Document, offset: int) -> tuple[int, int, bool] | None:
    """The bytes to judge, and whether they are a hole's marker."""
    for hole in find_markers(document.buffer, document.tree, ls.settings.marker, ls.settings.max_tokens):
        if hole.start <= offset < hole.end:
            return hole.start, hole.end, True
    found = range_at(document.buffer, document.tree, offset)
    return (*found, False) if found else None


def _judge(document: Document, start: int, end: int, is_hole: bool, infiller: Infiller, on_pass: OnPass, job: Job) -> Judgement:
    score = None if is_hole else score_range(document.buffer, document.tree, start, end, infiller, on_pass=on_pass)
    job.check()
    return Judgement(score, expected_text(document.buffer, document.tree, start, end, infiller, on_pass))


def _paragraphs(buffer: Buffer, judgement: Judgement, markdown: bool) -> list[str]:
    score, expected = judgement.score, judgement.expected
    # What ran out of its budget goes on after what is shown.
    text = expected.text if expected.complete else f"{expected.text}…"
    expectation = f"{_code(text, markdown)} (log-likelihood {expected.logprob:.2f})"
    if score is None:
        return [f"Lacuna would write {expectation}"]
    actual = buffer.source[score.start : score.end].decode("utf-8")
    figures = f"log-likelihood {score.logprob:.2f}, {score.bits_per_token:.2f} bits per token ({len(score.tokens)} tokens)"
    agrees = expected.text.strip() == actual.strip()
    return [
        f"Lacuna: {_code(actual, markdown)} given all around it: {figures}",
        "The model would have written the same." if agrees else f"The model would have written {expectation}",
        *_surprises(buffer, score, markdown),
    ]


def _surprises(buffer: Buffer, score: RangeScore, markdown: bool) -> list[str]:
    """One line for each token that wasn't the model's first choice, the least likely first."""
    tokens = sorted((token for token in score.tokens if token.rank > 1), key=lambda token: token.logprob)[:MOST_SURPRISING]
    if not tokens:
        return []
    lines = [_surprise(buffer, token, markdown) for token in tokens]
    return ["Most surprising:", "\n".join(f"- {line}" for line in lines)]


def _surprise(buffer: Buffer, token: ScoredToken, markdown: bool) -> str:
    wanted = ", ".join(f"{_token(text, markdown)} {_percent(p)}" for text, p in token.alternatives[:MOST_ALTERNATIVES])
    # A token may end inside a character: byte-level tokens know no characters.
    text = buffer.source[token.start : token.end].decode("utf-8", errors="replace")
    return f"{_token(text, markdown)} {_percent(math.exp(token.logprob))}, rank {token.rank}; likelier: {wanted}"


def _token(text: str, markdown: bool) -> str:
    return _code(text, markdown) if text else "(the end)"


def _percent(probability: float) -> str:
    return f"{100 * probability:.3g} %"


def _code(text: str, markdown: bool) -> str:
    """`text` on one line as code, white space made visible where it is all there is. Safe for any back quotes inside."""
    line = " ".join(text.split()) or text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣") or "(nothing)"
    line = line if len(line) <= 60 else line[:59] + "…"
    if not markdown:
        return f"“{line}”"
    quotes = "`"
    while quotes in line:
        quotes += "`"
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{quotes}{pad}{line}{pad}{quotes}"
