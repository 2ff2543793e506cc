"""Tied holes: is what the search draws the joint of fills that agree, what would copying cost, and what does the search cost?

First part: the tests' oracle, on which the joint can be enumerated. The search's draws are held against the constrained joint: total
variation beside what as many draws of that joint itself show. Beside it what one might do instead, computed and not drawn: *copying*
(draw a hole where its name comes first, write the same into the others) ignores how well the copies fit, and is off by as much;
*rejecting* (draw all holes, throw away what disagrees) is exact and takes one draw in so many.

Second part: the model, on variables of this project's own files, every occurrence of one name masked and tied: passes, nodes and time of
a search by number of occurrences; and at temperature 0 the log-likelihood of the fill that it finds beside that of the greedy text of the
first hole, copied.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.independent import Band, sampling_noise
from benchmarks.intervals import FloatArray, Interval, bootstrap, median, ratio_of_sums
from engine.decoders.base import prefill
from engine.decoders.tied import TiedSearch
from engine.decoders.tied_paths import Constraint
from engine.errors import LacunaError
from engine.infiller import ignore_progress
from engine.local import LocalInfiller, load_infiller
from engine.options import FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.sampling import Sampler
from lsp_server.bindings import occurrences
from lsp_server.buffer import Buffer
from lsp_server.context import passage_for
from lsp_server.holes import Hole
from lsp_server.syntax import parse
from tests.engine.oracle import Joint, Oracle, Outcome, enumerate_joint, hole_texts, length_for, sequence_with, tied

# Budgets and ties of the oracle's holes.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "a a": ((3, 3), (0, 0)),
    "a b a": ((2, 2, 2), (0, 1, 0)),
    "a a a": ((2, 2, 2), (0, 0, 0)),
    "a b a b": ((2, 1, 2, 1), (0, 1, 0, 1)),
}
COUNTS = (2, 3, 4, 6, 8)  # occurrences of a name
BUDGET = 8
_OWN = ("engine", "lsp_server", "export", "benchmarks")
_SEED = 5


@dataclass(frozen=True)
class OracleRow:
    """One case: total variation of the search's draws and of copying, the noise of as many exact draws, and draws that rejecting takes."""

    case: str
    draws: int
    search: float
    noise: Band
    copying: float
    rejecting: float


@dataclass(frozen=True)
class Search:
    """One variable: a drawn fill's cost, and at temperature 0 how much likelier (nats) the fill found is than the greedy one copied."""

    passes: int
    milliseconds: float
    exact: bool
    gain: float | None


@dataclass(frozen=True)
class Row:
    """Searches by number of occurrences. `gain` in nats and `same`, the share in which copying found the likeliest fill, are of those that
    settled at temperature 0; None where none did."""

    occurrences: int
    variables: int
    passes: Interval
    milliseconds: Interval
    exact: float
    gain: Interval | None
    same: float | None


def oracle_rows(draws: int) -> list[OracleRow]:
    rows = []
    for name, (budgets, ties) in CASES.items():
        report.progress(f"oracle: {name}")
        oracle = Oracle(_SEED, length_for(budgets), vocabulary=3, concentration=0.8)
        sequence = sequence_with(budgets, oracle, _SEED)
        joint = enumerate_joint(oracle, sequence, Sampler())
        right = tied(joint, budgets, ties)
        prefilled = prefill(oracle, sequence)
        rng = np.random.default_rng(_SEED)
        searches = (TiedSearch(prefilled, Constraint(ties, (None,) * sum(budgets)), Sampler(), rng, ignore_progress) for _ in range(draws))
        seen = Counter(next(iter(search)).tokens for search in searches)
        rows.append(
            OracleRow(
                case=name,
                draws=draws,
                search=_variation({tokens: count / draws for tokens, count in seen.items()}, right),
                noise=sampling_noise({tokens: Outcome(chance, (), ()) for tokens, chance in right.items()}, draws, _SEED),
                copying=_variation(_copied(joint, right, budgets, ties), right),
                rejecting=1 / sum(joint[tokens].probability for tokens in right),
            )
        )
    report.progress("")
    return rows


def _variation(found: dict[tuple[int, ...], float], right: dict[tuple[int, ...], float]) -> float:
    return sum(abs(found.get(tokens, 0.0) - right.get(tokens, 0.0)) for tokens in {*found, *right}) / 2


def _copied(joint: Joint, right: dict[tuple[int, ...], float], budgets: Sequence[int], ties: Sequence[int]) -> dict[tuple[int, ...], float]:
    """How likely each fill is where only holes that repeat none are drawn: the product of their own conditionals."""
    copied = {}
    for tokens in right:
        outcome = joint[tokens]
        lengths = [len(text) for text in hole_texts(outcome.slots, tokens, budgets)]
        free = np.repeat([first == number for number, first in enumerate(ties)], lengths)
        copied[tokens] = float(np.exp(np.array(outcome.logprobs)[free].sum()))
    return copied


def variables(count: int, occurring: int, infiller: LocalInfiller, seed: int) -> list[Passage]:
    """`count` variables of own files that occur so often, as passages; one a file before any file gives a second."""
    rng = random.Random(f"tied/{seed}/{occurring}")
    files = sorted(path for package in _OWN for path in (Path(__file__).parents[1] / package).rglob("*.py"))
    rng.shuffle(files)
    found: list[Passage] = []
    ways = [_variables_of(path, occurring, infiller, rng) for path in files]
    while ways and len(found) < count:
        for way in list(ways):
            passage = next(way, None)
            if passage is None:
                ways.remove(way)
            elif len(found) < count:
                found.append(passage)
    return found


def _variables_of(path: Path, occurring: int, infiller: LocalInfiller, rng: random.Random) -> Iterator[Passage]:
    buffer = Buffer.read(path)
    tree = parse(buffer.source, "python")
    assert tree is not None
    stack, leaves = [tree.root_node], []
    while stack:
        node = stack.pop()
        stack.extend(node.children)
        if node.type == "identifier":
            leaves.append(node.start_byte)
    rng.shuffle(leaves)
    done: set[int] = set()
    for offset in leaves:
        if offset in done:
            continue
        try:
            ranges = occurrences(tree, buffer.source, offset)
        except LacunaError:
            continue
        done.update(start for start, _ in ranges)
        if len(ranges) == occurring:
            holes = [Hole(start, end, "range", BUDGET, tie="name") for start, end in ranges]
            yield passage_for(buffer, tree, holes, infiller)


def search(infiller: LocalInfiller, passage: Passage, seed: int) -> Search:
    infiller.prompts = PromptCache()  # each search pays for its prompt
    began = time.perf_counter()
    drawn = infiller.fill(passage, FillOptions(temperature=1.0, seed=seed))
    milliseconds = 1000 * (time.perf_counter() - began)
    return Search(drawn.passes, milliseconds, drawn.exact, _gain(infiller, passage))


def _gain(infiller: LocalInfiller, passage: Passage) -> float | None:
    """None where the search was cut short, or the greedy text of the first hole has no end."""
    best = infiller.fill(passage, FillOptions(temperature=0))
    greedy = infiller.fill(replace(passage, ties=()), FillOptions(temperature=0)).suggestions[0].fills[0]
    if not (best.exact and best.suggestions and greedy.complete):
        return None
    copied = infiller.score(passage, (greedy.text,) * len(passage.budgets), 0)
    return best.suggestions[0].logprob - copied.logprob


def summarise(occurring: int, found: Sequence[Search]) -> Row:
    def figure(values: Sequence[float]) -> FloatArray:
        return np.array([(value, 1.0) for value in values], dtype=np.float64)

    gains = [one.gain for one in found if one.gain is not None]
    return Row(
        occurrences=occurring,
        variables=len(found),
        passes=bootstrap(median, figure([one.passes for one in found])),
        milliseconds=bootstrap(median, figure([one.milliseconds for one in found])),
        exact=float(np.mean([one.exact for one in found])),
        gain=bootstrap(ratio_of_sums, figure(gains)) if gains else None,
        same=float(np.mean([gain < 1e-3 for gain in gains])) if gains else None,
    )


def plot(oracle: Sequence[OracleRow], rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    places = np.arange(len(oracle))
    left.bar(places - 0.2, [row.copying for row in oracle], 0.4, label="copying the first", color="0.7")
    left.bar(places + 0.2, [row.search for row in oracle], 0.4, label="the search", color="C0")
    left.errorbar(places + 0.2, [row.noise.mean for row in oracle], fmt="k_", label="exact draws' noise")
    left.set_xticks(places, [row.case for row in oracle])
    left.set_ylabel("total variation from the constrained joint")
    left.legend()
    middle = np.array([row.milliseconds.value for row in rows])
    low, high = np.array([(row.milliseconds.low, row.milliseconds.high) for row in rows]).T
    right.errorbar([row.occurrences for row in rows], middle, yerr=(middle - low, high - middle), fmt="o-", capsize=3)
    right.set_xlabel("occurrences of the name")
    right.set_ylabel("ms of one draw, prompt included (median)")
    right.set_ylim(bottom=0)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("tied", __doc__)
    parser.add_argument("--draws", type=int, metavar="N", default=50_000, help="searches of each oracle case (default: %(default)s)")
    parser.add_argument(
        "--variables", type=int, metavar="N", default=40, help="variables for each number of occurrences (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses the variables and seeds the draws (default: %(default)s)")
    arguments = parser.parse_args(argv)
    draws, count = (300, 2) if arguments.quick else (arguments.draws, arguments.variables)
    oracle = oracle_rows(draws)
    report.print_table(
        f"{draws:,} searches on the oracle; total variation from the enumerated joint of fills that agree",
        ("holes", "search", "as many exact draws (99%)", "copying the first", "draws that rejecting takes"),
        [
            (row.case, f"{row.search:.4f}", f"{row.noise.low:.4f} to {row.noise.high:.4f}", f"{row.copying:.3f}", f"{row.rejecting:.1f}")
            for row in oracle
        ],
    )
    infiller = load_infiller(arguments.model)
    rows = []
    for occurring in COUNTS:
        found = []
        for number, passage in enumerate(variables(count, occurring, infiller, arguments.seed)):
            report.progress(f"{occurring} occurrences: {number + 1} of {count}")
            found.append(search(infiller, passage, arguments.seed + number))
        if not found:
            raise LacunaError(f"no name of this project's own files occurs {occurring} times")
        rows.append(summarise(occurring, found))
    report.progress("")
    report.print_table(
        f"One draw at temperature 1 of a variable's name in {BUDGET} slots, {infiller.model_name} on {infiller.provider}; medians, "
        "95% intervals",
        (
            "occurrences",
            "variables",
            "passes",
            "ms",
            "exact",
            "likelier than the greedy name copied, nats (mean, temperature 0)",
            "the same",
        ),
        [
            (
                str(row.occurrences),
                str(row.variables),
                f"{row.passes:.0f}",
                f"{row.milliseconds:.0f}",
                f"{100 * row.exact:.0f}%",
                "none settled" if row.gain is None else f"{row.gain:.2f}",
                "" if row.same is None else f"{100 * row.same:.0f}%",
            )
            for row in rows
        ],
    )
    settings = {"draws": draws, "variables": count, "budget": BUDGET, "seed": arguments.seed, "model": infiller.model_name}
    settings["oracle"] = [asdict(row) for row in oracle]
    report.write(report.folder(arguments), "tied", settings, [asdict(row) for row in rows], plot(oracle, rows))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
