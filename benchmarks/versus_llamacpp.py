"""Time from a request to its finished fill, against llama.cpp with a causal model of the same shape, in one run on the same cores.

Both sides get the same text, cut by the same tokenizer, and write as many tokens: a line of 12, a block of 60, or four lines in one
passage. Ours fills these jointly; llama.cpp takes four calls, of which each runs only the prompt rows that its cache lacks. Every
request is new to both sides. llama.cpp's weights are random, which its times do not hang on. Ours do: passes hang on how often drafts
are accepted, so that drafts need a trained model. For the shape `base`, of which there is none, our weights are random as well: it is
decoded one token a pass, and once more with the passes and acceptances that the default model had on the same passage.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.borrowed import record, replay
from benchmarks.intervals import FloatArray, Interval, bootstrap
from benchmarks.random_model import write_random_model
from benchmarks.sized_passages import Cutter, Size
from benchmarks.timing import interleave
from benchmarks.widened import widen
from engine.decoders import slots_of_prompt
from engine.decoders.base import prefill
from engine.errors import LacunaError
from engine.local import DEFAULT_MODEL, LocalInfiller
from engine.manifest import checked_file, load_manifest
from engine.onnx_model import OnnxModel
from engine.options import METHODS, FillOptions
from engine.passage import Passage
from engine.prompt_cache import PromptCache
from engine.sampling import Sampler
from engine.text import Text
from export.model import ModelConfig
from export.recipes import load_recipe
from export.torch_twin import load_twin

WINDOW = 2048
RIVALS = ("q8_0", "f32")
SHAPES = ("default", "base")
WARMUP = 2
_BASE = Path(__file__).parents[1] / "export" / "recipe_files" / "base.toml"


@dataclass(frozen=True)
class Job:
    """What is asked for. `target` is how long it may take at the most, in shares of what llama.cpp q8_0 takes."""

    name: str
    holes: int
    tokens: int
    target: float | None

    def size(self, context: int) -> Size:
        return Size(context, self.holes, self.tokens)


JOBS = (Job("one line", 1, 12, 0.7), Job("block", 1, 60, None), Job("four lines", 4, 12, 0.35))


@dataclass(frozen=True)
class Run:
    """One request: its milliseconds, those of them that went to prompts, the passes after these, and the tokens written."""

    elapsed_ms: float
    prompt_ms: float
    passes: int
    tokens: int


Side = Callable[[Passage, int], Run]


def engine_side(folder: Path, precision: str, method: str, threads: int, temperature: float) -> Side:
    infiller = infiller_of(folder, precision, threads)

    def fill(passage: Passage, seed: int) -> Run:
        infiller.prompts = PromptCache()
        began = time.perf_counter()
        result = infiller.fill(passage, FillOptions(temperature=temperature, seed=seed, method=method))
        return Run((time.perf_counter() - began) * 1000, result.prefill_ms, result.passes - 1, result.tokens)

    return fill


def infiller_of(folder: Path, precision: str, threads: int) -> LocalInfiller:
    infiller = LocalInfiller(folder, precision)
    infiller.model = OnnxModel(folder, infiller.manifest, precision, threads)
    return infiller


def borrowing_side(folder: Path, precision: str, guide: LocalInfiller, method: str, threads: int, temperature: float) -> Side:
    """The model of random weights in `folder`, taking the passes that `guide`, which is not timed, takes on the same passage."""
    infiller = infiller_of(folder, precision, threads)
    sampler, asked = Sampler(temperature), slots_of_prompt(method, FillOptions.draft)

    def fill(passage: Passage, seed: int) -> Run:
        tape = record(prefill(guide.model, guide.sequence(passage), asked), method, 1, sampler, seed)
        began = time.perf_counter()
        prefilled = prefill(infiller.model, infiller.sequence(passage), asked)
        drawn = replay(prefilled, tape, method, 1, sampler, seed)[0]
        infiller.text.decode(drawn.tokens)
        return Run((time.perf_counter() - began) * 1000, prefilled.milliseconds, drawn.passes - 1, len(drawn.tokens))

    return fill


def rival_side(file: Path, text: Text, threads: int, temperature: float) -> Side:
    from benchmarks.llamacpp import LlamaCpp

    rival = LlamaCpp(file, text, window=WINDOW, threads=threads)

    def fill(passage: Passage, seed: int) -> Run:
        rival.forget()
        began = time.perf_counter()
        filled = rival.fill(passage, temperature, seed)
        # A prompt's last row asks for the first token, as our prefill does: each call has one pass less than tokens.
        return Run((time.perf_counter() - began) * 1000, filled.prompt_ms, filled.tokens - len(passage.budgets), filled.tokens)

    return fill


def sides_of(shape: str, given: Path, work: Path, threads: int, temperature: float) -> tuple[ModelConfig, dict[str, Side]]:
    """All sides by name, ours first, and the shape that they share. Files that must be made first go to `work`."""
    folder = widen(given, work / "wide", WINDOW)
    manifest = load_manifest(folder)
    ours: dict[str, Side] = {}
    if shape == "default":
        config = load_twin(checked_file(folder, manifest.graphs["float32"]), manifest).config
        for precision in manifest.graphs:
            for method in METHODS:
                ours[f"{method} {precision}"] = engine_side(folder, precision, method, threads, temperature)
    else:
        recipe = load_recipe(_BASE)
        config, large = recipe.model, write_random_model(recipe, folder, work / "base", WINDOW)
        guide = infiller_of(folder, "float32", threads)
        for precision in load_manifest(large).graphs:
            ours[f"sequential {precision}"] = engine_side(large, precision, "sequential", threads, temperature)
            for method in METHODS:
                if method != "sequential":
                    ours[f"{method} {precision}, passes of {manifest.name}"] = borrowing_side(
                        large, precision, guide, method, threads, temperature
                    )
    text = Text(folder, manifest)
    for kind in RIVALS:
        write_rival(work / f"{kind}.gguf", config, kind)
    return config, ours | {f"llama.cpp {kind}": rival_side(work / f"{kind}.gguf", text, threads, temperature) for kind in RIVALS}


def write_rival(file: Path, config: ModelConfig, kind: str) -> None:
    """Raises LacunaError where llama.cpp's packages are missing."""
    try:
        from benchmarks.llamacpp import write_gguf
    except ModuleNotFoundError as error:
        raise LacunaError(f"this benchmark needs {error.name}, which is not installed; pip install 'lacuna-lsp[versus]'") from None
    write_gguf(file, config, kind, WINDOW)


def measure(sides: dict[str, Side], passages: Sequence[Passage], seed: int) -> dict[str, list[Run]]:
    """Every passage on every side, in turns; the first `WARMUP` passages are not counted."""
    runs: dict[str, list[Run]] = {name: [] for name in sides}

    def next_fill(name: str, side: Side) -> Callable[[], None]:
        def fill() -> None:
            number = len(runs[name])
            report.progress(f"passage {number + 1} of {len(passages)}, {name}")
            runs[name].append(side(passages[number], seed + number))

        return fill

    interleave({name: next_fill(name, side) for name, side in sides.items()}, rounds=len(passages) - WARMUP, warmup=WARMUP)
    report.progress("")
    return {name: each[WARMUP:] for name, each in runs.items()}


def median_ratio(samples: FloatArray) -> FloatArray:
    """Median over passages of the first measurement over the second."""
    result: FloatArray = np.asarray(np.median(samples[..., 0] / samples[..., 1], axis=-1))
    return result


@dataclass(frozen=True)
class Row:
    """One side's figures on one job: quartiles of its milliseconds, and its time in shares of each rival's, with 95% intervals."""

    job: str
    context: int
    side: str
    low_ms: float
    median_ms: float
    high_ms: float
    prompt_ms: float
    passes_per_token: float
    ratios: dict[str, Interval]


def summarise(job: Job, context: int, runs: dict[str, list[Run]]) -> list[Row]:
    rows = []
    for side, own in runs.items():
        times = np.array([run.elapsed_ms for run in own])
        low, middle, high = np.percentile(times, (25, 50, 75))
        ratios = {}
        for kind in RIVALS:
            theirs = [run.elapsed_ms for run in runs[f"llama.cpp {kind}"]]
            ratios[kind] = bootstrap(median_ratio, np.stack((times, theirs), axis=1))
        prompt = float(np.median([run.prompt_ms for run in own]))
        passes = sum(run.passes for run in own) / sum(run.tokens for run in own)
        rows.append(Row(job.name, context, side, float(low), float(middle), float(high), prompt, passes, ratios))
    return rows


def plot(rows: Sequence[Row], title: str) -> Figure:
    """Median times by job and context: what the prompt takes below, what decoding takes on top."""
    cases = list(dict.fromkeys((row.job, row.context) for row in rows))
    figure = Figure(figsize=(11, 3.2 * (-(-len(cases) // 3))), layout="constrained")
    for axes, (job, context) in zip(figure.subplots(-(-len(cases) // 3), 3, squeeze=False).flat, cases, strict=False):
        shown = [row for row in rows if (row.job, row.context) == (job, context)][::-1]
        names = [row.side for row in shown]
        colours = ["C7" if name.startswith("llama.cpp") else "C0" for name in names]
        axes.barh(names, [row.prompt_ms for row in shown], color=colours, alpha=0.45)
        rest = axes.barh(names, [row.median_ms - row.prompt_ms for row in shown], left=[row.prompt_ms for row in shown], color=colours)
        axes.bar_label(rest, [f"{row.median_ms:.0f}" for row in shown], padding=3, fontsize=8)
        axes.set_title(f"{job}, {context} tokens around", fontsize=10)
        axes.tick_params(labelsize=8)
        axes.margins(x=0.15)
    figure.supxlabel("ms, median; pale: the prompt", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def verdicts(rows: Sequence[Row]) -> list[str]:
    """A sentence for each job that has a target, on our fastest side."""
    sentences = []
    for job in JOBS:
        for context in dict.fromkeys(row.context for row in rows):
            own = [row for row in rows if (row.job, row.context) == (job.name, context) and not row.side.startswith("llama.cpp")]
            best = min(own, key=lambda row: row.median_ms)
            ratio = best.ratios["q8_0"]
            stand = "faster" if ratio.high < 1 else "slower" if ratio.low > 1 else "neither faster nor slower, as far as this run tells,"
            target = "" if job.target is None else f" The target of {job.target:g} is {'met' if ratio.value <= job.target else 'missed'}."
            sentences.append(
                f"{job.name}, {context} tokens around: {best.side} is {stand} than llama.cpp q8_0, {ratio:.2f} of its time.{target}"
            )
    return sentences


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("versus_llamacpp", __doc__)
    parser.add_argument("--shape", choices=SHAPES, default="default", help="the default model, or the recipe base (default: %(default)s)")
    parser.add_argument(
        "--contexts", type=int, nargs="+", metavar="N", default=(512, 1500), help="tokens around the holes (default: 512 1500)"
    )
    parser.add_argument("--passages", type=int, metavar="N", default=24, help="passages for each job (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", default=1, help="threads on both sides (default: %(default)s)")
    parser.add_argument("--temperature", type=float, metavar="T", default=FillOptions.temperature, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="chooses the passages and seeds the draws (default: %(default)s)")
    arguments = parser.parse_args(argv)
    count = 2 if arguments.quick else arguments.passages
    if count < 1:
        raise LacunaError(f"the number of passages must be at least 1, not {count}")
    given = arguments.model or DEFAULT_MODEL
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as work:
        config, sides = sides_of(arguments.shape, given, Path(work), arguments.threads, arguments.temperature)
        cutter = Cutter(Text(given, load_manifest(given)))
        for context in (64,) if arguments.quick else arguments.contexts:
            for job in JOBS:
                size = job.size(context)
                if size.rows > WINDOW - 8:
                    raise LacunaError(
                        f"{size.rows} tokens are beyond the window of {WINDOW} that both sides are given; name fewer with --contexts"
                    )
                passages = cutter.cut(size, count + WARMUP, arguments.seed)
                rows += summarise(job, context, measure(sides, passages, arguments.seed))
    shape = f"{config.layers} + 1 layers of width {config.width}, vocabulary {config.vocabulary}"
    report.print_table(
        f"{shape}; {count} passages a job, {arguments.threads} thread(s), temperature {arguments.temperature:g}; "
        "median ms [quartiles]; ratios are medians over passages with 95% bootstrap intervals",
        (
            "job",
            "tokens around",
            "side",
            "request to fill, ms",
            "of it the prompt",
            "passes per token",
            *(f"/ llama.cpp {kind}" for kind in RIVALS),
        ),
        [
            (
                row.job,
                f"{row.context}",
                row.side,
                f"{row.median_ms:.1f} [{row.low_ms:.1f}, {row.high_ms:.1f}]",
                f"{row.prompt_ms:.1f}",
                f"{row.passes_per_token:.2f}",
                *(f"{row.ratios[kind]:.2f}" for kind in RIVALS),
            )
            for row in rows
        ],
    )
    told = verdicts(rows)
    print("\n".join(told))
    settings: dict[str, Any] = {
        "shape": config.as_dict(),
        "passages": count,
        "threads": arguments.threads,
        "temperature": arguments.temperature,
        "seed": arguments.seed,
        "verdicts": told,
    }
    name = "versus_llamacpp" if arguments.shape == "default" else f"versus_llamacpp_{arguments.shape}"
    report.write(report.folder(arguments), name, settings, [asdict(row) for row in rows], plot(rows, shape))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
