"""A model folder of any shape, with random weights: right in time, though not in what it writes."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path

import torch

from engine.manifest import load_manifest
from export.draft_head import DRAFT_HEAD
from export.draft_head_model import DraftHead
from export.model import AsArm
from export.onnx_graph import export_model
from export.recipes import Recipe
from export.train import CHECKPOINT, TOKENIZER


def write_random_model(recipe: Recipe, like: Path, out: Path, window: int) -> Path:
    """A model of the recipe's shape in float32 and int8, for passages of `window` rows, with the tokenizer of the model folder `like`.

    It has a draft head where `like` has one. Where the recipe has the larger vocabulary, the tokenizer is filled up with
    entries that no text leads to.
    """
    torch.manual_seed(0)
    old = load_manifest(like)
    tokenizer = json.loads((like / old.tokenizer.file).read_text(encoding="utf-8"))
    for index in range(old.vocabulary, recipe.model.vocabulary):
        tokenizer["model"]["vocab"][f"<unused {index}>"] = index
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        (run / TOKENIZER).write_text(json.dumps(tokenizer), encoding="utf-8")
        wide = dataclasses.asdict(dataclasses.replace(recipe, rows=window))
        torch.save({"recipe": wide, "model": AsArm(recipe.model).state_dict()}, run / CHECKPOINT)
        if old.draft_head is not None:
            torch.save({"head": DraftHead(recipe.model).state_dict(), "tokens": 1}, run / DRAFT_HEAD)
        export_model(run, out, f"{recipe.name} of random weights", {}, {}, ("float32", "int8"))
    return out
