"""Joint log-likelihood of given fills by one pass (arXiv 2504.20456, section 3: density of a subset under mask decomposition)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray, Model, Rows
from engine.sequence import MaskedSequence, teacher_forced


def conditionals(model: Model, sequence: MaskedSequence, fills: Sequence[Sequence[int]]) -> FloatArray:
    """Logits `[N, V]` of every token of `fills` (end marks included) in sigma, each given the prompt and all before it.

    In holes of fixed length, whose fills have no end mark, that mark's logit is -inf: the others share its probability.
    All rows are known, so one pass holds them all: slot row i is asked from the content row right before it in sigma
    and sees up to that row.
    """
    ids, positions = teacher_forced(sequence, fills)
    first, rows = len(sequence.ids), len(ids)
    sources = np.arange(first - 1, rows - 1)[None]
    logits = model.open().run(
        Rows(
            ids=ids[None],
            positions=positions[None],
            counts=np.array([rows]),
            sources=sources,
            targets=positions[None, first:],
            sees=sources + 1,
        )
    )
    result: FloatArray = logits[0]
    result[sequence.fixed_rows([len(fill) for fill in fills]), model.eoh] = -np.inf
    return result
