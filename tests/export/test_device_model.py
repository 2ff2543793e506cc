"""The path for GPUs, run on the CPU: what the ordinary one says, whatever its places and buckets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import device_model
from engine.decoders.base import prefill
from engine.default_model import DEFAULT_MODEL
from engine.device_model import DeviceModel, DeviceState
from engine.errors import DeviceError, ModelError, PassageError
from engine.local import LocalInfiller
from engine.manifest import Manifest, load_manifest
from engine.model import FloatArray, Model, Rows
from engine.onnx_model import OnnxModel, OnnxState
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.sampling import log_softmax
from engine.scoring import conditionals
from export.source import read_source
from export.verify import _logprobs
from tests.engine.test_prompt_cache import LETTERS, Text, requests, scripts
from tests.engine.test_real_model import PASSAGES, padded
from tests.export.device_folder import write_device_folder
from tests.export.graphs import random_model
from tests.export.workshop import TINY

LONGEST = 600


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[OnnxModel, DeviceModel]:
    """One tiny model behind both interfaces."""
    folder = tmp_path_factory.mktemp("tiny")
    manifest = write_device_folder(folder, random_model(TINY), LONGEST)
    return OnnxModel(folder, manifest, threads=1), DeviceModel(folder, manifest, "cpu")


@pytest.fixture(scope="module")
def default_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[Path, Manifest]]:
    """The default model's graph for GPUs, in float16 (True) and float32 (False)."""
    source, manifest = read_source(DEFAULT_MODEL), load_manifest(DEFAULT_MODEL)
    folders = {}
    for half in (False, True):
        folder = tmp_path_factory.mktemp("default")
        made = write_device_folder(folder, source.model, manifest.longest_position, half=half)
        folders[half] = folder, replace(manifest, device_graph=made.device_graph, draft_head=None)
    return folders


@pytest.fixture(scope="module")
def on_device(default_folders: dict[bool, tuple[Path, Manifest]]) -> LocalInfiller:
    """The default model on the path for GPUs, in float32."""
    infiller = LocalInfiller(DEFAULT_MODEL)
    infiller.model = DeviceModel(*default_folders[False], "cpu")
    return infiller


def random_rows(rng: np.random.Generator, contexts: int, most: int) -> Rows:
    """Content rows of uneven counts, slot rows that ask from any of them, some of both padding."""
    content, slots = int(rng.integers(1, most + 1)), int(rng.integers(1, most + 1))
    counts = rng.integers(0, content + 1, contexts)
    counts[rng.integers(contexts)] = content
    sources = rng.integers(0, content, (contexts, slots))
    return Rows(
        ids=rng.integers(0, TINY.vocabulary, (contexts, content)),
        positions=rng.integers(0, LONGEST, (contexts, content)),
        counts=counts,
        sources=sources,
        targets=rng.integers(0, LONGEST, (contexts, slots)),
        sees=rng.integers(sources + 1, content + 1),
        mutual=int(rng.integers(0, content + 1)) * int(rng.integers(2)),
    )


STEPS = ("run", "run", "run", "large", "refuse", "fork", "again", "cut", "drop")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=14), st.integers(0, 2**32 - 1))
def test_any_use_of_its_states_gives_the_ordinary_path_s_logits(pair: tuple[OnnxModel, DeviceModel], steps: list[str], seed: int) -> None:
    """Of several states over shared places: some kept from, some forked, cut or dropped while others go on."""
    rng = np.random.default_rng(seed)
    states: list[tuple[OnnxState, DeviceState]] = [(pair[0].open(), pair[1].open())]
    for step in steps:
        ordinary, ours = states[int(rng.integers(len(states)))]
        rows = int(rng.integers(0, ordinary.rows + 1)) if ordinary.contexts == 1 else 0
        if step in ("fork", "again") and ordinary.contexts == 1:
            copies = int(rng.integers(1, 5))
            states.append((ordinary.fork(copies, rows), ours.fork(copies, rows)) if step == "fork" else (ordinary.fork(1), ours.fork(1)))
        elif step == "cut" and ordinary.contexts == 1:
            ordinary.cut(rows)
            ours.cut(rows)
        elif step == "drop" and len(states) > 1:
            states = [each for each in states if each[0] is not ordinary]
        else:
            passed = random_rows(rng, ordinary.contexts, 90 if step == "large" else 6)
            np.testing.assert_allclose(ours.run(passed), ordinary.run(passed), atol=1e-4, rtol=0)
            np.testing.assert_allclose(ours.states, ordinary.states, atol=1e-4, rtol=0)
            if step != "refuse":
                counts = rng.integers(0, passed.counts + 1)
                ordinary.keep(counts)
                ours.keep(counts)
                assert ours.nbytes == len(ours.places) * pair[1].row_bytes
    held = {place for _, ours in states for place in (*ours.places.tolist(), *ours._new.tolist())}
    del ordinary, ours
    assert pair[1].places.free == pair[1].places.capacity - 1 - len(held)
    states.clear()
    assert pair[1].places.free == pair[1].places.capacity - 1


def test_caches_grow_and_keep_what_they_hold(tmp_path: Path) -> None:
    manifest = write_device_folder(tmp_path, random_model(TINY), LONGEST)
    ordinary, ours = OnnxModel(tmp_path, manifest, threads=1).open(), DeviceModel(tmp_path, manifest, "cpu").open()
    before, rng = ours.model.places.capacity, np.random.default_rng(0)
    for _ in range(5):
        rows = random_rows(rng, 1, 1)
        rows = replace(rows, ids=np.tile(rows.ids, 120), positions=rng.integers(0, LONGEST, (1, 120)), counts=np.array([120]))
        np.testing.assert_allclose(ours.run(rows), ordinary.run(rows), atol=1e-4, rtol=0)
        ordinary.keep(rows.counts)
        ours.keep(rows.counts)
    assert before < 600 < ours.model.places.capacity
    # Passes that were bound to the smaller caches must not be run any more.
    for state in (ordinary, ours):
        state.cut(9)
    for size in (60, 1):
        rows = replace(rows, ids=rows.ids[:, :size], positions=rows.positions[:, :size], counts=np.array([size]))
        rows = replace(rows, sources=np.zeros((1, 1), dtype=np.int64), targets=rows.positions[:, :1], sees=np.ones((1, 1), dtype=np.int64))
        np.testing.assert_allclose(ours.run(rows), ordinary.run(rows), atol=1e-4, rtol=0)
        ordinary.keep(rows.counts)
        ours.keep(rows.counts)


def test_rows_of_a_prompt_are_shared_and_those_of_refused_drafts_used_again(pair: tuple[OnnxModel, DeviceModel]) -> None:
    _, model = pair
    free, rng = model.places.free, np.random.default_rng(1)
    prompt = model.open()
    rows = random_rows(rng, 1, 40)
    prompt.run(rows)
    prompt.keep(rows.counts)
    forks = [prompt.fork(3) for _ in range(4)]
    assert model.places.free == free - rows.counts[0]
    for _ in range(5):
        for fork in forks:
            fork.run(random_rows(rng, 3, 2))
    assert model.places.free >= free - rows.counts[0] - 4 * 6


@pytest.mark.parametrize("passage", PASSAGES)
def test_cached_logits_equal_uncached_ones(on_device: LocalInfiller, passage: Passage) -> None:
    sequence = on_device.sequence(passage)
    uncached = on_device.model.open().run(padded(sequence, len(sequence.ids), 0)[0])
    for split in (1, len(sequence.ids) // 2, len(sequence.ids) - 1):
        first, second = padded(sequence, split, padding=3)
        state = on_device.model.open()
        state.run(first)
        state.keep(first.counts)
        np.testing.assert_allclose(state.run(second), uncached, atol=1e-4, rtol=0)


def test_a_batch_s_logits_equal_those_of_its_members_alone(pair: tuple[OnnxModel, DeviceModel]) -> None:
    rng = np.random.default_rng(2)
    prompt, first, second = random_rows(rng, 1, 30), random_rows(rng, 3, 8), random_rows(rng, 3, 8)
    opened = pair[1].open()
    opened.run(prompt)
    opened.keep(prompt.counts)

    def ask(which: list[int]) -> FloatArray:
        state = opened.fork(len(which))
        for rows in (first, second):
            part = {name: value[which] for name, value in vars(rows).items() if name != "mutual"}
            logits = state.run(Rows(**part, mutual=rows.mutual))
            state.keep(rows.counts[which])
        return logits

    together = ask([0, 1, 2])
    for row in range(3):
        np.testing.assert_allclose(together[row], ask([row])[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("passage", PASSAGES)
def test_greedy_fills_are_the_ordinary_path_s(infiller: LocalInfiller, on_device: LocalInfiller, passage: Passage, method: str) -> None:
    ours, theirs = (each.fill(passage, FillOptions(temperature=0, method=method)).suggestions[0] for each in (on_device, infiller))
    assert [fill.tokens for fill in ours.fills] == [fill.tokens for fill in theirs.fills]
    assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("passage", PASSAGES)
def test_density_by_one_pass_equals_the_chain_rule(on_device: LocalInfiller, passage: Passage, method: str) -> None:
    for suggestion in on_device.fill(passage, FillOptions(count=3, seed=1, method=method)).suggestions:
        fills = [fill.tokens for fill in suggestion.fills]
        logs = log_softmax(conditionals(on_device.model, on_device.sequence(passage), fills))
        tokens = [token for fill in fills for token in fill]
        assert logs[np.arange(len(tokens)), tokens].sum() == pytest.approx(suggestion.logprob, abs=1e-3)


def test_a_fill_leaves_the_places_of_its_prompt_alone_in_use(on_device: LocalInfiller) -> None:
    assert isinstance(on_device.model, DeviceModel)
    on_device.prompts = PromptCache()
    places = on_device.model.places
    before = places.free
    for method in METHODS:
        result = on_device.fill(PASSAGES[1], FillOptions(count=4, temperature=1, seed=2, method=method))
    assert places.free == before - result.prompt_rows - result.reused_rows
    on_device.prompts = PromptCache()
    assert places.free == before


def test_float16_stays_within_its_bounds(infiller: LocalInfiller, default_folders: dict[bool, tuple[Path, Manifest]]) -> None:
    """Those that lacuna-export verify allows for the ordinary float16 graph."""
    ids = np.array(infiller.text.encode(Path(__file__).read_text(encoding="utf-8")), dtype=np.int64)[:400]
    half = DeviceModel(*default_folders[True], "cpu")
    assert half.cache_type == np.float16
    exact, ours = (_logprobs(model, ids, [1, 12, 44, 300, 400]) for model in (infiller.model, half))
    asked = (np.arange(len(ids) - 1), ids[1:])
    differences = np.abs(exact[asked] - ours[asked])
    assert 0 < differences.max() < 0.05 and differences.mean() < 0.01
    likely = exact > -np.inf
    assert (np.exp(exact[likely]) * (exact[likely] - ours[likely])).sum() / len(ids) < 1e-3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scripts, st.sampled_from([2**26, 100_000]))
def test_the_logits_are_the_same_after_any_edits(
    infiller: LocalInfiller, on_device: LocalInfiller, script: list[tuple[str, str]], most_bytes: int
) -> None:
    """Whatever of earlier prompts is still there and shared."""
    cache = PromptCache(most_bytes)
    for text in requests((Text("abab", 2), Text("bbaab", 4)), script, most=8):
        pieces = ["".join(LETTERS[letter] for letter in piece) for piece in text.pieces]
        passage = Passage((pieces[0] + 3 * text.letters[: text.cursor][-1:], *pieces[1:]), tuple(8 * each for each in text.budgets))
        sequence = on_device.sequence(passage)
        cached, fresh = prefill(on_device.model, sequence, 4, cache), prefill(infiller.model, sequence, 4)
        np.testing.assert_allclose(cached.logits, fresh.logits, atol=1e-4, rtol=0)
        fills = [[10, 11, on_device.model.eoh] for _ in text.budgets]
        again = conditionals(on_device.model, sequence, fills, cache)
        np.testing.assert_allclose(again, conditionals(infiller.model, sequence, fills), atol=1e-4, rtol=0)


class FullDevice(RuntimeError):
    """As ONNX Runtime raises it."""


def test_a_device_without_memory_left_is_told_and_the_model_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = write_device_folder(tmp_path, random_model(TINY), LONGEST)
    model, rng = DeviceModel(tmp_path, manifest, "cpu"), np.random.default_rng(3)
    state, small = model.open(), random_rows(rng, 1, 5)
    before = state.run(small)

    def full(*_: Any) -> onnxruntime.OrtValue:
        raise FullDevice("Failed to allocate memory for requested buffer of size 1048576\nmore of it")

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_numpy", full)
    large = next(rows for rows in iter(lambda: random_rows(rng, 8, 200), None) if rows.counts.sum() > model.places.capacity)
    with pytest.raises(DeviceError, match=r"cpu failed .*\(Failed to allocate memory for .*1048576\); free memory on it or use the CPU$"):
        state.fork(8).run(large)
    np.testing.assert_array_equal(state.run(small), before)
    del state
    assert model.places.free == model.places.capacity - 1


def test_what_fails_in_a_pass_is_told(pair: tuple[OnnxModel, DeviceModel], monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> None:
        raise onnxruntime.capi.onnxruntime_pybind11_state.Fail("CUDA failure 700: an illegal memory access was encountered")

    state, rows = pair[1].open(), random_rows(np.random.default_rng(4), 1, 5)
    with monkeypatch.context() as broken:
        broken.setattr(onnxruntime.InferenceSession, "run_with_iobinding", lost)
        with pytest.raises(DeviceError, match="illegal memory access"):
            state.run(rows)
    np.testing.assert_allclose(state.run(rows), pair[0].open().run(rows), atol=1e-4, rtol=0)


def test_our_own_mistakes_are_not_the_device_s(pair: tuple[OnnxModel, DeviceModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_model, "bucket", lambda count: count.missing)
    with pytest.raises(AttributeError):
        pair[1].open().run(random_rows(np.random.default_rng(5), 1, 5))


def test_broken_weights_are_refused(tmp_path: Path) -> None:
    model = random_model(TINY)
    model.embedding.weight.data[7] = float("nan")
    manifest = write_device_folder(tmp_path, model)
    with pytest.raises(ModelError, match=r"model.gpu.onnx answers with numbers that are NaN"):
        DeviceModel(tmp_path, manifest, "cpu").open().run(random_rows(np.random.default_rng(6), 1, 5))


def test_a_position_beyond_the_graph_s_tables_is_refused(pair: tuple[OnnxModel, DeviceModel]) -> None:
    rows = random_rows(np.random.default_rng(7), 1, 5)
    for name in ("positions", "targets"):
        with pytest.raises(PassageError, match=f"beyond the {LONGEST} positions"):
            pair[1].open().run(replace(rows, **{name: np.full_like(getattr(rows, name), LONGEST)}))


def test_a_folder_without_the_graph_says_how_to_make_it() -> None:
    with pytest.raises(ModelError, match="has no graph for a GPU; export the model again with --precision gpu"):
        DeviceModel(DEFAULT_MODEL, load_manifest(DEFAULT_MODEL), "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": TINY.layers + 1}, "takes or gives other things"),
        ({"vocabulary": TINY.vocabulary + 1}, "a vocabulary of 300, its manifest says 32 and 301"),
        ({"heads": 3 * TINY.heads}, "caches and states of 32 and 32 numbers"),
    ],
)
def test_a_graph_that_breaks_its_manifest_s_promises_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    manifest = write_device_folder(tmp_path, random_model(TINY))
    with pytest.raises(ModelError, match=message):
        DeviceModel(tmp_path, replace(manifest, **change), "cpu")
    (tmp_path / "model.gpu.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="is not the file its manifest describes"):
        DeviceModel(tmp_path, manifest, "cpu")


@pytest.fixture(scope="module", params=["float32", "float16"])
def cuda(request: pytest.FixtureRequest, default_folders: dict[bool, tuple[Path, Manifest]]) -> DeviceModel | DeviceError:
    """The default model's graph on CUDA, or why it can't be had."""
    try:
        return DeviceModel(*default_folders[request.param == "float16"], "cuda")
    except DeviceError as error:
        return error


def test_without_cuda_one_sentence_says_so(cuda: DeviceModel | DeviceError, capfd: pytest.CaptureFixture[str]) -> None:
    if isinstance(cuda, DeviceModel):
        pytest.skip("CUDA can be had here")
    assert str(cuda).count("\n") == 0 and str(cuda).endswith("run it on the CPU")
    assert capfd.readouterr().out == ""


def test_cuda_gives_what_the_cpu_does(cuda: DeviceModel | DeviceError, infiller: LocalInfiller) -> None:
    """On captured graphs and on none, over a cache that grows."""
    if isinstance(cuda, DeviceError):
        pytest.skip("CUDA can't be had here")
    ids = np.array(infiller.text.encode(Path(__file__).read_text(encoding="utf-8")), dtype=np.int64)[:600]
    largest, mean = (0.05, 0.01) if cuda.cache_type == np.float16 else (1e-3, 1e-4)
    models: tuple[Model, Model] = (infiller.model, cuda)
    for _ in range(2):  # the second time all graphs are replayed
        exact, ours = (_logprobs(model, ids, [1, 2, 3, 5, 12, 44, 300, 600]) for model in models)
        asked = (np.arange(len(ids) - 1), ids[1:])
        differences = np.abs(exact[asked] - ours[asked])
        assert differences.max() < largest and differences.mean() < mean


@pytest.mark.parametrize("method", METHODS)
def test_cuda_s_greedy_fills_are_the_cpu_s(cuda: DeviceModel | DeviceError, infiller: LocalInfiller, method: str) -> None:
    """In float32: rounding to float16 may decide between two tokens that are as likely."""
    if isinstance(cuda, DeviceError):
        pytest.skip("CUDA can't be had here")
    if cuda.cache_type == np.float16:
        pytest.skip("float16 may choose otherwise")
    ours = LocalInfiller(DEFAULT_MODEL)
    ours.model = cuda
    for passage in PASSAGES:
        found, wanted = (each.fill(passage, FillOptions(temperature=0, method=method)).suggestions[0] for each in (ours, infiller))
        assert [fill.tokens for fill in found.fills] == [fill.tokens for fill in wanted.fills]
