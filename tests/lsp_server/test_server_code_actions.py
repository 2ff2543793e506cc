"""textDocument/codeAction and codeAction/resolve, against the real server."""

from __future__ import annotations

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from lsp_server.syntax import count_errors, parse
from tests.lsp_server.language_client import Editor, EditorDocument, capabilities, editor
from tests.lsp_server.sample_code import HOLE, ONE_HOLE, THREE_HOLES

# Cool and roomy: a small model then mostly has something to show.
SURE = {"temperature": 0.6, "alternatives": 4, "maxTokens": 24}


def errors_in(text: str) -> int:
    tree = parse(text.encode(), "python")
    assert tree is not None
    return count_errors(tree)


def titles(actions: list[types.CodeAction | types.Command]) -> list[str]:
    return [action.title for action in actions]


def outside(document: EditorDocument, text: str) -> bool:
    """Whether the document is `text` but for what stands in its holes."""
    pieces, at = text.split(HOLE), 0
    if not document.text.startswith(pieces[0]) or not document.text.endswith(pieces[-1]):
        return False
    for piece in pieces:
        at = document.text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True


async def fill(ed: Editor, document: EditorDocument, title: str, start: int, end: int | None = None) -> types.CodeAction:
    """Resolve the action and apply it."""
    action = await ed.resolve(await ed.action(document, title, start, end))
    assert action.edit is not None
    ed.apply(action.edit)
    return action


async def test_listing_depends_on_where_the_cursor_is() -> None:
    async with editor() as ed:
        document = ed.open(THREE_HOLES)
        here = document.text.index(HOLE)
        all_three = "Fill all 3 holes in this file"
        choose = "Fill this hole: choose among alternatives…"
        of_the_function = ["Annotate total (2 types)", "Write the docstring of total"]
        for at in (here, here + 1, here + 3):
            assert titles(await ed.actions(document, at)) == ["Fill this hole", choose, all_three, *of_the_function]
        on_the_line = document.text.index(" += ")
        name = "Suggest a better name for result in this file"
        assert titles(await ed.actions(document, on_the_line)) == ["Fill this hole", choose, all_three, name, *of_the_function]
        automatic = types.CodeActionTriggerKind.Automatic
        assert titles(await ed.actions(document, here, trigger=automatic)) == ["Fill this hole", choose, all_three]
        assert titles(await ed.actions(document, 0)) == [all_three, "Write code at the cursor"]
        assert titles(await ed.actions(document, 0, trigger=automatic)) == [all_three]
        start = document.text.index("return total")
        of_mean = "Fill the 2 holes of mean"
        assert titles(await ed.actions(document, start, start + 12, only=["quickfix"])) == [of_mean, all_three]
        second = document.text.index(HOLE, here + 1)
        both = titles(await ed.actions(document, here, second + 1))
        assert both[:3] == ["Fill the 2 holes in the selection", all_three, "Rewrite the selection"]
        third = document.text.index(HOLE, second + 1)
        assert titles(await ed.actions(document, second, third, only=["quickfix"])) == ["Fill the 2 holes in the selection", all_three]
        # Nothing of that needed the model's answer.
        assert all(action.edit is None for action in await ed.actions(document, here) if isinstance(action, types.CodeAction))


async def test_listing_keeps_to_the_kinds_asked_for() -> None:
    async with editor() as ed:
        document = ed.open(ONE_HOLE)
        here = document.text.index(HOLE)
        word = document.text.index("items")
        assert titles(await ed.actions(document, here, only=["quickfix"]))
        assert not await ed.actions(document, here, only=["refactor.extract", "source.organizeImports"])
        assert not await ed.actions(document, here, only=["quick"])
        for only in ("refactor", "refactor.rewrite"):
            assert titles(await ed.actions(document, word, word + 5, only=[only]))[:1] == ["Rewrite the selection"]


async def test_a_filled_hole_leaves_no_marker_and_no_new_syntax_error() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(ONE_HOLE)
        action = await fill(ed, document, "Fill this hole", document.text.index(HOLE))
        assert action.edit is not None and action.edit.document_changes is not None and action.edit.changes is None
        assert HOLE not in document.text and outside(document, ONE_HOLE)
        assert errors_in(document.text) == 0
        assert action.title.startswith("Fill this hole: ") and "log-likelihood -" in action.title


async def test_all_holes_are_filled_at_once() -> None:
    async with editor(settings=SURE) as ed:
        document = ed.open(THREE_HOLES)
        action = await fill(ed, document, "Fill all 3 holes", 0)
        assert action.edit is not None and action.edit.document_changes is not None
        (change,) = action.edit.document_changes
        assert isinstance(change, types.TextDocumentEdit) and len(change.edits) == 3
        assert HOLE not in document.text and outside(document, THREE_HOLES)
        assert errors_in(document.text) == 0


async def test_a_client_without_versioned_edits_gets_plain_ones() -> None:
    async with editor(settings=SURE, abilities=capabilities(versioned=False)) as ed:
        document = ed.open(ONE_HOLE)
        action = await fill(ed, document, "Fill this hole", document.text.index(HOLE))
        assert action.edit is not None and action.edit.document_changes is None
        assert list(action.edit.changes or {}) == [document.uri]


async def test_known_alternatives_are_listed_with_preview_and_likelihood_before_and_after_one_is_applied() -> None:
    async with editor(settings={**SURE, "alternatives": 6, "temperature": 1.0}) as ed:
        document = ed.open(ONE_HOLE)
        here = document.text.index(HOLE)
        first = await ed.resolve(await ed.action(document, "Fill this hole", here))
        listed = await ed.actions(document, here)
        ready = [one for one in listed if isinstance(one, types.CodeAction) and one.title.startswith("Fill with: ")]
        assert 1 <= len(ready) <= 6
        assert all("log-likelihood -" in one.title and one.edit is not None and one.data is None for one in ready)
        assert ready[0].edit == first.edit
        assert ready[0].edit is not None
        ed.apply(ready[0].edit)
        others = [one for one in await ed.actions(document, here) if one.title.startswith("Use instead: ")]
        assert len(others) == len(ready) - 1
        for other in others:
            assert isinstance(other, types.CodeAction) and other.edit is not None
        if others and isinstance(others[0], types.CodeAction) and others[0].edit is not None:
            ed.apply(others[0].edit)
            assert HOLE not in document.text and outside(document, ONE_HOLE) and errors_in(document.text) == 0


async def test_the_selection_is_rewritten() -> None:
    async with editor(settings=SURE) as ed:
        text = ONE_HOLE.replace(HOLE, "item.price")
        document = ed.open(text)
        start = text.index("item.price")
        await fill(ed, document, "Rewrite the selection", start, start + len("item.price"))
        assert document.text.startswith(text[:start]) and document.text.endswith(text[start + len("item.price") :])
        assert errors_in(document.text) == 0


async def test_an_action_for_an_older_text_is_refused() -> None:
    async with editor() as ed:
        document = ed.open(ONE_HOLE)
        action = await ed.action(document, "Fill this hole", document.text.index(HOLE))
        ed.edit(document, 0, 0, "# a note\n")
        with pytest.raises(JsonRpcException) as refusal:
            await ed.resolve(action)
        assert refusal.value.code == types.LSPErrorCodes.ContentModified
        await ed.until(types.WINDOW_SHOW_MESSAGE, lambda params: "the document changed" in params.message)
        ed.close(document)
        with pytest.raises(JsonRpcException) as refusal:
            await ed.resolve(action)
        assert refusal.value.code == types.LSPErrorCodes.ContentModified


GOOD_HOLE = {"start": 0, "end": 9, "kind": "range", "budget": 8, "tie": None}
GOOD_DATA = {"uri": "file:///project/sample.py", "version": 1, "purpose": "code", "holes": [GOOD_HOLE], "frames": []}
BAD_DATA: list[object] = [
    "nonsense",
    {},
    {**GOOD_DATA, "holes": []},
    {**GOOD_DATA, "holes": [[0, 9, "range", 8]]},
    {**GOOD_DATA, "holes": [{**GOOD_HOLE, "end": 10**9}]},
    {**GOOD_DATA, "holes": [{**GOOD_HOLE, "start": 10}]},
    {**GOOD_DATA, "holes": [{**GOOD_HOLE, "kind": "gap"}]},
    {**GOOD_DATA, "holes": [{**GOOD_HOLE, "budget": 0}]},
    {**GOOD_DATA, "holes": [{**GOOD_HOLE, "tie": 1}]},
    {**GOOD_DATA, "holes": [GOOD_HOLE, {**GOOD_HOLE, "start": 4, "end": 12}]},
    {**GOOD_DATA, "purpose": "poem"},
    {**GOOD_DATA, "frames": ["quotes"]},
    {**GOOD_DATA, "frames": [{"before": "", "after": ""}] * 2},
]


async def test_data_of_another_shape_is_refused_with_a_sentence() -> None:
    async with editor() as ed:
        ed.open(ONE_HOLE)
        for data in BAD_DATA:
            with pytest.raises(JsonRpcException, match=r"^Lacuna: ") as refusal:
                await ed.resolve(types.CodeAction("Fill this hole", data=data))
            assert refusal.value.code == types.LSPErrorCodes.RequestFailed


async def test_odd_documents_do_no_harm() -> None:
    async with editor(settings=SURE) as ed:
        empty = ed.open("", uri="file:///project/empty.py")
        assert titles(await ed.actions(empty, 0)) == ["Write code at the cursor"]
        unknown = ed.open("let x = ___;\n", uri="untitled:Untitled-1", language="klingon")
        await fill(ed, unknown, "Fill this hole", unknown.text.index(HOLE))
        assert outside(unknown, "let x = ___;\n")
        broken = ed.open("def (:\n  ___ ]]\n", uri="vscode-notebook-cell:/a.ipynb#1")
        assert "Fill this hole" in titles(await ed.actions(broken, broken.text.index(HOLE)))
        never_opened = EditorDocument("file:///project/never.py", "x = ___")
        assert await ed.actions(never_opened, 4) == []
        assert await ed.hover(never_opened, 4) is None
        ed.close(empty)
        assert await ed.actions(empty, 0) == []
        ed.client.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier("file:///project/never.py")))
        ed.documents[never_opened.uri] = never_opened
        ed.edit(never_opened, 0, 1, "y")
        assert await ed.actions(never_opened, 4) == []
