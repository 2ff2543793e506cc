"""Sequential decoding: one pass a token in the order sigma. The yardstick of exactness."""

from __future__ import annotations

import numpy as np

from engine.decoders.base import Draw, Drawing, Prefilled, ask_from_last
from engine.infiller import OnPass
from engine.sampling import Sampler, draw, log_probability


def sequential(
    prefilled: Prefilled, copies: int, sampler: Sampler, width: int | None, rng: np.random.Generator, on_pass: OnPass
) -> list[Draw]:
    """Draws each slot from the model's conditional given all that is decoded. Passes = tokens; `width` is not used.

    The prefill's first column is the first slot's conditional; every further pass carries the last token as its one
    content row and asks for the slot after it.
    """
    chain = prefilled.chain
    drawing = Drawing(chain, copies, on_pass)
    state = prefilled.state.fork(copies)
    logits = np.repeat(prefilled.logits[:, 0], copies, axis=0)
    while True:
        active = drawing.active
        at = drawing.frontier
        tokens = draw(chain.chances(sampler, logits, at), rng)
        which = np.flatnonzero(active)
        drawing.emit(which, tokens[which], log_probability(logits[which], tokens[which]))
        active = drawing.active
        if not active.any():
            return drawing.finished()
        logits = ask_from_last(state, chain, tokens, at, active, drawing.frontier[:, None])[:, 0]
        drawing.count_pass(active)
