"""Exporting a Hugging Face folder: what is written, and what is refused, in one sentence and before anything is written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import LacunaError
from engine.local import load_infiller
from engine.manifest import MANIFEST, load_manifest
from engine.options import FillOptions
from engine.passage import Passage
from export import graph_file, xlnet
from export.cli import main
from export.xlnet import export_xlnet, largest_difference, needs
from export.xlnet_checkpoint import load_weights, weights_file
from export.xlnet_config import load_config
from export.xlnet_graph import xlnet_to_onnx
from export.xlnet_model import XlnetReference
from tests.export.xlnet_folder import PIECES, change_config, random_model, train_pieces, write_folder

EMBEDDING = "transformer.word_embedding.weight"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theirs")
    train_pieces(root / "spiece.model")
    return write_folder(root / "model", random_model(), root / "spiece.model")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A folder to be changed."""
    return shutil.copytree(original, tmp_path / "theirs")


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def refused(folder: Path, match: str, **options: Any) -> None:
    out = folder.parent / "out"
    with pytest.raises(LacunaError, match=match) as error:
        export_xlnet(folder, out, "tiny", **options)
    message = str(error.value)
    assert "\n" not in message and not message.endswith(".")
    assert not out.exists()
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


def test_the_folder_is_one_the_engine_fills_with(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []
    exported = export_xlnet(folder, tmp_path / "ours", "tiny", code_whitespace=True, say=said.append)
    manifest = load_manifest(tmp_path / "ours")
    assert manifest == exported.manifest and exported.difference <= 1e-4
    assert (manifest.prompt_visibility, manifest.hole_lengths, manifest.tokenization) == ("bidirectional", "compared", "sentencepiece")
    assert "carriage returns" in manifest.text_changes
    assert manifest.parameters == sum(weight.numel() for weight in load_file(folder / "model.safetensors").values())
    assert said[0].startswith("needs ") and manifest.text_changes in said[1]
    result = load_infiller(tmp_path / "ours").fill(Passage(("def area(self):\n    return ", "\n"), (4,)), FillOptions(temperature=0))
    assert result.suggestions[0].texts[0]


def test_an_export_of_the_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_xlnet(folder, tmp_path / name, "tiny")
    for file in (MANIFEST, "tokenizer.json", "model.onnx"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_pickle_of_tensors_is_read_as_the_safetensors_are(folder: Path, tmp_path: Path) -> None:
    export_xlnet(folder, tmp_path / "one", "tiny")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    # As older versions of transformers save it: the tied matrix once more.
    torch.save({**weights, "lm_loss.weight": weights[EMBEDDING]}, folder / "pytorch_model.bin")
    export_xlnet(folder, tmp_path / "two", "tiny")
    assert (tmp_path / "one" / "model.onnx").read_bytes() == (tmp_path / "two" / "model.onnx").read_bytes()


def test_halves_are_widened(folder: Path) -> None:
    config, path = load_config(folder), weights_file(folder)
    exact = load_weights(path, config)[EMBEDDING]
    change_weights(folder, lambda weights: weights.update({EMBEDDING: weights[EMBEDDING].bfloat16()}))
    rounded = load_weights(path, config)[EMBEDDING]
    assert rounded.dtype == np.float32 and 0 < np.abs(rounded - exact).max() < 0.01


def test_the_comparison_notices_each_weight_that_matters(folder: Path, tmp_path: Path) -> None:
    config = load_config(folder)
    weights = load_weights(weights_file(folder), config)
    graph = tmp_path / "model.onnx"
    graph.write_bytes(xlnet_to_onnx(config, weights, 64).SerializeToString())
    assert largest_difference(graph, XlnetReference(config, weights), 64) <= 1e-4
    rng = np.random.default_rng(0)
    for name, weight in weights.items():
        moved = weight + rng.normal(scale=0.2, size=weight.shape).astype(np.float32)
        reference = XlnetReference(config, {**weights, name: moved})
        if name.endswith(("r_s_bias", "seg_embed")):  # of one segment, which a softmax doesn't see
            largest_difference(graph, reference, 64)
        else:
            with pytest.raises(LacunaError, match="differ from torch's"):
                largest_difference(graph, reference, 64)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda weights: weights.pop("transformer.mask_emb"), r"lacks transformer\.mask_emb;"),
        (lambda weights: [weights.pop(name) for name in list(weights) if ".layer.1." in name], r"lacks transformer\.layer\.1\..* more;"),
        (lambda weights: weights.update(extra=torch.zeros(2)), "holds extra, which"),
        (lambda weights: weights.update({"lm_loss.bias": torch.zeros(3)}), r"lm_loss\.bias has the shape \(3,\), but .* \(200,\)"),
        (lambda weights: weights.update({"lm_loss.bias": torch.zeros(PIECES, dtype=torch.int32)}), r"lm_loss\.bias holds int32"),
        (lambda weights: weights["lm_loss.bias"].fill_(float("nan")), r"lm_loss\.bias holds numbers that are infinite or none"),
        (lambda weights: weights.update({"lm_loss.weight": torch.zeros(PIECES, 32)}), r"lm_loss\.weight differs from .* ties them"),
    ],
    ids=["missing", "a layer missing", "extra", "another shape", "whole numbers", "NaN", "not tied"],
)
def test_wrong_tensors_are_refused_by_name(folder: Path, change: Callable[[dict[str, torch.Tensor]], object], match: str) -> None:
    change_weights(folder, change)
    refused(folder, match)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"model_type": "bert"}, "is of the architecture 'bert'"),
        ({"bi_data": True}, "bi_data is True"),
        ({"attn_type": "uni"}, "attn_type is 'uni'"),
        ({"same_length": True}, "same_length is True"),
        ({"ff_activation": "tanh"}, "ff_activation is 'tanh'"),
        ({"n_head": 3, "d_head": None}, "3 heads of 10 don't make up an even width of 32"),
        ({"d_head": 16}, "4 heads of 16 don't make up"),
        ({"d_head": "8"}, "d_head must be a whole number"),
        ({"n_layer": 0}, "n_layer must be a whole number above 0"),
        ({"vocab_size": "many"}, "vocab_size must be a whole number"),
        ({"layer_norm_eps": -1}, "layer_norm_eps must be a number"),
        ({"clamp_len": None}, "clamp_len must be a whole number"),
        ({"vocab_size": 300}, "200 entries, but the model's vocabulary is 300"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_configuration_that_can_t_be_run_is_refused(folder: Path, values: dict[str, Any], match: str) -> None:
    change_config(folder, **values)
    refused(folder, match)


def test_memories_of_earlier_segments_change_nothing(folder: Path, tmp_path: Path) -> None:
    export_xlnet(folder, tmp_path / "one", "tiny")
    change_config(folder, mem_len=128, reuse_len=64, use_mems_eval=False)
    export_xlnet(folder, tmp_path / "two", "tiny")
    assert (tmp_path / "one" / "model.onnx").read_bytes() == (tmp_path / "two" / "model.onnx").read_bytes()


@pytest.mark.parametrize("content", ["{", "[]", "null"])
def test_a_configuration_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content, encoding="utf-8")
    refused(folder, "config.json")


class _Runs:
    """Unpickled by the book, this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", ["torch", "plain"])
def test_a_pickle_with_code_is_refused_and_not_run(folder: Path, protocol: str) -> None:
    (folder / "model.safetensors").unlink()
    trap = folder.parent / "trap"
    if protocol == "torch":
        torch.save({"lm_loss.bias": _Runs(trap)}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Runs(trap), protocol=2))
    refused(folder, "holds more than tensors, and a pickle may run any code, so it was not loaded")
    assert not trap.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_damaged_file_is_refused(folder: Path, name: str) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    if name == "pytorch_model.bin":
        torch.save(load_file(folder / "model.safetensors"), folder / name)
        whole = (folder / name).read_bytes()
        (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    refused(folder, f"{name} is damaged")


def test_other_things_than_tensors_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    refused(folder, "holds something other than a model's tensors")


def test_a_folder_without_weights_or_tokenizer_is_refused(folder: Path) -> None:
    (folder / "spiece.model").unlink()
    refused(folder, r"neither tokenizer\.json nor spiece\.model; .* --tokenizer")
    (folder / "model.safetensors").unlink()
    refused(folder, r"neither model\.safetensors nor pytorch_model\.bin")


def test_too_little_memory_or_disk_is_said_before_anything_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.safetensors").write_bytes(b"not even looked at")
    needed = needs(load_config(folder))
    with monkeypatch.context() as patch:
        patch.setattr(xlnet, "available_memory", lambda: needed.export_memory - 1)
        refused(folder, r"the export needs [\d,]+ MB of memory, but [\d,]+ MB are free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, needed.disk - 1))
        refused(folder, r"needs \d+ MB, but \d+ MB are free there")


def test_a_model_swapped_meanwhile_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(*inputs: Any) -> float:
        change_weights(folder, lambda weights: weights["lm_loss.bias"].add_(1))
        return 0.0

    monkeypatch.setattr(xlnet, "largest_difference", swap)
    refused(folder, "was changed while it was exported")


def test_a_place_that_can_t_be_written_is_refused(folder: Path) -> None:
    (folder.parent / "file").write_bytes(b"")
    with pytest.raises(LacunaError, match=r"ours can't be written \("):
        export_xlnet(folder, folder.parent / "file" / "ours", "tiny")


def test_a_folder_of_something_else_is_left_alone(folder: Path) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(LacunaError, match="is no model folder"):
        export_xlnet(folder, folder, "tiny")
    assert sorted(folder.iterdir()) == before


def test_a_graph_that_differs_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = xlnet_to_onnx
    monkeypatch.setattr(
        xlnet,
        "xlnet_to_onnx",
        lambda config, weights, longest: real(config, {**weights, "lm_loss.bias": weights["lm_loss.bias"] + np.float32(0.01)}, longest),
    )
    refused(folder, r"logits differ from torch's by 0\.01")


def test_weights_too_large_for_one_file_lie_beside_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_xlnet(folder, tmp_path / "one", "tiny")
    with monkeypatch.context() as patch:
        patch.setattr(graph_file, "LARGEST_GRAPH", 1000)
        manifest = export_xlnet(folder, tmp_path / "two", "tiny").manifest
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted([MANIFEST, *(each.file for each in manifest.files)])
    assert "model.onnx.data" in [each.file for each in manifest.files]
    passage = Passage(("def area(self):\n    return ", "\n"), (4,))
    one, two = (load_infiller(tmp_path / name).fill(passage, FillOptions(temperature=0)) for name in ("one", "two"))
    assert one.suggestions[0].fills[0].tokens == two.suggestions[0].fills[0].tokens
    export_xlnet(folder, tmp_path / "two", "tiny")
    assert not (tmp_path / "two" / "model.onnx.data").exists()


def test_from_a_terminal(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pieces = folder / "spiece.model"
    pieces.rename(tmp_path / "spiece.model")
    command = ["onnx", str(folder), str(tmp_path / "ours"), "--code-whitespace", "--tokenizer", str(tmp_path)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "lengths are found by comparing likelihoods" in printed.out
    assert "needs " in printed.err and "not every text survives" in printed.err
    assert load_manifest(tmp_path / "ours").name == "theirs"
    assert main([*command, "--precision", "int8"]) == 2
    assert "in float32 and without a corpus" in capsys.readouterr().err
    change_config(folder, bi_data=True)
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_its_options_are_not_for_runs(tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["onnx", str(tiny_run), str(tmp_path / "out"), "--code-whitespace"]) == 2
    assert "are for Hugging Face XLNet folders" in capsys.readouterr().err


def test_it_is_not_measured_against_a_corpus(folder: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_xlnet(folder, tmp_path / "ours", "tiny")
    assert main(["evaluate", str(tmp_path / "ours"), str(tiny_corpus)]) == 2
    assert "has no mark for the end of a hole" in capsys.readouterr().err


def test_the_network_is_never_asked_for(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    export_xlnet(folder, tmp_path / "ours", "tiny")
    load_infiller(tmp_path / "ours").fill(Passage(("x = ", "\n"), (2,)), FillOptions(temperature=0))


def test_settings_are_what_the_manifest_says(folder: Path, tmp_path: Path) -> None:
    export_xlnet(folder, tmp_path / "ours", "tiny")
    raw = json.loads((tmp_path / "ours" / MANIFEST).read_text(encoding="utf-8"))
    assert raw["special_ids"] == dict.fromkeys(("pad", "bos", "sof", "eof", "eoh"))
    assert raw["barred"] == list(range(9))
    assert (raw["window"], raw["longest_position"], raw["layers"], raw["prompt_order"]) == (512, 512, 2, "prefix-first")
