"""Does the likelihood that hover shows mean anything? Claimed probabilities of hole tokens against how often they come true.

Windows of source files get holes as training draws them, several at once; one teacher-forced pass a window gives each hole
token's conditional, end marks included. Without --corpus the files are this project's own, which are in no training corpus; their
windows overlap. Intervals at 95%: Wilson's in the plot, which takes tokens for independent; a bootstrap over windows elsewhere.
A model doesn't see of which kind a hole is, so that even one without fault may claim too much in one kind and too little in another.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.intervals import Interval, bootstrap, ratio_of_sums
from benchmarks.reliability import (
    Bin,
    BoolArray,
    FloatArray,
    IntArray,
    best_temperature,
    calibration_error_interval,
    chance_error,
    equal_mass,
    temperature_interval,
)
from engine.errors import LacunaError
from engine.local import LocalInfiller, load_infiller
from engine.sampling import log_softmax
from engine.scoring import conditionals
from engine.sequence import MaskedSequence, mask
from export.holes import HoledText, draw_budget, make_holes

BINS = 15
CLASS_BINS = 20
LEAST_CLAIM = 0.01  # of the claims on tokens that are not the likeliest, those below say little and are many
TEMPERATURES: FloatArray = 2.0 ** np.linspace(-1, 1, 41)
AS_IT_IS = 20  # the temperature 1 among them
ALL = "all tokens"
_OWN = ("benchmarks", "engine", "export", "lsp_server", "tests")
_MOST_CHARACTERS_A_ROW = 6
_BESIDE_TEXT = 24  # rows kept free for tokens that holes split


@dataclass(frozen=True)
class Tokens:
    """The hole tokens of all windows.

    `[N]` each: the `window` they stand in and the `kind` of their hole; the likeliest token's probability `top` and whether
    it was `right`; the end mark's probability `end` and whether it `ended` there; the `brier` score over the vocabulary;
    `losses` `[N, T]`, nats at each of `TEMPERATURES`. `claims` and `came_true` `[M]`: all probabilities of at least
    `LEAST_CLAIM`, whatever the token. `hole_bytes` `[W]`: bytes of hole text a window.
    """

    window: IntArray
    kind: NDArray[np.str_]
    top: FloatArray
    right: BoolArray
    end: FloatArray
    ended: BoolArray
    brier: FloatArray
    losses: FloatArray
    claims: FloatArray
    came_true: BoolArray
    hole_bytes: FloatArray

    def per_window(self, values: FloatArray, which: BoolArray) -> FloatArray:
        """Sums over the chosen tokens of each window: `[N, ...]` to `[W, ...]`."""
        sums = np.zeros((len(self.hole_bytes), *values.shape[1:]))
        np.add.at(sums, self.window[which], values[which])
        return sums


@dataclass(frozen=True)
class Row:
    """Figures of one group of tokens: the mean claim for the likeliest token against its share of hits, and how they differ."""

    group: str
    tokens: int
    claimed: float
    observed: Interval
    calibration_error: Interval
    error_by_chance: float
    brier: Interval
    nats_per_token: Interval
    temperature: Interval


def texts(folder: Path | None) -> list[str]:
    """The held-out files of a corpus, or without one this project's own. Raises LacunaError for a folder that is no corpus."""
    if folder is None:
        root = Path(__file__).parents[1]
        found = [file.read_text(encoding="utf-8") for package in _OWN for file in sorted((root / package).rglob("*.py"))]
    else:
        from export import corpus

        found = [file.text for file in corpus.load(folder, "held_out")]
    return [text for text in found if text]


def draw(files: Sequence[str], sizes: Sequence[int], infiller: LocalInfiller, rng: random.Random) -> tuple[HoledText, MaskedSequence]:
    """A window of nearly as many rows as the model takes, with holes, from a file drawn by its size."""
    manifest = infiller.manifest
    room = infiller.window - _BESIDE_TEXT
    while True:
        file = rng.choices(files, cum_weights=sizes)[0]
        start = max(0, rng.randrange(-manifest.window, len(file)))
        text = file[start : start + _MOST_CHARACTERS_A_ROW * room]
        while (taken := infiller.count_tokens(text)) > room:
            text = text[: min(len(text) - 1, len(text) * room // taken)]
        holed = make_holes(text, rng)
        sequence = mask(
            [infiller.text.encode(piece) for piece in holed.pieces],
            [draw_budget(infiller.count_tokens(hole) + 1, rng) for hole in holed.holes],
            manifest.special_ids,
            at_start=start == 0,
            at_end=start + len(text) == len(file),
            order=manifest.prompt_order,
        )
        # Budgets may reach beyond the positions of a model that was trained with smaller ones.
        if max(sequence.positions.max(), sequence.slots[-1][-1]) < manifest.longest_position:
            return holed, sequence


def collect(infiller: LocalInfiller, files: Sequence[str], windows: int, seed: int) -> Tokens:
    """Draw the windows and run one pass on each."""
    sizes = np.cumsum([len(file) for file in files]).tolist()
    rng = random.Random(f"calibration/{seed}")
    parts: list[dict[str, Any]] = []
    hole_bytes = []
    for number in range(windows):
        report.progress(f"window {number + 1} of {windows}")
        holed, sequence = draw(files, sizes, infiller, rng)
        fills = [[*infiller.text.encode(hole), infiller.model.eoh] for hole in holed.holes]
        part = judged(conditionals(infiller.model, sequence, fills), np.concatenate(fills), infiller.model.eoh)
        part["window"] = np.full(len(part["top"]), number)
        part["kind"] = np.repeat(holed.kinds, [len(fill) for fill in fills])
        parts.append(part)
        hole_bytes.append(sum(len(hole.encode()) for hole in holed.holes))
    report.progress("")
    return Tokens(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, hole_bytes=np.array(hole_bytes, float))


def judged(logits: NDArray[Any], tokens: IntArray, eoh: int) -> dict[str, Any]:
    """What the conditionals `[N, V]` say of the tokens `[N]` that are there: fields of `Tokens`."""
    logprobs = log_softmax(logits)
    probabilities = np.exp(logprobs)
    rows = np.arange(len(tokens))
    best = logprobs.argmax(axis=-1)
    true = probabilities[rows, tokens]
    large = probabilities >= LEAST_CLAIM
    losses = [-log_softmax(logprobs / temperature)[rows, tokens] for temperature in TEMPERATURES]
    return {
        "top": probabilities[rows, best],
        "right": best == tokens,
        "end": probabilities[:, eoh],
        "ended": tokens == eoh,
        "brier": (probabilities**2).sum(axis=-1) - 2 * true + 1,
        "losses": np.stack(losses, axis=-1),
        "claims": probabilities[large],
        "came_true": (np.arange(logits.shape[-1]) == tokens[:, None])[large],
    }


def groups(tokens: Tokens) -> dict[str, BoolArray]:
    """Which tokens `[N]` belong to each line of the table."""
    kinds = {f"in holes of kind {kind}": tokens.kind == kind for kind in sorted(set(tokens.kind.tolist()))}
    return {ALL: np.ones(len(tokens.top), dtype=bool), **kinds}


def summarise(group: str, tokens: Tokens, which: BoolArray) -> Row:
    count = tokens.per_window(np.ones(len(which)), which)
    present = count > 0

    def mean(values: FloatArray) -> Interval:
        return bootstrap(ratio_of_sums, np.stack([tokens.per_window(values, which), count], axis=-1)[present])

    top, right = tokens.top[which], tokens.right[which]
    return Row(
        group=group,
        tokens=int(which.sum()),
        claimed=float(top.mean()),
        observed=mean(tokens.right.astype(float)),
        calibration_error=calibration_error_interval(top, right, tokens.window[which], BINS),
        error_by_chance=chance_error(top, BINS),
        brier=mean(tokens.brier),
        nats_per_token=mean(tokens.losses[:, AS_IT_IS]),
        temperature=temperature_interval(TEMPERATURES, tokens.per_window(tokens.losses, which)[present]),
    )


def bits_per_byte(tokens: Tokens) -> tuple[Interval, Interval, Interval]:
    """Of hole text: as it is, at the temperature that suits the other half of the windows, and what that gains."""
    losses = tokens.per_window(tokens.losses, np.ones(len(tokens.top), dtype=bool)) / np.log(2)
    half = np.arange(len(losses)) % 2 == 1
    suited = np.where(half, losses[~half].sum(axis=0).argmin(), losses[half].sum(axis=0).argmin())
    before, after = losses[:, AS_IT_IS], losses[np.arange(len(losses)), suited]
    before_interval, after_interval, gain = (
        bootstrap(ratio_of_sums, np.stack([bits, tokens.hole_bytes], axis=-1)) for bits in (before, after, before - after)
    )
    return before_interval, after_interval, gain


def _reliability(axes: Axes, bins: Sequence[Bin], label: str) -> None:
    claimed = [part.claimed for part in bins]
    observed = np.array([part.observed for part in bins])
    errors = np.abs(np.array([(part.low, part.high) for part in bins]).T - observed)
    axes.errorbar(claimed, observed, yerr=errors, fmt="o-", markersize=4, linewidth=1, capsize=2, label=label)
    axes.set_xlabel("probability claimed")
    axes.set_ylabel("share that came true")


def plot(tokens: Tokens, likeliest: Sequence[Bin], every: Sequence[Bin], end_mark: Sequence[Bin]) -> Figure:
    """Reliability of the likeliest token, of every token with a fair claim, and the loss against the temperature."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes in (left, middle):
        axes.plot((0, 1), (0, 1), color="0.6", linewidth=1)
    _reliability(left, likeliest, "the likeliest token")
    left.set_title("the likeliest token", fontsize=10)
    _reliability(middle, every, "every token")
    _reliability(middle, end_mark, "the end mark alone")
    middle.set_title(f"claims of {LEAST_CLAIM:g} or more", fontsize=10)
    middle.legend(loc="upper left")
    middle.set(xscale="log", yscale="log", xlim=(LEAST_CLAIM * 0.8, 1.2), ylim=(LEAST_CLAIM * 0.3, 1.4))
    for axis in (middle.xaxis, middle.yaxis):
        axis.set_major_formatter("{x:g}")
    losses = tokens.losses.mean(axis=0)
    best = float(best_temperature(TEMPERATURES, losses))
    right.plot(TEMPERATURES, losses)
    right.axvline(1, color="0.6", linewidth=1)
    right.plot(best, losses.min(), "o", color="C3", label=f"least at {best:.2f}")
    right.legend()
    right.set_title("loss of all hole tokens", fontsize=10)
    right.set_xlabel("temperature")
    right.set_ylabel("nats per token")
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    parser = report.parser("calibration", __doc__)
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="a corpus, for its held-out files (default: this project's own files)")
    parser.add_argument("--windows", type=int, metavar="N", default=400, help="windows (default: %(default)s)")
    parser.add_argument("--precision", metavar="P", default="float32", help="the graph that is measured (default: %(default)s)")
    parser.add_argument("--seed", type=int, metavar="S", default=0, help="chooses windows and holes (default: %(default)s)")
    arguments = parser.parse_args(argv)
    windows = 12 if arguments.quick else arguments.windows
    if windows < 2:
        raise LacunaError(f"calibration needs at least 2 windows, not {windows}")
    infiller = load_infiller(arguments.model, arguments.precision)
    source = "own files" if arguments.corpus is None else "held-out files of a corpus"
    tokens = collect(infiller, texts(arguments.corpus), windows, arguments.seed)
    if not tokens.hole_bytes.any():
        raise LacunaError(f"all holes of these {windows} windows are empty; ask for more windows")
    rows = [summarise(group, tokens, which) for group, which in groups(tokens).items()]
    before, after, gain = bits_per_byte(tokens)
    likeliest = equal_mass(tokens.top, tokens.right, BINS)
    every = equal_mass(tokens.claims, tokens.came_true, CLASS_BINS)
    fair = tokens.end >= LEAST_CLAIM
    end_mark = equal_mass(tokens.end[fair], tokens.ended[fair], BINS)
    end_error = calibration_error_interval(tokens.end, tokens.ended, tokens.window, BINS)
    report.print_table(
        f"{windows} windows ({source}), {infiller.model_name} in {arguments.precision}; 95% bootstrap intervals over windows",
        ("tokens", "number", "claimed", "came true", "calibration error", "by chance", "Brier score", "nats per token", "best temperature"),
        [
            (
                row.group,
                f"{row.tokens:,}",
                f"{row.claimed:.3f}",
                f"{row.observed:.3f}",
                f"{row.calibration_error:.3f}",
                f"{row.error_by_chance:.3f}",
                f"{row.brier:.3f}",
                f"{row.nats_per_token:.2f}",
                f"{row.temperature:.2f}",
            )
            for row in rows
        ],
    )
    print(
        f"Hole text: {before:.3f} bits per byte as it is, {after:.3f} at the temperature that suits the other half of the windows, "
        f"better by {gain:.4f}. A best temperature above 1 means overconfidence, below 1 underconfidence."
    )
    print(
        f"That the hole ends here is claimed with {tokens.end.mean():.3f} in the mean and true at {tokens.ended.mean():.3f} of the places; "
        f"calibration error {end_error:.4f}, by chance {chance_error(tokens.end, BINS):.4f}."
    )
    settings = {
        "source": source,
        "windows": windows,
        "seed": arguments.seed,
        "model": infiller.model_name,
        "precision": arguments.precision,
        "provider": infiller.provider,
        "bits_per_byte": {"as_it_is": asdict(before), "at_the_other_half_s_temperature": asdict(after), "gain": asdict(gain)},
        "likeliest_token": [asdict(part) for part in likeliest],
        "every_token": [asdict(part) for part in every],
        "end_mark": {
            "claimed": float(tokens.end.mean()),
            "observed": float(tokens.ended.mean()),
            "calibration_error": asdict(end_error),
            "bins": [asdict(part) for part in end_mark],
        },
    }
    report.write(report.folder(arguments), "calibration", settings, [asdict(row) for row in rows], plot(tokens, likeliest, every, end_mark))
    return 0


if __name__ == "__main__":
    sys.exit(report.run(main))
