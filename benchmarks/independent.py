"""What parallel decoding without a check costs: `independent` draws against exact ones, on a known joint and on the model.

`independent` is what discrete diffusion does with a fixed number of passes (MDLM: Sahoo et al., arXiv 2406.07524, section 4;
the baseline of Guo & Ermon, arXiv 2504.20456): each pass unmasks a fixed share of the slots, every one drawn from its own
conditional given what was decoded before, as if slots of one pass knew nothing of each other. Diffusion is told how long
the text is, so every hole here has a fixed length, for all methods.

Two orders. "random" is diffusion's: ancestral sampling unmasks the slots in an order drawn uniformly. "leftmost" takes them as
they stand; at one slot a pass it is `sequential`, so that all its drift comes from independence. A pass encodes anew all that
is known by then in the one order that this subset has (mask decomposition: one order per subset), for a token decoded out of
turn belongs to the prompt of those still missing.

First part: the tests' oracle, whose conditionals are exact for any subset, so that total variation from the enumerated joint
is the method's own error. Second part: the model's own joint log-density, by one pass, of what each method draws at
temperature 1; how far its mean lies below that of exact draws is the drift. There "random" drifts at one slot a pass, too: the model
was trained in sigma alone, which keeps a hole's slots in turn, so that its conditionals out of turn belong to no one joint.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.infilling_tasks import SINGLE_LINE, load_infilling_tasks
from benchmarks.intervals import Interval, bootstrap, ratio_of_sums
from benchmarks.tasks import add_options, own_lines
from engine.decoders import DECODERS
from engine.decoders.base import Draw, prefill
from engine.errors import LacunaError
from engine.infiller import ignore_progress
from engine.local import LocalInfiller, load_infiller
from engine.model import FloatArray, Model, Rows
from engine.passage import Passage
from engine.sampling import Sampler, draw, log_softmax
from engine.scoring import conditionals
from engine.sequence import IntArray, MaskedSequence
from tests.engine.oracle import Joint, Oracle, enumerate_joint, length_for, sequence_with

ORDERS = ("random", "leftmost")
# Holes of the oracle's sequence: 8 slots, 3 tokens for each of them, 6,561 fills.
BUDGETS = (4, 4)
# Slots that `independent` unmasks a pass on the real model.
SHARES = (1, 2, 3, 4, 8)
_WIDTH = 5  # slots that decoders which draft propose a round
_BATCH = 5_000
_REACH = 600  # characters of an own file kept on either side of a hole


def independent(
    model: Model, sequence: MaskedSequence, passes: int, order: str, copies: int, sampler: Sampler, rng: np.random.Generator
) -> IntArray:
    """`copies` draws in `passes` passes each: tokens `[copies, N]` of the N slots, ascending. Not exact unless N = passes.

    `sequence` stands suffix first, and all its holes have fixed lengths. A pass asks for its own share of the slots alone: the
    others' conditionals would be thrown away. Raises LacunaError where a length is unknown, or `passes` is not within 1 to N.
    """
    slots = np.concatenate(sequence.slots)
    if not all(sequence.fixed_lengths) or not sequence.fixed_lengths:
        raise LacunaError("independent decoding has to be told the length of every hole; give the passage fixed lengths")
    if not 1 <= passes <= len(slots):
        raise LacunaError(f"{len(slots)} slots take 1 to {len(slots)} passes, not {passes}")
    turns = np.tile(np.arange(len(slots)), (copies, 1))
    if order == "random":
        turns = rng.permuted(turns, axis=1)
    tokens = np.zeros_like(turns)
    borders = np.arange(passes + 1) * len(slots) // passes
    for start, end in pairwise(borders):
        known, asked = turns[:, :start], turns[:, start:end]
        first_open = slots[turns[:, start:].min(axis=1)]
        told = np.take_along_axis(tokens, known, axis=1)
        logits = _ask(model, sequence, told, slots[known], slots[asked], first_open)
        chances = sampler.probabilities(logits).reshape(-1, logits.shape[-1])
        np.put_along_axis(tokens, asked, draw(chances, rng).reshape(asked.shape), axis=1)
    return tokens


def _ask(model: Model, sequence: MaskedSequence, told: IntArray, where: IntArray, targets: IntArray, first_open: IntArray) -> FloatArray:
    """One pass over the prompt and the tokens `told` `[B, K]` at positions `where`: logits `[B, S, V]` at the positions `targets`.

    `first_open` `[B]` is the first position that is still missing: what precedes it stands last in sigma, and is asked from.
    """
    batch = len(told)
    ids = np.concatenate((np.tile(sequence.ids, (batch, 1)), told), axis=1)
    positions = np.concatenate((np.tile(sequence.positions, (batch, 1)), where), axis=1)
    last = (positions > 0) & (positions < first_open[:, None])  # position 0 is the start mark's, which comes first
    sigma = np.argsort(positions + np.where(last, positions.max() + 1, 0), axis=1)
    rows = ids.shape[1]
    logits = (
        model.open()
        .fork(batch)
        .run(
            Rows(
                ids=np.take_along_axis(ids, sigma, axis=1),
                positions=np.take_along_axis(positions, sigma, axis=1),
                counts=np.full(batch, rows),
                sources=np.full_like(targets, rows - 1),
                targets=targets,
                sees=np.full_like(targets, rows),
            )
        )
    )
    logits[..., model.eoh] = -np.inf  # no end mark stands in a hole of fixed length
    return logits


@dataclass(frozen=True)
class OracleRow:
    """Total variation of a method's draws from the enumerated joint, at its mean number of passes a fill."""

    part: str
    method: str
    passes: float
    variation: float


@dataclass(frozen=True)
class Band:
    """Total variation of as many exact draws: mean and standard deviation, and the bounds of 99% of such samples."""

    mean: float
    deviation: float
    low: float
    high: float


def oracle_case(seed: int) -> tuple[Oracle, MaskedSequence]:
    """A random hidden Markov chain, and a sequence with holes of fixed length in it.

    The chain never emits `<eoh>`: were it barred from the conditionals instead, the joint would hang on the order of decoding.
    """
    oracle = Oracle(seed, length_for(BUDGETS))
    oracle.emits[:, oracle.eoh] = 0
    oracle.emits /= oracle.emits.sum(axis=1, keepdims=True)
    return oracle, sequence_with(BUDGETS, oracle, seed, (True,) * len(BUDGETS))


def total_variation(fills: Iterable[tuple[int, ...]], joint: Joint) -> float:
    """Half the L1 distance between the fills' frequencies and the joint; a fill that the joint rules out counts in full."""
    counts = Counter(fills)
    total = counts.total()
    inside = sum(abs(counts[tokens] / total - outcome.probability) for tokens, outcome in joint.items())
    outside = sum(count for tokens, count in counts.items() if tokens not in joint) / total
    return (inside + outside) / 2


def sampling_noise(joint: Joint, draws: int, seed: int, samples: int = 1000) -> Band:
    chances = np.array([outcome.probability for outcome in joint.values()])
    counts = np.random.default_rng(seed).multinomial(draws, chances / chances.sum(), size=samples)
    variations = np.abs(counts / draws - chances).sum(axis=1) / 2
    low, high = np.percentile(variations, (0.5, 99.5))
    return Band(float(variations.mean()), float(variations.std()), float(low), float(high))


def oracle_rows(draws: int, seed: int) -> tuple[list[OracleRow], Band]:
    """Every method on one oracle; `independent` with every number of passes, in both orders."""
    oracle, sequence = oracle_case(seed)
    joint = enumerate_joint(oracle, sequence, Sampler())
    rows = []
    for method in DECODERS:
        report.progress(f"oracle: {method}")
        drawn = list(_exact(oracle, sequence, method, draws, np.random.default_rng(seed)))
        passes = float(np.mean([item.passes for item in drawn]))
        rows.append(OracleRow("oracle", method, passes, total_variation((item.tokens for item in drawn), joint)))
    for order in ORDERS:
        for steps in range(1, sum(BUDGETS) + 1):
            report.progress(f"oracle: independent, {order}, {steps} passes")
            tokens = independent(oracle, sequence, steps, order, draws, Sampler(), np.random.default_rng(seed))
            rows.append(OracleRow("oracle", _name(order), steps, total_variation(map(tuple, tokens.tolist()), joint)))
    report.progress("")
    return rows, sampling_noise(joint, draws, seed)


def _exact(model: Model, sequence: MaskedSequence, method: str, draws: int, rng: np.random.Generator) -> Iterator[Draw]:
    """Draws of one of the engine's decoders at temperature 1, all from one prefill."""
    prefilled = prefill(model, sequence, _WIDTH)
    for start in range(0, draws, _BATCH):
        yield from DECODERS[method](prefilled, min(_BATCH, draws - start), Sampler(), _WIDTH, rng, ignore_progress)


@dataclass(frozen=True)
class ModelRow:
    """A method on the real model: passes per token, its draws' mean log-density (nats per token) and that less the exact draws'."""

    part: str
    method: str
    share: int | None
    passes_per_token: float
    logprob_per_token: Interval
    drift_per_token: Interval


def told_passages(data: Path | None, infiller: LocalInfiller, count: int, seed: int) -> tuple[str, list[Passage]]:
    """The source's name and `count` passages that fit the window, each with one hole of the length of the line missing there.

    Without `data` the lines are this project's own. Raises LacunaError when the folder lacks the tasks or `count` is below 1.
    """
    if count < 1:
        raise LacunaError(f"the number of tasks must be at least 1, not {count}")
    source, passages = ("own files", list(_own(infiller))) if data is None else ("HumanEval single line", list(_human_eval(data, infiller)))
    random.Random(seed).shuffle(passages)
    return source, list(islice((passage for passage in passages if _fits(passage, infiller)), count))


def _own(infiller: LocalInfiller) -> Iterator[Passage]:
    for line in own_lines():
        text, start, end = line.text, line.start, line.end
        pieces = text[max(0, start - _REACH) : start], text[end : end + _REACH]
        length = infiller.count_tokens(text[start:end])
        yield Passage(pieces, (length,), at_start=start <= _REACH, at_end=end + _REACH >= len(text), fixed_lengths=(True,))


def _human_eval(data: Path, infiller: LocalInfiller) -> Iterator[Passage]:
    for task in load_infilling_tasks(data, SINGLE_LINE, None, seed=0):
        yield Passage(task.pieces, (infiller.count_tokens(task.expected[0]),), fixed_lengths=(True,))


def _fits(passage: Passage, infiller: LocalInfiller) -> bool:
    return sum(map(infiller.count_tokens, passage.pieces)) + sum(passage.budgets) <= infiller.window


Measured = dict[tuple[str, int | None], list[tuple[float, float, float]]]


def measure(infiller: LocalInfiller, passages: Sequence[Passage], copies: int, seed: int) -> Measured:
    """By method and share: each passage's (log-density, passes, tokens), added up over `copies` draws."""
    measured: Measured = {}
    for number, passage in enumerate(passages):
        report.progress(f"passage {number + 1} of {len(passages)}")
        sequence = infiller.sequence(passage)
        slots = passage.budgets[0]
        for method in DECODERS:
            drawn = list(_exact(infiller.model, sequence, method, copies, np.random.default_rng([seed, number])))
            density = sum(_log_density(infiller.model, sequence, item.tokens) for item in drawn)
            passes = sum(item.passes for item in drawn)
            measured.setdefault((method, None), []).append((density, passes, copies * slots))
        for order in ORDERS:
            for share in SHARES:
                steps = -(-slots // share)
                rng = np.random.default_rng([seed, number, share])
                tokens = independent(infiller.model, sequence, steps, order, copies, Sampler(), rng)
                density = sum(_log_density(infiller.model, sequence, row) for row in tokens.tolist())
                measured.setdefault((_name(order), share), []).append((density, copies * steps, copies * slots))
    report.progress("")
    return measured


def _log_density(model: Model, sequence: MaskedSequence, tokens: Sequence[int]) -> float:
    """The model's own joint log-density (nats) of one hole's tokens, by one pass."""
    logs = log_softmax(conditionals(model, sequence, [tokens]))
    return float(logs[np.arange(len(tokens)), tokens].sum())


def summarise(measured: Measured) -> list[ModelRow]:
    exact = np.array(measured["sequential", None])
    rows = []
    for (method, share), values in measured.items():
        figures = np.array(values)
        density, passes, tokens = figures.T
        rows.append(
            ModelRow(
                "model",
                method,
                share,
                float(passes.sum() / tokens.sum()),
                bootstrap(ratio_of_sums, np.stack((density, tokens), axis=1)),
                # Both densities of a passage stay together: passages differ far more than methods do.
                bootstrap(ratio_of_sums, np.stack((density - exact[:, 0], tokens), axis=1)),
            )
        )
    return rows


def _name(order: str) -> str:
    return f"independent, {order}"


def plot(oracle: Sequence[OracleRow], band: Band, model: Sequence[ModelRow], source: str) -> Figure:
    """Total variation against passes on the oracle; log-density per token against passes per token on the model."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.axhspan(band.low, band.high, color="0.85", label="exact draws (99%)")
    for index, method in enumerate(dict.fromkeys(row.method for row in oracle)):
        style = "-o" if method.startswith("independent") else "D"
        known = [row for row in oracle if row.method == method]
        left.plot([row.passes for row in known], [row.variation for row in known], style, color=f"C{index}", label=method)
        shown = [row for row in model if row.method == method]
        values = np.array([row.logprob_per_token.value for row in shown])
        spread: NDArray[np.float64] = np.array([(row.logprob_per_token.low, row.logprob_per_token.high) for row in shown]).T
        places = [row.passes_per_token for row in shown]
        right.errorbar(places, values, yerr=np.abs(spread - values), fmt=style, color=f"C{index}", capsize=3)
    left.set_ylim(bottom=0)
    left.set_xlabel(f"passes for {sum(BUDGETS)} tokens")
    left.set_ylabel("total variation from the true joint")
    left.set_title("Oracle", fontsize=10)
    right.set_xlabel("passes per token")
    right.set_ylabel("log-density of the draws, nats per token")
    right.set_title(f"Model, {source}, told the length", fontsize=10)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("independent", __doc__)
    add_options(parser, 100)
    parser.add_argument("--draws", type=int, metavar="N", default=200_000, help="draws from the oracle a setting (default: %(default)s)")
    parser.add_argument("--copies", type=int, metavar="N", default=2, help="draws from the model a task and setting (default: %(default)s)")
    arguments = parser.parse_args(argv)
    draws, tasks, copies = (5_000, 3, 1) if arguments.quick else (arguments.draws, arguments.tasks, arguments.copies)
    infiller = load_infiller(arguments.model)
    source, passages = told_passages(arguments.data, infiller, tasks, arguments.seed)
    oracle, band = oracle_rows(draws, arguments.seed)
    report.print_table(
        f"Oracle, {sum(BUDGETS)} tokens, {draws:,} draws a row; exact draws: {band.mean:.4f} [{band.low:.4f}, {band.high:.4f}]",
        ("method", "passes, mean", "total variation"),
        [(row.method, f"{row.passes:.2f}", f"{row.variation:.4f}") for row in oracle],
    )
    model = summarise(measure(infiller, passages, copies, arguments.seed))
    report.print_table(
        f"{infiller.model_name}, {len(passages)} tasks ({source}), told the length, {copies} draws each at temperature 1; "
        "95% bootstrap intervals over tasks",
        ("method", "tokens a pass, at most", "passes per token", "log-density, nats per token", "less that of sequential"),
        [
            (
                row.method,
                str(row.share or ""),
                f"{row.passes_per_token:.3f}",
                f"{row.logprob_per_token:.3f}",
                f"{row.drift_per_token:+.3f}",
            )
            for row in model
        ],
    )
    settings = {
        "source": source,
        "tasks": len(passages),
        "copies": copies,
        "draws": draws,
        "seed": arguments.seed,
        "budgets": BUDGETS,
        "width": _WIDTH,
        "model": infiller.model_name,
        "exact_draws_total_variation": asdict(band),
    }
    rows = [*map(asdict, oracle), *map(asdict, model)]
    report.write(report.folder(arguments), "independent", settings, rows, plot(oracle, band, model, source))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
