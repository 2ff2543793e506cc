"""What the model runs on: how it is chosen in an editor, and what is told of it. That there is no GPU here is told as elsewhere."""

from __future__ import annotations

import pytest
from lsprotocol import types

from lsp_server.status import STATUS, Status
from tests.engine.no_driver import needs_no_driver
from tests.lsp_server.language_client import Editor, capabilities, editor
from tests.lsp_server.sample_code import ONE_HOLE

NO_DRIVER = "the CPU runs the model: no NVIDIA driver was found "


async def ready(ed: Editor) -> Status:
    """The status once a document made the server load its model."""
    ed.open(ONE_HOLE)
    found: Status = await ed.until(STATUS, lambda params: params.state == "ready")
    return found


def logged(ed: Editor, text: str) -> list[types.MessageType]:
    """The kinds of the lines of the log that have this text in them."""
    return [params.type for method, params in ed.heard if method == types.WINDOW_LOG_MESSAGE and text in params.message]


def device(ed: Editor, wanted: str) -> None:
    ed.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({"lacuna": {"device": wanted}}))


@needs_no_driver
async def test_that_there_is_no_card_is_a_line_for_those_who_debug() -> None:
    async with editor(abilities=capabilities(status=True), settings={"logLevel": "debug"}) as ed:
        status = await ready(ed)
        assert status == Status("ready", model="lacuna-small", model_id=status.model_id, device="CPU")
        await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: "is ready (CPU, " in params.message)
        assert logged(ed, NO_DRIVER) == [types.MessageType.Log]
        assert ed.messages() == []


@needs_no_driver
@pytest.mark.parametrize("where", ["setting", "command line"])
async def test_who_asks_for_the_card_is_told_once_that_there_is_none(where: str) -> None:
    given = ["--device", "cuda"] if where == "command line" else []
    async with editor(*given, abilities=capabilities(status=True), settings={} if given else {"device": "cuda"}) as ed:
        status = await ready(ed)
        assert status.device == "CPU" and str(status.device_reason).startswith(NO_DRIVER)
        told = await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert told.message.startswith(f"Lacuna: {NO_DRIVER}") and told.type == types.MessageType.Warning
        document = ed.open(ONE_HOLE, uri="file:///project/other.py")
        assert await ed.hover(document, document.text.index("total")) is not None
        assert logged(ed, NO_DRIVER) == [types.MessageType.Warning] and len(ed.messages()) == 1


@needs_no_driver
async def test_a_change_of_the_setting_loads_the_model_again() -> None:
    async with editor(abilities=capabilities(status=True)) as ed:
        first = await ready(ed)
        assert first.device_reason is first.message is None
        device(ed, "cuda")
        await ed.until(types.WINDOW_SHOW_MESSAGE)
        device(ed, "cpu")
        await ed.until(STATUS, lambda params: params == first and len(logged(ed, "loading")) == 3)
        # Nobody needs to know twice.
        device(ed, "cuda")
        await ed.until(STATUS, lambda params: params.device_reason is not None and len(logged(ed, "loading")) == 4)
        document = ed.open(ONE_HOLE, uri="file:///project/other.py")
        assert await ed.hover(document, document.text.index("total")) is not None
        assert len(ed.messages()) == 1


async def test_a_device_that_there_is_not_is_a_wrong_value() -> None:
    async with editor(settings={"device": "gpu"}) as ed:
        told = await ed.until(types.WINDOW_SHOW_MESSAGE)
        assert "device must be one of 'auto', 'cpu', 'cuda', not \"gpu\"" in told.message
