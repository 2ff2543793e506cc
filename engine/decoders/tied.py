"""Tied holes, exactly: the joint that a sampler defines, among those fills alone in which tied holes repeat one another token by token.

Slots are *free* or, in a hole that repeats an earlier one, *forced*. A fill is a path in the tree of free tokens, and its weight the
product of the conditionals of all its slots, of which the tree's own steps know only the free ones. Drawing in sigma and throwing away
what disagrees would be exact and hopeless; drawing the free tokens and copying them would ignore how well the copies fit.

The search is A* sampling (Maddison et al., arXiv 1411.0030). A leaf's log-weight plus a Gumbel variable of its own is largest at
a leaf that is distributed as the weights. The variables come from the root downwards, as those of largest leaves below each node
(Kool et al., arXiv 1903.06059, section 3 and appendix B.3), under the free slots' conditionals. These add up to 1 below
every node, so a node's value is known before its subtree is. The log-conditionals of the forced slots are added as they are met. None
exceeds 0: a node's value, so lowered, bounds what lies below it, and a leaf that no bound exceeds is the draw. Going on gives further
leaves without replacement: each drawn from the same weights less those of the leaves before it.

Without noise (temperature 0) the values are plain log-weights, and the leaf found is the likeliest tied fill: the mode of the constrained
joint at temperature 1, where greedy decoding of one slot after another would often come to no tied fill at all.

A pass takes several of the best nodes, each with its whole prefix as content rows, which are few: names are short. Where the last token
of a hole was chosen, the repeats up to the next free slot go with it, and the pass answers for all of their slots. A node costs a row for
each of its tokens and a fill many nodes, so that here passes <= tokens does not hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from engine.decoders.base import Draw, Prefilled
from engine.decoders.slots import SlotChain
from engine.infiller import OnPass
from engine.model import FloatArray, Rows
from engine.results import Progress
from engine.sampling import Probabilities, Sampler, log_softmax
from engine.sequence import IntArray

MOST_NODES = 1024
_WIDTH = 8  # nodes of one pass


@dataclass(frozen=True)
class _Path:
    """Slots and tokens from the root on, free and forced, with the model's own log-probabilities as far as they are known.

    `value` is the Gumbel variable of the largest leaf below it by the free slots alone, `free` the log-weight of these, `forced` that
    of the forced slots met so far (at most 0). `passes` counts those that it took part in.
    """

    slots: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    value: float
    free: float
    forced: float
    passes: int

    @property
    def bound(self) -> float:
        return self.value + self.forced


@dataclass(frozen=True)
class _Children:
    """The free tokens `[N]` that may stand at `slot` behind `path`, by falling `values` `[N]`; `free` and `logprobs` are as in `_Path`."""

    path: _Path
    slot: int
    tokens: IntArray
    values: Probabilities
    free: Probabilities
    logprobs: Probabilities

    def bound(self, index: int) -> float:
        return float(self.values[index]) + self.path.forced

    def child(self, index: int) -> _Path:
        return _Path(
            slots=(*self.path.slots, self.slot),
            tokens=(*self.path.tokens, int(self.tokens[index])),
            logprobs=(*self.path.logprobs, float(self.logprobs[index])),
            value=float(self.values[index]),
            free=float(self.free[index]),
            forced=self.path.forced,
            passes=self.path.passes,
        )


@dataclass(frozen=True)
class _Leaf:
    path: _Path


class TiedSearch:
    """An iterator over distinct fills, the first of which is drawn from the constrained joint and each other one from what is left of it.

    `ties` are the passage's. At most `most_nodes` nodes are looked at: where they don't settle what comes next, the fills that were
    found come by falling value, and `exact` is False from then on. It ends where no other fill has a probability above 0.
    `passes` counts the prompt's too.
    """

    def __init__(
        self,
        prefilled: Prefilled,
        ties: Sequence[int],
        sampler: Sampler,
        rng: np.random.Generator,
        on_pass: OnPass,
        most_nodes: int = MOST_NODES,
    ) -> None:
        self.exact = True
        self.passes = 1
        self.tokens = 0
        self._chain, self._ties, self._on_pass, self._left = prefilled.chain, ties, on_pass, most_nodes
        self._noisy = sampler.temperature > 0
        self._sampler = sampler if self._noisy else Sampler()
        self._rng = rng
        self._state = prefilled.state.fork(_WIDTH)
        self._heap: list[tuple[float, int, _Leaf | tuple[_Children, int]]] = []
        self._numbers = count()
        self._report()
        root = _Path((), (), (), float(rng.gumbel()) if self._noisy else 0.0, 0.0, 0.0, 1)
        self._branch(root, 0, prefilled.logits[0, 0])

    def __iter__(self) -> Iterator[Draw]:
        while self._heap:
            batch: list[_Path] = []
            while self._heap and len(batch) < _WIDTH:
                _, _, item = heapq.heappop(self._heap)
                if isinstance(item, _Leaf):
                    if batch:  # it may be the draw once the nodes before it are known
                        self._push(item.path.bound, item)
                        break
                    yield self._drawn(item.path)
                    continue
                if self._left == 0:
                    self.exact = False
                    yield from self._found()
                    return
                self._left -= 1
                children, index = item
                if index + 1 < len(children.tokens):
                    self._push(children.bound(index + 1), (children, index + 1))
                path = children.child(index)
                if self._frontier(path) == self._chain.done:
                    self._push(path.bound, _Leaf(path))
                else:
                    batch.append(path)
            if batch:
                self._look_at(batch)

    def _found(self) -> Iterator[Draw]:
        for _, _, item in sorted(self._heap):
            if isinstance(item, _Leaf):
                yield self._drawn(item.path)

    def _drawn(self, path: _Path) -> Draw:
        self.tokens += len(path.tokens)
        return Draw(path.slots, path.tokens, path.logprobs, path.passes)

    def _push(self, bound: float, item: _Leaf | tuple[_Children, int]) -> None:
        heapq.heappush(self._heap, (-bound, next(self._numbers), item))

    def _report(self) -> None:
        self._on_pass(Progress(self.passes, self.tokens, self.tokens + self._chain.done))

    def _frontier(self, path: _Path) -> int:
        """The slot after the path's last token."""
        return after(self._chain, path.slots[-1], path.tokens[-1])

    def _look_at(self, paths: Sequence[_Path]) -> None:
        """One pass: what repeats must follow the paths, how likely they are, and what may stand at the free slot after them."""
        with_repeats = [repeated(self._chain, self._ties, path.slots, path.tokens) for path in paths]
        logits = self._state.run(self._rows(paths, with_repeats))
        self.passes += 1
        for row, (path, (slots, tokens, free)) in enumerate(zip(paths, with_repeats, strict=True)):
            known, total = len(path.slots), len(slots)
            own = logits[row : row + 1, : total - known + 1]
            asked = np.array([[*slots[known:], free]])
            own = self._chain.bar_end_marks(own[:, : asked.shape[1]], asked)[0]
            forced, new = path.forced, list(path.logprobs)
            if total > known:
                index = np.arange(total - known), np.array(tokens[known:])
                new += log_softmax(own[:-1])[index].tolist()
                with np.errstate(divide="ignore"):
                    forced += float(np.log(self._sampler.probabilities(own[:-1])[index]).sum())
            if forced == -np.inf:
                continue
            longer = _Path(slots, tokens, tuple(new), path.value, path.free, forced, path.passes + 1)
            if free == self._chain.done:
                self._push(longer.bound, _Leaf(longer))
            else:
                self._branch(longer, free, own[-1])
        self._report()

    def _rows(self, paths: Sequence[_Path], with_repeats: Sequence[tuple[tuple[int, ...], tuple[int, ...], int]]) -> Rows:
        """Each path and its repeats as content rows; slot rows for the repeats and the free slot after them. The rest is padding."""
        content = max(len(slots) for slots, _, _ in with_repeats)
        asked = max(len(slots) - len(path.slots) for path, (slots, _, _) in zip(paths, with_repeats, strict=True)) + 1
        ids, at = np.zeros((_WIDTH, content), dtype=np.int64), np.zeros((_WIDTH, content), dtype=np.int64)
        counts = np.zeros(_WIDTH, dtype=np.int64)
        sources, targets = np.full((_WIDTH, asked), content), np.zeros((_WIDTH, asked), dtype=np.int64)
        sees = np.zeros((_WIDTH, asked), dtype=np.int64)
        for row, (path, (slots, tokens, free)) in enumerate(zip(paths, with_repeats, strict=True)):
            counts[row] = len(slots)
            ids[row, : len(slots)], at[row, : len(slots)] = tokens, slots
            questions = [*slots[len(path.slots) :], *([free] if free < self._chain.done else [])]
            before = len(path.slots) + np.arange(len(questions))
            sources[row, : len(questions)], sees[row, : len(questions)] = before - 1, before
            targets[row, : len(questions)] = questions
        return Rows(ids, self._chain.positions[at], counts, sources, self._chain.positions[targets], sees)

    def _branch(self, path: _Path, slot: int, logits: FloatArray) -> None:
        """Put the path's children on the heap; `logits` `[V]` are those of its free slot."""
        with np.errstate(divide="ignore"):
            steps = np.log(self._sampler.probabilities(logits))
        possible = np.flatnonzero(steps > -np.inf)
        free = path.free + steps[possible]
        values = gumbels_below(free, path.value, self._rng) if self._noisy else free
        best = np.argsort(-values, kind="stable")[: self._left + 1]  # one more than may be looked at: a cut must show
        chosen = possible[best]
        self._push(
            float(values[best[0]]) + path.forced,
            (_Children(path, slot, chosen, values[best], free[best], log_softmax(logits)[chosen]), 0),
        )


def after(chain: SlotChain, slot: int, token: int) -> int:
    """The slot that follows `slot` once it holds `token`."""
    return int(chain.advance(np.array(slot), np.array(token)))


def repeated(
    chain: SlotChain, ties: Sequence[int], slots: tuple[int, ...], tokens: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """A path's slots and tokens with all repeats that must come next, and the free slot after them (`chain.done` where there is none)."""
    frontier = after(chain, slots[-1], tokens[-1])
    while frontier < chain.done and ties[hole := int(chain.holes[frontier])] != hole:
        own = [token for slot, token in zip(slots, tokens, strict=True) if chain.holes[slot] == ties[hole]]
        for token in own:
            slots, tokens = (*slots, frontier), (*tokens, token)
            frontier = after(chain, frontier, token)
    return slots, tokens, frontier


def gumbels_below(locations: Probabilities, largest: float, rng: np.random.Generator) -> Probabilities:
    """Independent Gumbel variables at these `locations` `[N]`, given that the largest of them is `largest`.

    Kool et al., arXiv 1903.06059, appendix B.3: drawn without that condition, then moved by the one monotone map that meets it.
    """
    drawn = locations + rng.gumbel(size=len(locations))
    gaps = drawn - drawn.max()
    with np.errstate(divide="ignore"):
        moved = largest - drawn + np.log(-np.expm1(gaps))
    values: Probabilities = largest - np.maximum(moved, 0.0) - np.log1p(np.exp(-np.abs(moved)))
    return values
