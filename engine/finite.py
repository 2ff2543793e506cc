"""A model whose weights are broken answers with numbers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.errors import ModelError
from engine.model import FloatArray


def refuse_broken(logits: FloatArray, graph: Path) -> None:
    """Raise ModelError where any of a graph's own logits is NaN or infinite: nothing could be drawn from them, nor scored."""
    if not np.isfinite(logits).all():
        raise ModelError(f"{graph} answers with numbers that are NaN or infinite; its weights are broken, so export the model again")
