"""Choices of the model and of its training, each compared at equal compute on the same held-out passages.

Every arm trains small models (recipe `study`, several seeds) with the same number of floating-point operations; the figures
are bits per byte of hole text (end marks counted), lower is better, on passages that are the same for all arms. Finished
runs in RUNS are kept and not trained again, so that a stopped comparison goes on where it was.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks import report
from benchmarks.intervals import Interval, bootstrap, ratio_of_sums
from export import corpus
from export.cli import RECIPES
from export.contexts import WHOLE, ContextMix
from export.examples import Budget, Prompting
from export.holes import HoleMix, draw_budget, only
from export.model import AsArm, ModelConfig
from export.recipes import Recipe, load_recipe
from export.train import TOKENIZER, load_checkpoint, prepare_tokenizer, train
from export.utilisation import flops_per_row
from export.validation import Passages, draw_passages, encode_passages, measure

FloatArray = NDArray[np.float64]

BASE = load_recipe(RECIPES / "study.toml")
_PASSAGES = 512
_PASSAGES_SEED = 77
_DEFAULT_BUDGET = 64  # slots that `lacuna fill` gives a line


@dataclass(frozen=True)
class Arm:
    """One way to make the model: a recipe, and its compute as a multiple of the comparison's."""

    name: str
    recipe: Recipe
    compute: float = 1.0


@dataclass(frozen=True)
class Comparison:
    """A table: its arms, the one that the others are held against, and the measures (names of `MEASURES`) it shows."""

    name: str
    question: str
    arms: tuple[Arm, ...]
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """Bits per byte on holes of a mix, with budgets drawn by `budget`."""

    about: str
    mix: HoleMix
    budget: Budget
    context: ContextMix = WHOLE


@dataclass(frozen=True)
class Row:
    """One arm by one measure: the mean over seeds, each seed's figure, and by how much it is worse than the first arm."""

    comparison: str
    arm: str
    measure: str
    bits_per_byte: Interval
    seeds: tuple[float, ...]
    worse_by: Interval | None


def budget_of(slots: int, length: int, rng: random.Random) -> int:
    return max(length, slots)


MEASURES: Mapping[str, Measure] = {
    "all": Measure("all kinds of holes", HoleMix(), draw_budget),
    "lines": Measure("lines", only("line"), draw_budget),
    "nodes": Measure("syntax nodes", only("node"), draw_budget),
    "default": Measure(f"lines, {_DEFAULT_BUDGET} slots", only("line"), partial(budget_of, _DEFAULT_BUDGET)),
    "told": Measure("lines, told the length", only("line"), partial(draw_budget, budgets="exact")),
    "cut": Measure("lines in cut contexts", only("line"), draw_budget, ContextMix(cut=1.0)),
}


def shape(layers: int, width: int, heads: int, hidden: int) -> ModelConfig:
    return replace(BASE.model, layers=layers, width=width, heads=heads, hidden=hidden)


def _with(**changes: object) -> Recipe:
    return replace(BASE, **changes)  # type: ignore[arg-type]


_BASE = Arm("base", BASE)
COMPARISONS = (
    Comparison(
        "prompt",
        "May prompt rows see the whole prompt?",
        (
            replace(_BASE, name="causal in sigma, every row asks"),
            Arm("bidirectional, hole rows ask", _with(prompting=Prompting(bidirectional=1.0))),
        ),
        ("all", "lines"),
    ),
    Comparison(
        "holes",
        "One joint recipe, or one kind of holes?",
        (replace(_BASE, name="all kinds"), Arm("lines alone", _with(holes=only("line"))), Arm("nodes alone", _with(holes=only("node")))),
        ("all", "lines", "nodes"),
    ),
    Comparison(
        "budgets",
        "How are budgets drawn in training?",
        (
            replace(_BASE, name="free of the length"),
            Arm("length + log-uniform surplus", _with(holes=HoleMix(budgets="surplus"))),
            Arm("the length itself", _with(holes=HoleMix(budgets="exact"))),
        ),
        ("lines", "default", "told"),
    ),
    Comparison(
        "vocabulary",
        "How many tokens?",
        (
            replace(_BASE, name="4,096"),
            Arm("8,192", _with(model=replace(BASE.model, vocabulary=8192))),
            Arm("16,384", _with(model=replace(BASE.model, vocabulary=16384))),
        ),
        ("all", "lines"),
    ),
    Comparison(
        "shape",
        "Depth or width, at equal latency of a pass?",
        (
            replace(_BASE, name="4 layers of 128"),
            Arm("2 layers of 192", _with(model=shape(2, 192, 3, 512))),
            Arm("8 layers of 64", _with(model=shape(8, 64, 1, 192))),
        ),
        ("all", "lines"),
    ),
    Comparison(
        "output",
        "Is the output matrix the embedding?",
        (replace(_BASE, name="tied"), Arm("a matrix of its own", _with(model=replace(BASE.model, tied=False)))),
        ("all", "lines"),
    ),
    Comparison(
        "context",
        "Does training see cut contexts?",
        (
            replace(_BASE, name="none"),
            *(Arm(f"{share:.0%} of windows", _with(context=ContextMix(cut=share))) for share in (0.25, 0.5)),
        ),
        ("lines", "cut"),
    ),
    Comparison(
        "compute",
        "What does a doubling of compute give?",
        (
            replace(_BASE, name="1"),
            *(Arm(f"{times:g}", BASE, times) for times in (0.25, 0.5, 2.0)),
        ),
        ("all", "lines"),
    ),
)


def rows_of(arm: Arm, first: Arm, tokens: float) -> float:
    """Training rows of an arm, so that it costs what `tokens` rows of the first arm cost, times its share."""
    base, own = (flops_per_row(AsArm(each.recipe.model), each.recipe.rows) for each in (first, arm))
    return arm.compute * tokens * base / own


def train_arm(recipe: Recipe, rows: float, corpus_folder: Path, runs: Path, compiled: bool) -> Path:
    """The finished run of a recipe over so many rows; arms that agree in both share it."""
    run = next((run for run in sorted(runs.glob("run-*")) if _is(run, recipe, rows)), None)
    if run is None:
        run = runs / f"run-{len(list(runs.glob('run-*'))):03}"
        shared = runs / f"vocabulary-{recipe.model.vocabulary}"
        shared.mkdir(parents=True, exist_ok=True)
        prepare_tokenizer(shared, corpus.load(corpus_folder, "train"), recipe.model.vocabulary)
        run.mkdir()
        shutil.copyfile(shared / TOKENIZER, run / TOKENIZER)
        (run / "arm.json").write_text(json.dumps(_label(recipe, rows)), encoding="utf-8")
    if not (run / "finished").exists():
        train(corpus_folder, run, recipe, rows, validate_every=60.0, compiled=compiled)
        (run / "finished").touch()
    return run


def _label(recipe: Recipe, rows: float) -> dict[str, object]:
    return {"recipe": json.loads(json.dumps(asdict(recipe))), "rows": round(rows)}


def _is(run: Path, recipe: Recipe, rows: float) -> bool:
    return bool(json.loads((run / "arm.json").read_text(encoding="utf-8")) == _label(recipe, rows))


def bits_of(run: Path, recipe: Recipe, passages: Passages, measure_: Measure) -> FloatArray:
    """Bits of each passage's holes, `[N]`, by the run's model."""
    model = AsArm(recipe.model)
    model.load_state_dict(load_checkpoint(run)["model"])
    tokenizer = prepare_tokenizer(run, (), recipe.model.vocabulary)
    bidirectional = recipe.prompting.bidirectional > 0
    lines = encode_passages(passages, tokenizer, recipe.rows, budget=measure_.budget, bidirectional=bidirectional)
    bits: FloatArray = measure(model, lines, recipe.furthest).hole
    return bits


def compare(comparison: Comparison, found: Mapping[tuple[str, str], FloatArray], sizes: Mapping[str, FloatArray]) -> list[Row]:
    """Rows of a comparison from bits `[seeds, N]` by (arm, measure), over the passages' hole bytes `[N]` by measure."""
    rows = []
    first = comparison.arms[0].name
    for arm in comparison.arms:
        for name in comparison.measures:
            bits, size = found[arm.name, name], sizes[name]
            figure = bootstrap(ratio_of_sums, np.stack([bits.mean(0), size], axis=1))
            worse = None
            if arm.name != first:
                worse = bootstrap(ratio_of_sums, np.stack([bits.mean(0) - found[first, name].mean(0), size], axis=1))
            seeds = tuple(float(each.sum() / size.sum()) for each in bits)
            rows.append(Row(comparison.name, arm.name, name, figure, seeds, worse))
    return rows


def plot(rows: Sequence[Row], comparisons: Sequence[Comparison], tokens: float) -> Figure:
    """Bits per byte of each arm and each seed, a panel a comparison."""
    lines = (len(comparisons) + 1) // 2
    figure = Figure(figsize=(10, 1.0 + 1.9 * lines), layout="constrained")
    panels = figure.subplots(lines, 2, squeeze=False).flatten()
    for axes, comparison in zip(panels, comparisons, strict=False):
        measure_ = comparison.measures[0]
        shown = [row for row in rows if row.comparison == comparison.name and row.measure == measure_]
        if comparison.name == "compute":
            shown.sort(key=lambda row: float(row.arm))
            axes.plot([float(row.arm) for row in shown], [row.bits_per_byte.value for row in shown], "o-", ms=4)
            axes.set_xscale("log", base=2)
            axes.set_xlabel(f"compute (1 = {tokens / 1e6:g} million rows)", fontsize=8)
            axes.set_ylabel("bits per byte", fontsize=8)
        else:
            for place, row in enumerate(shown):
                axes.plot(row.seeds, [place] * len(row.seeds), "o", ms=4, alpha=0.7)
                axes.plot([row.bits_per_byte.value], [place], "k|", ms=14)
            axes.set_yticks(range(len(shown)), [row.arm for row in shown], fontsize=8)
            axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_title(f"{comparison.question} ({MEASURES[measure_].about})", fontsize=9)
    for axes in panels[len(comparisons) :]:
        axes.set_visible(False)
    figure.suptitle("Held-out bits per byte in holes at equal compute (dots: seeds, bars: their means)", fontsize=10)
    return figure


def main(argv: Sequence[str] | None = None, comparisons: Sequence[Comparison] = COMPARISONS) -> int:
    parser = report.parser("model_choices", __doc__)
    parser.add_argument("corpus", type=Path, metavar="CORPUS", help="a folder made by lacuna-export corpus")
    parser.add_argument("runs", type=Path, metavar="RUNS", help="the folder that keeps the runs")
    parser.add_argument("--tokens", type=float, default=1e6, metavar="N", help="training rows of the base (default: %(default)g)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs an arm (default: %(default)s)")
    names = [comparison.name for comparison in comparisons]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="TABLE", help=f"some of: {', '.join(names)}")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # so small a model gains nothing from more
    chosen = [comparison for comparison in comparisons if comparison.name in arguments.only]
    arguments.runs.mkdir(parents=True, exist_ok=True)
    tokens = 20_000.0 if arguments.quick else arguments.tokens
    jobs = [(seed, comparison, arm) for seed in range(1, arguments.seeds + 1) for comparison in chosen for arm in comparison.arms]
    done: dict[tuple[str, str, int], Path] = {}
    for seed, comparison, arm in tqdm(jobs, desc="runs", unit="run"):
        rows_ = rows_of(arm, comparison.arms[0], tokens)
        recipe = replace(arm.recipe, seed=seed)
        done[comparison.name, arm.name, seed] = train_arm(recipe, rows_, arguments.corpus, arguments.runs, not arguments.quick)
    rows: list[Row] = []
    held_out = corpus.load(arguments.corpus, "held_out")
    base = comparisons[0].arms[0].recipe
    passages = {
        name: draw_passages(held_out, base.rows, _PASSAGES, _PASSAGES_SEED, each.mix, each.context) for name, each in MEASURES.items()
    }
    sizes = {name: each.hole_bytes for name, each in passages.items()}
    for comparison in chosen:
        found = {
            (arm.name, name): np.stack(
                [
                    bits_of(done[comparison.name, arm.name, seed], arm.recipe, passages[name], MEASURES[name])
                    for seed in range(1, arguments.seeds + 1)
                ]
            )
            for arm in comparison.arms
            for name in comparison.measures
        }
        rows += compare(comparison, found, sizes)
        own = [row for row in rows if row.comparison == comparison.name]
        report.print_table(
            f"{comparison.question} Bits per byte (spread over {arguments.seeds} seeds), worse than the first by [95% over passages]",
            ("", *(f"{MEASURES[name].about}" for name in comparison.measures)),
            [(arm.name, *(_cell(row) for row in own if row.arm == arm.name)) for arm in comparison.arms],
        )
    settings = {"tokens": tokens, "seeds": arguments.seeds, "passages": _PASSAGES, "recipe": asdict(base)}
    report.write(report.folder(arguments), "model_choices", settings, [asdict(row) for row in rows], plot(rows, chosen, tokens))
    return 0


def _cell(row: Row) -> str:
    spread = max(row.seeds) - min(row.seeds)
    worse = "" if row.worse_by is None else f", {row.worse_by.value:+.3f} [{row.worse_by.low:+.3f}, {row.worse_by.high:+.3f}]"
    return f"{row.bits_per_byte.value:.3f} ({spread:.3f}){worse}"


if __name__ == "__main__":
    raise SystemExit(report.run(main))
