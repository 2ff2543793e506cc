"""$/progress around slow work."""

from __future__ import annotations

from lsprotocol import types

from tests.lsp_server.language_client import Editor, capabilities, editor
from tests.lsp_server.sample_code import HOLE, ONE_HOLE

SURE = {"temperature": 0.6, "alternatives": 2, "maxTokens": 24}


def kinds(ed: Editor, token: str) -> list[str]:
    """The kinds of the reports under a token, in order."""
    return [params.value["kind"] for method, params in ed.heard if method == types.PROGRESS and params.token == token]


async def test_a_token_of_the_client_is_used() -> None:
    async with editor(settings=SURE, abilities=capabilities(progress=False)) as ed:
        document = ed.open(ONE_HOLE)
        action = await ed.action(document, "Fill this hole: choose", document.text.index(HOLE))
        await ed.execute(action.command, token="mine")
        await ed.execute(action.command, token="mine")
        seen = kinds(ed, "mine")
        assert (seen[0], seen[-1], seen.count("begin"), seen.count("end")) == ("begin", "end", 2, 2)
        begin = await ed.until(types.PROGRESS, lambda params: params.value["kind"] == "begin")
        assert begin.value["cancellable"] and begin.value["title"] == "Filling the hole"
        assert not any(method == types.WINDOW_WORK_DONE_PROGRESS_CREATE for method, _ in ed.heard)


async def test_the_server_opens_a_report_of_its_own_where_the_client_allows() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(ONE_HOLE)
        loading = await ed.until(types.PROGRESS, lambda params: params.value["kind"] == "begin")
        assert loading.value["title"] == "Loading Lacuna's model" and not loading.value["cancellable"]
        await ed.until(types.PROGRESS, lambda params: params.token == loading.token and params.value["kind"] == "end")
        await ed.resolve(await ed.action(document, "Fill this hole", document.text.index(HOLE)))
        filling = await ed.until(types.PROGRESS, lambda params: params.value.get("title") == "Filling the hole")
        await ed.until(types.PROGRESS, lambda params: params.token == filling.token and params.value["kind"] == "end")
        created = [params.token for method, params in ed.heard if method == types.WINDOW_WORK_DONE_PROGRESS_CREATE]
        assert {loading.token, filling.token} <= set(created)


async def test_a_client_that_knows_no_progress_is_spared_it() -> None:
    async with editor(settings=SURE, abilities=capabilities(progress=False)) as ed:
        document = ed.open(ONE_HOLE)
        await ed.resolve(await ed.action(document, "Fill this hole", document.text.index(HOLE)))
        assert not any(method in (types.PROGRESS, types.WINDOW_WORK_DONE_PROGRESS_CREATE) for method, _ in ed.heard)
