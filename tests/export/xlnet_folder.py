"""Hugging Face XLNet folders with random weights and a tokenizer trained on a few lines, for the tests of their export."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from transformers import XLNetConfig, XLNetLMHeadModel

PIECES = 200
CODE = """def area(width, height):
    if width < 0 or height < 0:
        raise ValueError("no negative sides")
    return width * height


class Shape:
    def __init__(self, width, height):
        self.width = width
        self.height = height

\tdef area(self):
\t\treturn area(self.width, self.height)
"""


def train_pieces(path: Path, size: int = PIECES) -> None:
    """A `spiece.model` with the special tokens of XLNet's own, in its order."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((CODE + Path(__file__).read_text(encoding="utf-8")).splitlines()),
        model_writer=model,
        vocab_size=size,
        model_type="unigram",
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        control_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"],
        user_defined_symbols=["<eop>", ".", "(", ")", '"', "-"],
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def random_model(seed: int = 0, **sizes: Any) -> XLNetLMHeadModel:
    """Weights large enough that every one of them shows in the logits; those of norms near 1."""
    torch.manual_seed(seed)
    given = {"vocab_size": PIECES, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, **sizes}
    model: XLNetLMHeadModel = XLNetLMHeadModel(XLNetConfig(**given)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(0.25 * torch.randn_like(weight) + (1.0 if name.endswith("layer_norm.weight") else 0.0))
    return model


def write_folder(folder: Path, model: XLNetLMHeadModel, pieces: Path) -> Path:
    model.save_pretrained(folder)
    (folder / "spiece.model").write_bytes(pieces.read_bytes())
    return folder


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@torch.no_grad()
def hugging_face_logits(
    model: XLNetLMHeadModel, ids: NDArray[np.int64], visible: NDArray[np.int64], hidden: NDArray[np.int64]
) -> NDArray[np.float32]:
    """transformers' logits `[S, V]` for the positions `hidden` `[S]`, in their order sigma.

    `ids` `[T]` are all tokens. Those at the positions `visible` see each other; each hidden one sees them and the hidden ones before it.
    """
    order = np.concatenate((visible, hidden))
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    unseen = rank[:, None] <= rank[None, :]
    unseen[np.ix_(visible, visible)] = False
    mapping = torch.zeros(1, len(hidden), len(ids))
    mapping[0, torch.arange(len(hidden)), torch.from_numpy(hidden)] = 1
    answer = model(torch.from_numpy(ids)[None], perm_mask=torch.from_numpy(unseen)[None].float(), target_mapping=mapping)
    logits: NDArray[np.float32] = answer.logits[0].numpy()
    return logits
