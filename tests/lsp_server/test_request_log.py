"""What is known of a request, and what the log may have of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from lsprotocol import types

from engine.errors import LacunaError
from engine.results import Progress
from lsp_server.client_abilities import ClientAbilities
from lsp_server.configuration import Settings
from lsp_server.documents import Document, Documents
from lsp_server.fill_request import FillRequest, run_fill
from lsp_server.filling import Filling
from lsp_server.inference import Job
from lsp_server.language_server import LacunaServer
from lsp_server.log import line
from lsp_server.request_log import RequestRecord, enter_request, without_quote

QUOTING = "it would be a syntax error: secret(: word (1 of 2)"


def test_passes_add_up_over_several_calls_of_the_engine() -> None:
    record = RequestRecord("lacuna/fill")
    for passes, tokens in ((1, 2), (3, 5), (1, 1), (2, 4)):
        record.count(Progress(passes, tokens, 100))
    # 3 passes in the first call and 2 in the second; each counts from the beginning.
    assert (record.passes, record.tokens) == (5, 9)


def test_numbers_are_given_out_once() -> None:
    assert len({RequestRecord("hover").id for _ in range(5)}) == 5


async def test_a_line_names_the_request_and_is_one_line() -> None:
    record = RequestRecord("hover")
    enter_request(record)
    assert line("two\nlines", why='a "b" c', nothing=None, count=3) == f'two\\nlines request={record.id} why="a \\"b\\" c" count=3'


def test_a_quote_is_left_out() -> None:
    assert without_quote(QUOTING) == "it would be a syntax error"
    assert without_quote("it says nothing") == "it says nothing"


async def test_a_refusal_quotes_code_to_the_user_and_not_to_the_log() -> None:
    documents = Documents()
    document = Document.opened(types.TextDocumentItem("file:///sample.py", "python", 1, "x = ___\n"))
    documents.put(document)

    async def run(job: Job, *rest: Any) -> Filling:
        return Filling((), 3, 4, 0.0, 1, 0, 0.0, refused=(QUOTING, "it says nothing", QUOTING))

    inference = SimpleNamespace(new_job=Job, run=run)
    server = SimpleNamespace(settings=Settings(), documents=documents, abilities=ClientAbilities(), inference=inference)
    record = RequestRecord("lacuna/fill")
    enter_request(record)
    with pytest.raises(LacunaError, match=r"secret\("):
        await run_fill(cast(LacunaServer, server), FillRequest(document, ()))
    assert record.unquoted == "no fill was good enough to show: it would be a syntax error (2 of 3); it says nothing (1 of 3)"
