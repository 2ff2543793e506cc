"""What a Hugging Face XLNet folder says of its model, and whether that can be run here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import LacunaError

CONFIG = "config.json"
MODEL_TYPE = "xlnet"
ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
# With transformers' defaults. `mem_len`, `reuse_len` and the like are for memories of earlier segments: a passage is one segment.
_SIZES = {"vocab_size": 32000, "d_model": 1024, "n_layer": 24, "n_head": 16, "d_inner": 4096}
_REFUSED: dict[str, tuple[Any, str]] = {
    "attn_type": ("bi", "attends one way only"),
    "bi_data": (False, "reads every line in both directions at once"),
    "same_length": (False, "lets all tokens attend equally far back"),
}


@dataclass(frozen=True)
class XlnetConfig:
    """Sizes of the model. `clamp_len`: distances beyond it count as it; None: none does. `tied`: the output matrix is the embedding."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    head_size: int
    hidden: int
    activation: str
    epsilon: float
    clamp_len: int | None
    tied: bool

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The checkpoint's tensors by name, those that no query on one segment depends on included."""
        heads = (self.heads, self.head_size)
        own: dict[str, tuple[int, ...]] = {
            **{f"rel_attn.{name}": (self.width, *heads) for name in "qkvor"},
            **{f"rel_attn.{name}": heads for name in ("r_r_bias", "r_s_bias", "r_w_bias")},
            "rel_attn.seg_embed": (2, *heads),
            "ff.layer_1.weight": (self.hidden, self.width),
            "ff.layer_1.bias": (self.hidden,),
            "ff.layer_2.weight": (self.width, self.hidden),
            "ff.layer_2.bias": (self.width,),
            **{f"{part}.layer_norm.{name}": (self.width,) for part in ("rel_attn", "ff") for name in ("weight", "bias")},
        }
        found: dict[str, tuple[int, ...]] = {
            "transformer.word_embedding.weight": (self.vocabulary, self.width),
            "transformer.mask_emb": (1, 1, self.width),
            "lm_loss.bias": (self.vocabulary,),
        }
        if not self.tied:
            found["lm_loss.weight"] = (self.vocabulary, self.width)
        return found | {f"transformer.layer.{layer}.{name}": shape for layer in range(self.layers) for name, shape in own.items()}


def is_hugging_face(folder: Path) -> bool:
    """Whether this is a Hugging Face model's folder rather than one of our own runs; `load_config` says whether XLNet's."""
    return (folder / CONFIG).is_file()


def load_config(folder: Path) -> XlnetConfig:
    """Raises LacunaError for what is no configuration, that of another architecture, or one that asks for what is not supported."""
    path = folder / CONFIG
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LacunaError(f"{path} can't be read ({error.strerror}); name a folder with a Hugging Face XLNet model") from None
    except ValueError as error:
        raise LacunaError(f"{path} is not valid JSON ({error}); download the model again") from None
    if not isinstance(raw, dict) or raw.get("model_type") != MODEL_TYPE:
        kind = raw.get("model_type") if isinstance(raw, dict) else None
        raise LacunaError(f"{path} is of the architecture {kind!r}, but only {MODEL_TYPE!r} can be exported from a Hugging Face folder")
    sizes = {name: raw.get(name, default) for name, default in _SIZES.items()}
    for name, value in sizes.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise LacunaError(f"{path}: {name} must be a whole number above 0, not {value!r}")
    for name, (wanted, does) in _REFUSED.items():
        if raw.get(name, wanted) != wanted:
            raise LacunaError(
                f"{path}: {name} is {raw[name]!r}, a model that {does}, which Lacuna doesn't run; only {wanted!r} is supported"
            )
    width, heads = sizes["d_model"], sizes["n_head"]
    head_size = raw.get("d_head") or width // heads
    if not isinstance(head_size, int) or isinstance(head_size, bool):
        raise LacunaError(f"{path}: d_head must be a whole number, not {head_size!r}")
    if head_size * heads != width or width % 2:
        raise LacunaError(f"{path}: {heads} heads of {head_size} don't make up an even width of {width}")
    activation = raw.get("ff_activation", "gelu")
    if activation not in ACTIVATIONS:
        raise LacunaError(f"{path}: ff_activation is {activation!r}; only {', '.join(ACTIVATIONS)} are supported")
    epsilon, clamp = raw.get("layer_norm_eps", 1e-12), raw.get("clamp_len", -1)
    if not isinstance(epsilon, int | float) or isinstance(epsilon, bool) or not 0 <= epsilon < 1:
        raise LacunaError(f"{path}: layer_norm_eps must be a number from 0 to 1, not {epsilon!r}")
    if not isinstance(clamp, int) or isinstance(clamp, bool):
        raise LacunaError(f"{path}: clamp_len must be a whole number, not {clamp!r}")
    return XlnetConfig(
        vocabulary=sizes["vocab_size"],
        width=width,
        layers=sizes["n_layer"],
        heads=heads,
        head_size=head_size,
        hidden=sizes["d_inner"],
        activation=activation,
        epsilon=float(epsilon),
        clamp_len=clamp if clamp > 0 else None,
        tied=bool(raw.get("tie_word_embeddings", True)),
    )
