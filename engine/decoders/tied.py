"""Tied holes: the joint that a sampler defines, among those fills alone in which tied holes repeat one another token by token.

Holes may also be bound to a wording (`engine.wording`); then it is the joint among those fills alone that keep to it, too. Slots are
*free* or, in a hole that repeats an earlier one, *forced*. A fill is a path in the tree of free tokens, and its weight the product of
the conditionals of all its slots, of which the tree's own steps know only the free ones. Drawing in sigma and throwing away what
disagrees would be exact and hopeless; drawing the free tokens and copying them would ignore how well the copies fit.

*The search* is A* sampling (Maddison et al., arXiv 1411.0030). A leaf's log-weight plus a Gumbel variable of its own is largest at a
leaf that is distributed as the weights. The variables come from the root downwards, as those of largest leaves below each node (Kool et
al., arXiv 1903.06059, section 3 and appendix B.3), under the free slots' conditionals. These add up to 1 below every node, so a node's
value is known before its subtree is. The log-conditionals of the forced slots are added as they are met. None exceeds 0: a node's
value, so lowered, bounds what lies below it, and a leaf that no bound exceeds is the draw. Going on gives further leaves without
replacement: each drawn from the same weights less those of the leaves before it. Without noise (temperature 0) the values are plain
log-weights, and the leaf found is the likeliest tied fill: the mode of the constrained joint at temperature 1, where greedy decoding of
one slot after another would often come to no tied fill at all.

The search has to look at every node whose value exceeds the draw's, and the less the model believes that a name comes again, the more
these are. *Where it comes to its bound*, the draw is made among candidates: texts that suit all of their holes (`tied_texts`), and
those that the search came upon. The tied slots' weights of each are exact, other holes are drawn given them, and one candidate is drawn
by its weight: the constrained joint among the candidates, by importance resampling (Rubin 1987). `exact` is False then.

A pass takes several of the best nodes, each with its whole prefix as content rows. Where the last token of a hole was chosen, the
repeats up to the next free slot go with it, and the pass answers for all of their slots. A node costs a row for each of its tokens and
a fill many nodes, so that here passes <= tokens does not hold.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from engine.decoders.base import Draw, Prefilled
from engine.decoders.slots import SlotChain
from engine.decoders.tied_paths import Constraint, Path, Texts, after, ask, grow
from engine.decoders.tied_texts import candidate_texts
from engine.infiller import OnPass
from engine.model import FloatArray
from engine.results import Progress
from engine.sampling import Probabilities, Sampler, draw, log_softmax
from engine.sequence import IntArray

MOST_NODES = 128
_MOST_CANDIDATES = 32
_WIDTH = 8  # nodes of one pass


@dataclass(frozen=True)
class _Node:
    """A path, the Gumbel variable `value` of the largest leaf below it by the free slots alone, `free` the log-weight of these, and
    `forced` that of the forced slots met so far (at most 0)."""

    path: Path
    value: float
    free: float
    forced: float

    @property
    def bound(self) -> float:
        return self.value + self.forced


@dataclass(frozen=True)
class _Children:
    """The free tokens `[N]` that may stand at `slot` behind `node`, by falling `values` `[N]`.

    `free` is as in `_Node`, `logprobs` are the model's own.
    """

    node: _Node
    slot: int
    tokens: IntArray
    values: Probabilities
    free: Probabilities
    logprobs: Probabilities

    def bound(self, index: int) -> float:
        return float(self.values[index]) + self.node.forced

    def child(self, index: int) -> _Node:
        path = self.node.path
        longer = Path(
            slots=(*path.slots, self.slot),
            tokens=(*path.tokens, int(self.tokens[index])),
            logprobs=(*path.logprobs, float(self.logprobs[index])),
            passes=path.passes,
        )
        return _Node(longer, float(self.values[index]), float(self.free[index]), self.node.forced)


@dataclass(frozen=True)
class _Leaf:
    node: _Node


class TiedSearch:
    """An iterator over distinct fills, the first of which is drawn from the constrained joint and each other one from what is left of it.

    At most `most_nodes` nodes are looked at. Where they don't settle what comes next, `exact` is False from then on, and the fills come
    from among candidates. It ends where no other fill has a probability above 0. `passes` counts the prompt's too.
    """

    def __init__(
        self,
        prefilled: Prefilled,
        constraint: Constraint,
        sampler: Sampler,
        rng: np.random.Generator,
        on_pass: OnPass,
        most_nodes: int = MOST_NODES,
    ) -> None:
        self.exact = True
        self.passes = 1
        self.tokens = 0
        self._prefilled, self._chain, self._constraint = prefilled, prefilled.chain, constraint
        self._on_pass, self._left = on_pass, most_nodes
        self._noisy = sampler.temperature > 0
        self._sampler = sampler if self._noisy else Sampler()
        self._untied = sampler  # draws the holes that nothing binds, where candidates are weighed
        self._rng = rng
        self._state = prefilled.state.fork(_WIDTH)
        self._heap: list[tuple[float, int, _Leaf | tuple[_Children, int]]] = []
        self._numbers = count()
        self._drawn: set[tuple[int, ...]] = set()
        self._report()
        self._branch(_Node(Path(), float(rng.gumbel()) if self._noisy else 0.0, 0.0, 0.0), 0, prefilled.logits[0, 0])

    def __iter__(self) -> Iterator[Draw]:
        while self._heap:
            batch: list[_Node] = []
            while self._heap and len(batch) < _WIDTH:
                _, _, item = heapq.heappop(self._heap)
                if isinstance(item, _Leaf):
                    if batch:  # it may be the draw once the nodes before it are known
                        self._push(item.node.bound, item)
                        break
                    yield self._draw(item.node.path)
                    continue
                if self._left == 0:
                    self.exact = False
                    yield from self._among_candidates()
                    return
                self._left -= 1
                children, index = item
                if index + 1 < len(children.tokens):
                    self._push(children.bound(index + 1), (children, index + 1))
                node = children.child(index)
                if after(self._chain, node.path.slots[-1], node.path.tokens[-1]) == self._chain.done:
                    self._push(node.bound, _Leaf(node))
                else:
                    batch.append(node)
            if batch:
                self._look_at(batch)

    def _draw(self, path: Path) -> Draw:
        self.tokens += len(path.tokens)
        self._drawn.add(path.tokens)
        return Draw(path.slots, path.tokens, path.logprobs, path.passes)

    def _push(self, bound: float, item: _Leaf | tuple[_Children, int]) -> None:
        heapq.heappush(self._heap, (-bound, next(self._numbers), item))

    def _count_pass(self) -> None:
        self.passes += 1
        self._report()

    def _report(self) -> None:
        self._on_pass(Progress(self.passes, self.tokens, self.tokens + self._chain.done))

    def _look_at(self, nodes: Sequence[_Node]) -> None:
        """One pass: what repeats must follow the nodes, how likely they are, and what may stand at the free slot after them."""
        grown = [grow(self._chain, self._constraint.ties, node.path, {}) for node in nodes]
        answers = ask(self._state, _WIDTH, self._chain, [len(node.path.slots) for node in nodes], grown)
        self.passes += 1
        for node, one, logits in zip(nodes, grown, answers, strict=True):
            weight, logprobs = self._forced(one.tokens[len(node.path.tokens) :], logits)
            if weight == -np.inf:
                continue
            path = Path(one.slots, one.tokens, (*node.path.logprobs, *logprobs), node.path.passes + 1)
            longer = replace(node, path=path, forced=node.forced + weight)
            if one.free == self._chain.done:
                self._push(longer.bound, _Leaf(longer))
            else:
                self._branch(longer, one.free, logits[-1])
        self._report()

    def _forced(self, tokens: Sequence[int], logits: FloatArray) -> tuple[float, list[float]]:
        """The log-weight of `tokens`, whose slots have the first of these `logits`, and the model's own log-probabilities."""
        index = np.arange(len(tokens)), np.array(tokens, dtype=np.int64)
        with np.errstate(divide="ignore"):
            weight = float(np.log(self._sampler.probabilities(logits[: len(tokens)])[index]).sum())
        return weight, log_softmax(logits[: len(tokens)])[index].tolist()

    def _branch(self, node: _Node, slot: int, logits: FloatArray) -> None:
        """Put the node's children on the heap; `logits` `[V]` are those of its free slot."""
        with np.errstate(divide="ignore"):
            steps = np.log(self._sampler.probabilities(logits))
        possible = np.flatnonzero(steps > -np.inf)
        free = node.free + steps[possible]
        # Tokens that the wording rules out have their share of the variables: what is asked for is the joint given that none is drawn.
        values = gumbels_below(free, node.value, self._rng) if self._noisy else free
        allowed = self._constraint.allowed[slot]
        if allowed is not None:
            kept = allowed[possible]
            possible, free, values = possible[kept], free[kept], values[kept]
        if not len(possible):
            return
        best = np.argsort(-values, kind="stable")[: self._left + 1]  # one more than may be looked at: a cut must show
        chosen = possible[best]
        children = _Children(node, slot, chosen, values[best], free[best], log_softmax(logits)[chosen])
        self._push(children.bound(0), (children, 0))

    def _among_candidates(self) -> Iterator[Draw]:
        """Draws without replacement among the candidates that weren't drawn before, by their weights."""
        ties = self._constraint.ties
        bound = {hole for slot, hole in enumerate(self._chain.holes[:-1].tolist()) if self._constraint.allowed[slot] is not None}
        groups = [hole for hole, tie in enumerate(ties) if tie == hole and (hole in bound or ties.count(hole) > 1)]
        texts = candidate_texts(self._prefilled, self._constraint, groups, _MOST_CANDIDATES, self._count_pass)
        for _, _, item in sorted(self._heap):
            if isinstance(item, _Leaf):
                path = item.node.path
                texts.append({hole: _text_of(self._chain, path, hole) for hole in groups})
        distinct = list({tuple(one.values()): one for one in texts}.values())
        weighed = [pair for start in range(0, len(distinct), _WIDTH) for pair in self._weighed(distinct[start : start + _WIDTH])]
        noise = self._rng.gumbel(size=len(weighed)) if self._noisy else np.zeros(len(weighed))
        for number in np.argsort(-(np.array([weight for weight, _ in weighed]) + noise), kind="stable"):
            _, path = weighed[number]
            if path.tokens not in self._drawn:
                yield self._draw(path)

    def _weighed(self, texts: Sequence[Texts]) -> Iterator[tuple[float, Path]]:
        """The log-weights of candidates (those above -inf), of their texts alone: other holes are drawn given all before them."""
        chain, ties, root = self._chain, self._constraint.ties, self._prefilled.logits[0, 0]
        pending: list[tuple[float, Path, Texts]] = []
        for own in texts:
            text = own.get(ties[0])
            token = self._chosen(root) if text is None else text[0]
            weight, logprobs = self._forced((token,), root[None])
            pending.append((0.0 if text is None else weight, Path((0,), (token,), tuple(logprobs)), own))
        while pending:
            grown = [grow(chain, ties, path, own) for _, path, own in pending]
            ready = [len(one.slots) == len(path.slots) and one.free == chain.done for (_, path, _), one in zip(pending, grown, strict=True)]
            yield from ((weight, path) for (weight, path, _), done in zip(pending, ready, strict=True) if done)
            going = [(item, one) for item, one, done in zip(pending, grown, ready, strict=True) if not done]
            if not going:
                return
            known = [len(path.slots) for (_, path, _), _ in going]
            answers = ask(self._prefilled.state.fork(len(going)), len(going), chain, known, [one for _, one in going])
            self._count_pass()
            pending = []
            for ((weight, path, own), one), logits in zip(going, answers, strict=True):
                more, logprobs = self._forced(one.tokens[len(path.tokens) :], logits)
                longer = Path(one.slots, one.tokens, (*path.logprobs, *logprobs), path.passes + 1)
                if one.free < chain.done:
                    token = self._chosen(logits[-1])
                    last = float(log_softmax(logits[-1])[token])
                    longer = replace(
                        longer, slots=(*longer.slots, one.free), tokens=(*longer.tokens, token), logprobs=(*longer.logprobs, last)
                    )
                if weight + more > -np.inf:
                    pending.append((weight + more, longer, own))

    def _chosen(self, logits: FloatArray) -> int:
        return int(draw(self._untied.probabilities(logits[None]), self._rng)[0])


def _text_of(chain: SlotChain, path: Path, hole: int) -> tuple[int, ...]:
    return tuple(token for slot, token in zip(path.slots, path.tokens, strict=True) if chain.holes[slot] == hole)


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
