"""Joint log-likelihood of given fills by one pass (arXiv 2504.20456, section 3: density of a subset under mask decomposition)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray, Model, Rows
from engine.prompt_cache import PromptCache
from engine.sequence import NO_MARK, MaskedSequence, teacher_forced


def conditionals(model: Model, sequence: MaskedSequence, fills: Sequence[Sequence[int]], cache: PromptCache | None = None) -> FloatArray:
    """Logits `[N, V]` of every token of `fills` (end marks included) in sigma, each given the prompt and all before it.

    In holes of fixed length, whose fills have no end mark, that mark's logit is -inf: the others share its probability.
    All rows are known, so one pass holds all that the cache lacks: slot row i is asked from the content row right before
    it in sigma and sees up to that row.
    """
    ids, positions = teacher_forced(sequence, fills)
    state, known = (model.open(), 0) if cache is None else cache.start(model, sequence)
    prompt, rows = len(sequence.ids) - known, len(ids) - known
    sources = np.arange(prompt - 1, rows - 1)[None]
    logits = state.run(
        Rows(
            ids=ids[None, known:],
            positions=positions[None, known:],
            counts=np.array([rows]),
            sources=sources,
            targets=positions[None, len(sequence.ids) :],
            sees=sources + 1,
            mutual=prompt if sequence.mutual else 0,
        )
    )
    if cache is not None:
        state.keep(np.array([prompt]))
        cache.keep(sequence, state)
    result: FloatArray = logits[0]
    if model.eoh != NO_MARK:
        result[sequence.fixed_rows([len(fill) for fill in fills]), model.eoh] = -np.inf
    return result
