"""What the engine can't do is refused in one sentence that says what to do instead; what is merely odd works."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from lsprotocol import types
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from pygls.exceptions import JsonRpcException

from engine.decoders import DECODERS
from engine.decoders.base import prefill
from engine.errors import LacunaError, ModelError, PassageError
from engine.infiller import ignore_progress
from engine.local import DEFAULT_MODEL, LocalInfiller, load_infiller
from engine.manifest import MANIFEST, sha256_of
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.sampling import Sampler
from lsp_server.cli import main
from tests.lsp_server.language_client import editor
from tests.lsp_server.sample_code import HOLE, ONE_HOLE

PASSAGE = Passage(("def mean(values):\n    return ", " / len(values)\n"), (6,))


def assert_one_sentence(message: str, *names: str) -> None:
    assert "\n" not in message and ". " not in message and not message.endswith("."), message
    for name in names:
        assert name in message, message


@pytest.mark.parametrize("budgets", [(10**9,), (300, 300)])
def test_budgets_beyond_the_window_are_refused(infiller: LocalInfiller, budgets: tuple[int, ...]) -> None:
    passage = Passage(("x = ", "\n", "\n")[: len(budgets) + 1], budgets)
    with pytest.raises(PassageError) as fill:
        infiller.fill(passage, FillOptions())
    with pytest.raises(PassageError) as score:
        infiller.score(passage, ["1"] * len(budgets))
    for error in (fill, score):
        assert_one_sentence(str(error.value), str(sum(budgets)), str(infiller.window), "smaller")


def test_a_passage_may_fill_the_window_but_not_exceed_it(infiller: LocalInfiller) -> None:
    piece = "x = "
    room = infiller.window - infiller.count_tokens(piece)
    assert len(infiller.sequence(Passage((piece, ""), (room,))).slots[0]) == room
    with pytest.raises(PassageError) as error:
        infiller.sequence(Passage((piece, ""), (room + 1,)))
    assert_one_sentence(str(error.value), str(infiller.window + 1), "shorten")


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("budget", [0, -3])
def test_a_hole_without_slots_is_refused_by_number(budget: int, fixed: bool) -> None:
    with pytest.raises(PassageError) as error:
        Passage(("a", "b", "c"), (4, budget), fixed_lengths=(fixed, fixed))
    assert_one_sentence(str(error.value), "hole 2", str(budget), "leave the hole out")


def test_a_hole_of_one_slot_may_stay_empty(infiller: LocalInfiller) -> None:
    """Its only slot holds the end mark, or one token and no end."""
    (hole,) = infiller.score(Passage(("x = 1", "\n"), (1,)), [""]).holes
    assert [token.text for token in hole] == [""]


@pytest.mark.parametrize("method", METHODS)
def test_64_holes_are_filled_at_once(infiller: LocalInfiller, method: str) -> None:
    """More than the model was trained on, and than the editor's side puts into one passage."""
    passage = Passage(("[", *[", "] * 63, "]\n"), (4,) * 64)
    result = infiller.fill(passage, FillOptions(temperature=1, seed=0, method=method))
    (suggestion,) = result.suggestions
    assert len(suggestion.fills) == 64 and all(1 <= len(fill.tokens) <= 4 for fill in suggestion.fills)
    assert result.passes <= result.tokens
    score = infiller.score(passage, ["1"] * 64)
    assert len(score.holes) == 64 and math.isfinite(score.logprob)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", value) for value in (-1e-9, -1.0, 10.1, math.nan, math.inf, -math.inf)),
        *(("top_p", value) for value in (0.0, -0.5, 1.001, math.nan, math.inf)),
        *(("count", value) for value in (0, -1, 65)),
        *(("draft", value) for value in (0, -1, 65)),
        ("seed", -1),
        ("method", "beam"),
        ("method", ""),
    ],
)
def test_options_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(LacunaError) as error:
        FillOptions(**{name: value})
    assert_one_sentence(str(error.value), {"top_p": "top-p", "count": "suggestions", "draft": "drafted"}.get(name, name), str(value))


@pytest.mark.parametrize("method", METHODS)
def test_a_temperature_near_zero_is_greedy(infiller: LocalInfiller, method: str) -> None:
    """Temperature 0 is a case of its own; what comes close to it must not overflow."""
    greedy = infiller.fill(PASSAGE, FillOptions(temperature=0, method=method)).suggestions[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cold = infiller.fill(PASSAGE, FillOptions(temperature=1e-9, top_p=1e-9, seed=0, method=method)).suggestions[0]
    assert cold.fills[0].tokens == greedy.fills[0].tokens


@pytest.mark.parametrize("method", METHODS)
def test_the_highest_temperature_draws_tokens_that_may_stand_in_a_hole(infiller: LocalInfiller, method: str) -> None:
    result = infiller.fill(PASSAGE, FillOptions(count=8, temperature=10, seed=0, method=method))
    barred = set(infiller.model.never)
    assert len(result.suggestions) == 8
    assert all(math.isfinite(each.logprob) and not barred & set(each.fills[0].tokens) for each in result.suggestions)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9, 10])
def test_no_temperature_breaks_a_distribution(temperature: float) -> None:
    logits = np.array([[3.0, 2.9999, -np.inf, -40.0], [-1e30, 0.0, -np.inf, 1e30]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chances = Sampler(temperature).probabilities(logits)
    np.testing.assert_allclose(chances.sum(axis=-1), 1)
    assert (chances[:, 2] == 0).all() and (chances.argmax(axis=-1) == [0, 3]).all()


def damaged(folder: Path, where: str, value: float) -> Path:
    """A copy of the default model with one number of one weight changed, and a manifest that calls the file right."""
    shutil.copytree(DEFAULT_MODEL, folder)
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    graph = folder / raw["graphs"]["float32"]["file"]
    proto = onnx.load(graph)
    weights = {"one token": max(proto.graph.initializer, key=lambda tensor: math.prod(tensor.dims))}
    weights["all"] = next(tensor for tensor in proto.graph.initializer if "norm" in tensor.name and len(tensor.dims) == 1)
    tensor = weights[where]
    array: NDArray[Any] = numpy_helper.to_array(tensor).copy()
    array.flat[-1] = value
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(proto, graph)
    raw["graphs"]["float32"]["sha256"] = sha256_of(graph)
    (folder / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=[("all", math.nan), ("one token", math.nan), ("one token", math.inf)], ids=str)
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose graph loads, but whose logits are not all finite."""
    return damaged(tmp_path_factory.mktemp("broken") / "my-model", *request.param)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_of_broken_weights_is_named_by_fill(broken: Path, method: str) -> None:
    infiller = load_infiller(broken)
    for temperature in (0, 1):
        with pytest.raises(ModelError) as error:
            infiller.fill(PASSAGE, FillOptions(temperature=temperature, seed=0, method=method))
        assert_one_sentence(str(error.value), "my-model", "model.onnx", "NaN", "export")


def test_a_model_of_broken_weights_is_named_by_score(broken: Path) -> None:
    with pytest.raises(ModelError) as error:
        load_infiller(broken).score(PASSAGE, ["sum(values)"])
    assert_one_sentence(str(error.value), "my-model", "model.onnx", "NaN", "export")


def test_a_draft_head_of_broken_weights_is_named(tmp_path: Path) -> None:
    """It only drafts; but a draft drawn from no distribution at all would be accepted or refused at random."""
    folder = tmp_path / "my-model"
    shutil.copytree(DEFAULT_MODEL, folder)
    raw = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    width, vocabulary = raw["heads"] * raw["head_size"], raw["vocabulary"]
    weights = np.zeros((width, vocabulary), dtype=np.float32)
    weights[-1, -1] = np.nan
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["states"], ["next_states"]),
            helper.make_node("MatMul", ["states", "weights"], ["logits"]),
        ],
        "draft head",
        [
            helper.make_tensor_value_info("states", TensorProto.FLOAT, ["N", width]),
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["N"]),
        ],
        [
            helper.make_tensor_value_info("next_states", TensorProto.FLOAT, ["N", width]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", vocabulary]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    file = folder / "broken_draft_head.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), file)
    raw["draft_head"] = {"file": file.name, "sha256": sha256_of(file)}
    (folder / MANIFEST).write_text(json.dumps(raw), encoding="utf-8")
    infiller = load_infiller(folder)
    with pytest.raises(ModelError) as error:
        DECODERS["fused"](
            prefill(infiller.model, infiller.sequence(PASSAGE), 5), 4, Sampler(), 5, np.random.default_rng(0), ignore_progress
        )
    assert_one_sentence(str(error.value), "my-model", file.name, "NaN", "export")


def test_the_command_names_a_model_of_broken_weights(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sample.py"
    file.write_text(ONE_HOLE, encoding="utf-8")
    assert main(["fill", str(file), "--model", str(broken), "--write"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert "my-model" in told.err
    assert file.read_text(encoding="utf-8") == ONE_HOLE


async def test_the_server_names_a_model_of_broken_weights_and_leaves_the_buffer_alone(broken: Path) -> None:
    async with editor("--model", str(broken)) as ed:
        document = ed.open(ONE_HOLE)
        await ed.until(types.WINDOW_SHOW_MESSAGE, lambda params: "my-model" in params.message)
        action = await ed.action(document, "Fill this hole", document.text.index(HOLE))
        for _ in range(2):
            with pytest.raises(JsonRpcException, match="my-model") as refusal:
                await ed.resolve(action)
            assert refusal.value.code == types.LSPErrorCodes.RequestFailed
            assert_one_sentence(refusal.value.message, "my-model", "NaN")
        assert await ed.hover(document, document.text.index("total")) is None
        await ed.until(types.WINDOW_LOG_MESSAGE, lambda params: params.message.startswith("hover") and "my-model" in params.message)
        assert (document.text, document.version) == (ONE_HOLE, 1)
        assert not [method for method, _ in ed.heard if method == types.WORKSPACE_APPLY_EDIT]
