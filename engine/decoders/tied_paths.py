"""Fills of tied holes while they grow: paths of tokens, what must come next on them, and the pass that asks about several at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.decoders.slots import SlotChain
from engine.model import FloatArray, Rows, State
from engine.sequence import BoolArray

Texts = Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Constraint:
    """What a fill must be like: hole h repeats hole `ties[h]` token by token, and slot s holds one of the tokens `allowed[s]`.

    `allowed[s]` is bool `[V]`, or None where any token may stand.
    """

    ties: tuple[int, ...]
    allowed: tuple[BoolArray | None, ...]


@dataclass(frozen=True)
class Path:
    """Slots and tokens from the first on, with the model's own log-probabilities as far as they are known, and passes taken part in."""

    slots: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    passes: int = 1  # the prompt's


@dataclass(frozen=True)
class Grown:
    """A path's slots and tokens with all that must come next, and the free slot after them (the chain's `done` where there is none)."""

    slots: tuple[int, ...]
    tokens: tuple[int, ...]
    free: int


def after(chain: SlotChain, slot: int, token: int) -> int:
    """The slot that follows `slot` once it holds `token`."""
    return int(chain.advance(np.array(slot), np.array(token)))


def grow(chain: SlotChain, ties: Sequence[int], path: Path, texts: Texts) -> Grown:
    """What must follow on a path: the tokens of `texts` in the holes that have one, and repeats of what the path holds already."""
    slots, tokens = path.slots, path.tokens
    frontier = after(chain, slots[-1], tokens[-1])
    while frontier < chain.done:
        hole = int(chain.holes[frontier])
        text = texts.get(ties[hole])
        if text is None:
            if ties[hole] == hole:
                break
            text = tuple(token for slot, token in zip(slots, tokens, strict=True) if chain.holes[slot] == ties[hole])
        # A hole that the path is in the middle of gets what is left of its text.
        begun = sum(1 for slot in slots if chain.holes[slot] == hole)
        for token in text[begun:]:
            slots, tokens = (*slots, frontier), (*tokens, token)
            frontier = after(chain, frontier, token)
    return Grown(slots, tokens, frontier)


def ask(state: State, contexts: int, chain: SlotChain, known: Sequence[int], grown: Sequence[Grown]) -> list[FloatArray]:
    """One pass over several paths, each of which has its whole prefix as content rows: names are short, so these are few.

    For each path the logits `[N, V]` of its slots from number `known` on, each given all before it, and of the free slot after them.
    `state` has `contexts` contexts, the first of them for these paths.
    """
    content = max(len(one.slots) for one in grown)
    asked = [[*one.slots[first:], *([one.free] if one.free < chain.done else [])] for first, one in zip(known, grown, strict=True)]
    most = max(map(len, asked))
    ids, at = np.zeros((contexts, content), dtype=np.int64), np.zeros((contexts, content), dtype=np.int64)
    counts = np.zeros(contexts, dtype=np.int64)
    # Padding asks from a row that isn't there.
    sources, slots = np.full((contexts, most), content), np.full((contexts, most), chain.done)
    sees = np.zeros((contexts, most), dtype=np.int64)
    for row, (first, one, questions) in enumerate(zip(known, grown, asked, strict=True)):
        counts[row] = len(one.slots)
        ids[row, : len(one.slots)], at[row, : len(one.slots)] = one.tokens, one.slots
        before = first + np.arange(len(questions))
        sources[row, : len(questions)], sees[row, : len(questions)] = before - 1, before
        slots[row, : len(questions)] = questions
    logits = state.run(Rows(ids, chain.positions[at], counts, sources, chain.positions[slots], sees))
    logits = chain.bar_end_marks(logits, slots)
    return [logits[row, : len(questions)] for row, questions in enumerate(asked)]
