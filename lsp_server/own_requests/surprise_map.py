"""lacuna/surpriseMap: how surprising each token of a document is. What goes over the wire is described in docs/protocol.md."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from lsprotocol import types

from engine.infiller import Infiller, OnPass
from engine.results import Progress
from lsp_server.buffer import Unit
from lsp_server.context import OtherFile
from lsp_server.documents import Document
from lsp_server.inference import Job, Stopped, StopReason
from lsp_server.language_server import LacunaServer
from lsp_server.own_requests.params import one_range, open_document, progress_token
from lsp_server.progress import WorkDoneProgress
from lsp_server.refusals import refusals
from lsp_server.scoring import ScoredToken
from lsp_server.statements import Span
from lsp_server.surprise_cache import ScoredChunk
from lsp_server.surprise_map import chunks, mean_bits, within

SURPRISE_MAP = "lacuna/surpriseMap"


async def surprise_map(ls: LacunaServer, params: object) -> dict[str, object]:
    """Score every token of the document or of a range of it.

    With a token for partial results each chunk's tokens go there as soon as they are known, and the answer has none.
    """
    found: list[ScoredToken] = []
    with refusals(ls):
        asked = _asked(ls, params)
        document = asked.document
        job = ls.inference.new_job("surprise map", document.uri)
        async with WorkDoneProgress(ls, "Scoring", asked.work_done_token, create=False, on_cancel=job.stop) as progress:
            async for tokens in scored_chunks(ls, document, asked.start, asked.end, job, progress.report):
                found += tokens
                if asked.partial_result_token is not None and tokens:
                    part = {"version": document.version, "tokens": _as_json(document, tokens, ls.unit)}
                    ls.progress(types.ProgressParams(asked.partial_result_token, part))
        if not ls.documents.is_current(document):
            raise Stopped(StopReason.MODIFIED)
    left = () if asked.partial_result_token is not None else found
    return {"version": document.version, "tokens": _as_json(document, left, ls.unit), "bitsPerToken": mean_bits(found)}


async def scored_chunks(
    ls: LacunaServer, document: Document, start: int, end: int, job: Job, on_progress: OnPass
) -> AsyncIterator[tuple[ScoredToken, ...]]:
    """The tokens of bytes `start` to `end`, chunk by chunk, with a word to the log at the end. Raises Stopped and LacunaError.

    Each chunk is a turn of its own in the model's thread, so that a fill need not wait for more than one pass. Stopped is raised also
    where another model takes over between two turns: surprises of two models can't be compared.
    """

    def cut(infiller: Infiller, on_pass: OnPass) -> tuple[Infiller, tuple[Span, ...]]:
        return infiller, chunks(document.buffer, document.tree, start, end, infiller)

    began, count, passes = time.monotonic(), 0, 0
    others = ls.documents.others_of(document)
    first, cuts = await ls.inference.run(job, cut)
    for number, chunk in enumerate(cuts, 1):
        scored = await _score(ls, document, chunk, others, job, first)
        tokens = within(scored.tokens, start, end)
        count, passes = count + len(tokens), passes + scored.is_new
        on_progress(Progress(passes, count, count * len(cuts) // number))
        yield tokens
    ls.note(f"{job.kind}: {count} tokens in {passes} passes for {len(cuts)} chunks, {1000 * (time.monotonic() - began):.0f} ms")


async def _score(ls: LacunaServer, document: Document, chunk: Span, others: Sequence[OtherFile], job: Job, first: Infiller) -> ScoredChunk:
    def score(infiller: Infiller, on_pass: OnPass) -> ScoredChunk:
        if infiller is not first:
            raise Stopped(StopReason.EXCHANGED)
        return ls.surprises.score(document, chunk, infiller, others)

    return await ls.inference.run(job, score)


@dataclass(frozen=True)
class _Asked:
    """A request that makes sense: bytes `start` to `end` of an open document."""

    document: Document
    start: int
    end: int
    work_done_token: types.ProgressToken | None
    partial_result_token: types.ProgressToken | None


def _asked(ls: LacunaServer, params: object) -> _Asked:
    """Raises LacunaError for what is no request for an open document."""
    document, values = open_document(ls, SURPRISE_MAP, params)
    asked = one_range(SURPRISE_MAP, values)
    start, end = (0, len(document.buffer.source)) if asked is None else document.offsets(asked, ls.unit)
    tokens = [progress_token(SURPRISE_MAP, values, name) for name in ("workDoneToken", "partialResultToken")]
    return _Asked(document, start, end, *tokens)


def _as_json(document: Document, tokens: Sequence[ScoredToken], unit: Unit) -> list[dict[str, object]]:
    return [
        {
            "range": _range(document, token, unit),
            "bits": token.bits,
            "rank": token.rank,
            "alternatives": [[text, probability] for text, probability in token.alternatives],
        }
        for token in tokens
    ]


def _range(document: Document, token: ScoredToken, unit: Unit) -> dict[str, dict[str, int]]:
    places = (("start", token.start), ("end", token.end))
    return {name: dict(zip(("line", "character"), document.buffer.position(at, unit), strict=True)) for name, at in places}
