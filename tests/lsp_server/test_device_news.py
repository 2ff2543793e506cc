"""What the server and the commands tell of a graphics card that fails while it is at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from lsprotocol import types

from engine.infiller import Infiller, OnPass
from engine.options import FillOptions
from engine.passage import Passage
from engine.results import FillResult
from lsp_server.cli import main
from lsp_server.cli import score as score_command
from lsp_server.device_news import DeviceNews
from lsp_server.inference import Inference
from lsp_server.language_server import LacunaServer
from tests.engine.failing_device import failing_infiller

PASSAGE = Passage(("x = ", "\n"), (2,))
NO_MEMORY = "the NVIDIA Test Card had not enough memory for a request, which the CPU answered"
LOST = "the CPU runs the model: the NVIDIA Test Card failed and is not asked again (it failed in a test)"


@dataclass
class Recorder:
    """The part of the server that the news go to."""

    inference: Inference
    notes: list[tuple[str, types.MessageType]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def note(self, message: str, kind: types.MessageType) -> None:
        self.notes.append((message, kind))

    def tell(self, message: str, kind: types.MessageType) -> None:
        assert kind == types.MessageType.Warning
        self.shown.append(message)


def greedy(infiller: Infiller, on_pass: OnPass) -> FillResult:
    return infiller.fill(PASSAGE, FillOptions(temperature=0), on_pass)


@pytest.fixture(params=[False, True], ids=["out of memory", "lost"])
def lost(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def server(lost: bool) -> Iterator[Recorder]:
    inference = Inference(lambda folder, device: failing_infiller(at=3, lost=lost)[0])
    recorder = Recorder(inference)
    inference.on_change = DeviceNews(cast(LacunaServer, recorder)).look
    yield recorder
    inference.close()


async def test_the_server_tells_it_once_and_answers(server: Recorder, lost: bool) -> None:
    job = server.inference.new_job("fill", "file:///a.py")
    (expected,) = failing_infiller(at=0)[0].fill(PASSAGE, FillOptions(temperature=0)).suggestions
    for _ in range(3):
        (suggestion,) = (await server.inference.run(job, greedy)).suggestions
        assert suggestion.texts == expected.texts
    sentence = LOST if lost else NO_MEMORY
    assert server.notes == [(sentence, types.MessageType.Warning)] and server.shown == [f"Lacuna: {sentence}."]
    # A model that is loaded again, after a rest say, has nothing new to tell when it fails as well.
    await server.inference.load()
    await server.inference.run(job, greedy)
    assert len(server.notes) == len(server.shown) == 1


def test_a_command_tells_it_and_does_its_work(
    lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    infiller, _ = failing_infiller(at=3, lost=lost)
    monkeypatch.setattr(score_command, "load_model", lambda folder, device: infiller)
    path = tmp_path / "sample.py"
    path.write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    assert main(["score", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"lacuna: {LOST if lost else NO_MEMORY}\n" and "log-likelihood" in captured.out
