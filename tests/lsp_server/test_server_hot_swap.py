"""Another model in the place of the one in use: loaded beside it and swapped, or refused where it is broken."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import default_converter

from engine.manifest import MANIFEST
from lsp_server.status import STATUS
from tests.lsp_server.language_client import PATIENCE, Editor, EditorDocument, capabilities, editor
from tests.lsp_server.model_copies import GRAPH, copy_model, write_manifest
from tests.lsp_server.sample_code import HOLE, ONE_HOLE

ODD = ONE_HOLE.replace("result = 0", "result = zebra.quagmire(0)")
# Long enough for another model to be loaded meanwhile.
LONG = {"temperature": 0.6, "method": "sequential", "maxTokens": 40, "alternatives": 32}


async def ready(ed: Editor, name: str) -> None:
    await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: f"the model {name} is ready" in params.message)


async def refused(ed: Editor, reason: str) -> str:
    """The message that says why another model is not taken."""
    return str((await ed.until(types.WINDOW_SHOW_MESSAGE, lambda params: reason in params.message)).message)


async def hints(ed: Editor) -> list[str]:
    """The next hints that are published."""
    found = await ed.until(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS, lambda params: bool(params.diagnostics))
    return [hint.message for hint in found.diagnostics]


async def ask(ed: Editor, method: str, document: EditorDocument) -> Any:
    async with asyncio.timeout(PATIENCE):
        answer = await ed.client.protocol.send_request_async(method, {"textDocument": {"uri": document.uri}})
    return default_converter().unstructure(answer)  # type: ignore[no-untyped-call]


async def likelihood(ed: Editor, document: EditorDocument) -> str:
    """What a hover says of a word that hardly any model expects."""
    hover = await ed.hover(document, document.text.index("zebra"))
    assert hover is not None and isinstance(hover.contents, types.MarkupContent)
    return hover.contents.value


async def bits(ed: Editor, document: EditorDocument) -> float:
    """The mean surprise of a surprise map."""
    return float((await ask(ed, "lacuna/surpriseMap", document)).bitsPerToken)


async def offered(ed: Editor, document: EditorDocument) -> list[str]:
    """The fills that are offered without a run of the model."""
    return [action.title for action in await ed.actions(document, document.text.index(HOLE)) if action.title.startswith("Fill with")]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
async def test_another_model_is_loaded_beside_the_old_and_takes_its_place(tmp_path: Path) -> None:
    one, two = copy_model(tmp_path / "one", "first"), copy_model(tmp_path / "two", "second", sharpness=0.5)
    current, following = tmp_path / "current", tmp_path / "next"
    current.symlink_to(one)
    settings = {"model": str(current), "surpriseHints": True, "surpriseHintBits": 6, **LONG}
    async with editor(settings=settings) as ed:
        document = ed.open(ODD)
        await ready(ed, "first")
        before = await hints(ed), await likelihood(ed, document), await bits(ed, document)
        first = (await ask(ed, "lacuna/fill", document)).alternatives
        assert await offered(ed, document)
        ed.heard.clear()
        following.symlink_to(two)
        following.replace(current)
        await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: "loading the model" in params.message)
        # Asked for while the other model is loaded: the old one goes on serving.
        meanwhile = (await ask(ed, "lacuna/fill", document)).alternatives
        await ready(ed, "second")
        assert not await offered(ed, document)
        second = (await ask(ed, "lacuna/fill", document)).alternatives
        assert signs(first) != signs(second)
        # One of the two, whole.
        assert signs(meanwhile) in (signs(first), signs(second))
        after = await hints(ed), await likelihood(ed, document), await bits(ed, document)
        assert all(new != old for new, old in zip(after, before, strict=True))
        assert not ed.messages()


async def test_the_status_tells_a_model_from_another_one_of_its_name(tmp_path: Path) -> None:
    folder = copy_model(tmp_path / "model", "same")
    async with editor(abilities=capabilities(status=True), settings={"model": str(folder)}) as ed:
        ed.open(ODD)
        first = await ed.until(STATUS, lambda params: params.state == "ready")
        ed.heard.clear()
        # The same weights under another name, then other weights under that name.
        write_manifest(folder, name="renamed")
        renamed = await ed.until(STATUS, lambda params: params.model == "renamed" and params.state == "ready")
        ed.heard.clear()
        copy_model(tmp_path / "new", "renamed", sharpness=0.5).joinpath(GRAPH).replace(folder / GRAPH)
        (tmp_path / "new" / MANIFEST).replace(folder / MANIFEST)
        other = await ed.until(STATUS, lambda params: params.model_id not in (None, first.model_id))
        assert first.model_id and renamed.model_id == first.model_id
        assert (other.model, other.state) == ("renamed", "ready")


def signs(alternatives: list[Any]) -> list[tuple[str, float]]:
    """What tells one model's fills from another's. Sums may come in another order, and differ in their last digits."""
    return [(str(one.texts), round(one.logLikelihood, 2)) for one in alternatives]


async def test_a_broken_model_is_refused_once_and_the_old_one_keeps_serving(tmp_path: Path) -> None:
    folder = copy_model(tmp_path / "model", "first")
    spoilt = copy_model(tmp_path / "spoilt", "spoilt", sharpness=float("nan"))
    sound = (folder / GRAPH).read_bytes()

    def nonsense() -> None:
        (folder / "new").write_text("{")
        (folder / "new").replace(folder / MANIFEST)

    def truncated() -> None:
        (folder / GRAPH).write_bytes(sound[: len(sound) // 2])
        write_manifest(folder, name="truncated")

    def no_numbers() -> None:
        (folder / GRAPH).write_bytes((spoilt / GRAPH).read_bytes())
        write_manifest(folder, name="spoilt")

    breakages: list[tuple[Callable[[], None], str]] = [
        (nonsense, f"{folder / MANIFEST} is not valid JSON"),
        (lambda: write_manifest(folder, graphs={"float32": {"file": GRAPH, "sha256": "0" * 64}}), "is not the file its manifest describes"),
        (truncated, "can't be loaded by ONNX Runtime"),
        (no_numbers, "are NaN or infinite"),
    ]
    async with editor(settings={"model": str(folder)}) as ed:
        document = ed.open(ODD)
        await ready(ed, "first")
        before = await likelihood(ed, document)
        for break_it, reason in breakages:
            ed.heard.clear()
            break_it()
            told = await refused(ed, reason)
            assert told.startswith("Lacuna goes on with the model first: ") and told.count("\n") == 0
            assert await likelihood(ed, document) == before
            # A write in two steps may be seen in the middle, but nothing is told twice.
            assert len(set(ed.messages())) == len(ed.messages()) <= 2
        ed.heard.clear()
        (folder / GRAPH).write_bytes(sound)
        write_manifest(folder, name="mended")
        await ready(ed, "mended")
        assert await likelihood(ed, document) == before


async def test_a_model_that_comes_later_is_loaded(tmp_path: Path) -> None:
    folder, unpacked = tmp_path / "models" / "mine", copy_model(tmp_path / "unpacked", "late")
    async with editor(settings={"model": str(folder)}) as ed:
        document = ed.open(ONE_HOLE)
        told = await refused(ed, f"there is no model folder at {folder}")
        assert told.startswith("Lacuna has no model: ")
        with pytest.raises(JsonRpcException, match="there is no model folder"):
            await ask(ed, "lacuna/fill", document)
        folder.parent.mkdir()
        unpacked.rename(folder)
        await ready(ed, "late")
        assert (await ask(ed, "lacuna/fill", document)).alternatives
        assert len(ed.messages()) == 1
