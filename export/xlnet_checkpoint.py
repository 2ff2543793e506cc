"""Weights of a Hugging Face XLNet folder: tensors alone, each by its name and shape, and nothing else."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import LacunaError
from export.xlnet_config import XlnetConfig

FloatArray = NDArray[np.float32]

SAFETENSORS, PICKLED = "model.safetensors", "pytorch_model.bin"
_EMBEDDING, _OUTPUT = "transformer.word_embedding.weight", "lm_loss.weight"
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def weights_file(folder: Path) -> Path:
    """Raises LacunaError when there is none."""
    for name in (SAFETENSORS, PICKLED):
        if (folder / name).is_file():
            return folder / name
    raise LacunaError(f"{folder} has neither {SAFETENSORS} nor {PICKLED}; download the model's weights into it")


def load_weights(path: Path, config: XlnetConfig) -> dict[str, FloatArray]:
    """The tensors that `config` names, in float32. Pickles are read as tensors alone: whatever else they hold is refused, not run.

    Raises LacunaError for a damaged file, and for tensors that are missing, unknown, of another shape or type, or not finite.
    """
    tensors = _safetensors(path) if path.name == SAFETENSORS else _pickled(path)
    wanted = config.shapes()
    # Saved by older versions of transformers, which tie it again at load.
    output = tensors.pop(_OUTPUT, None) if config.tied else None
    if output is not None and not torch.equal(output, tensors.get(_EMBEDDING, torch.empty(0))):
        raise LacunaError(f"{path}: {_OUTPUT} differs from {_EMBEDDING}, though config.json ties them; set tie_word_embeddings to false")
    missing, unknown = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    if missing:
        raise LacunaError(f"{path} lacks {_some(missing)}; it is not the XLNet language model that config.json describes")
    if unknown:
        raise LacunaError(f"{path} holds {_some(unknown)}, which the model that config.json describes doesn't have")
    return {name: _checked(path, name, tensors[name], shape) for name, shape in wanted.items()}


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _checked(path: Path, name: str, tensor: Tensor, shape: tuple[int, ...]) -> FloatArray:
    if tuple(tensor.shape) != shape:
        raise LacunaError(f"{path}: {name} has the shape {tuple(tensor.shape)}, but by config.json it is {shape}")
    if tensor.dtype not in _FLOATS:
        raise LacunaError(
            f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, but only floating-point weights can be exported"
        )
    array: FloatArray = tensor.detach().float().numpy()
    if not np.isfinite(array).all():
        raise LacunaError(f"{path}: {name} holds numbers that are infinite or none at all; download the model again")
    return array


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(path, framework="pt") as stream:
            return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise LacunaError(f"{path} is damaged ({str(error)[:120]}); download it again") from None


def _pickled(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise LacunaError(
            f"{path} holds more than tensors, and a pickle may run any code, so it was not loaded; convert it to {SAFETENSORS}"
        ) from None
    except (OSError, EOFError, RuntimeError, ValueError) as error:
        raise LacunaError(f"{path} is damaged ({str(error).splitlines()[0][:120]}); download it again") from None
    if not isinstance(loaded, Mapping) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise LacunaError(f"{path} holds something other than a model's tensors by name; save the model's state_dict")
    return dict(loaded)
