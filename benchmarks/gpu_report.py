"""What benchmarks/gpu.py found, kept part by part in one file, and told as tables in which each figure that nobody measured says so."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import report
from benchmarks.gpu_batches import ALTERNATIVES, USERS
from benchmarks.gpu_batches import METHODS as BATCHED
from benchmarks.gpu_fills import CACHED, CACHED_COMPILED, ENGINE, PUBLISHED, PUBLISHED_COMPILED
from benchmarks.gpu_fills import METHODS as FILLING
from benchmarks.gpu_floor import PREFILL, decoding
from benchmarks.gpu_passes import COMPILED, EAGER, GRAPHS, LAUNCHES
from benchmarks.gpu_same import METHODS, PRECISIONS
from benchmarks.gpu_setup import BASE, Sizes
from engine.errors import LacunaError

NOT_MEASURED = "not measured"
NAME = "gpu"
# Targets, on a GPU of an H200's class: a pass at batch 1 in times of its floor, a line's fill in ms, and the published algorithm's time
# over it.
MOST_FLOORS, MOST_FILL_MS, LEAST_FASTER = 2, 15, 10
_PAGES = (Path(__file__).parents[1] / "docs" / "gpu.md", Path(__file__).parents[1] / "README.md")

Row = Mapping[str, Any]
Figures = Mapping[str, Sequence[Row]]  # rows by part


@dataclass(frozen=True)
class Table:
    """`parts` are those that it has figures of."""

    title: str
    parts: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return f"{self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def card(device: str) -> dict[str, str]:
    """The name of the card, and what drives it, as the driver gives them; of the processor where the device is the CPU."""
    if not device.startswith("cuda"):
        return {"card": report.machine()["cpu"], "driver": ""}
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout.split("\n")[0].strip()
    except (OSError, subprocess.SubprocessError):
        driver = "unknown"
    return {"card": torch.cuda.get_device_name(device), "driver": driver}


def load(out: Path) -> list[dict[str, Any]]:
    """The parts that were measured before; none where there is no file. Raises LacunaError for one that can't be read."""
    file = out / f"{NAME}.json"
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        raise LacunaError(f"{file} holds no results of this benchmark; move it away") from None
    return list(rows)


def merged(before: Sequence[dict[str, Any]], now: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured before and now, this part's former figures and those of other cards left out."""
    same = [part for part in before if part["part"] != now["part"] and (part["device"], part["card"]) == (now["device"], now["card"])]
    return [*same, now]


def write(out: Path, parts: Sequence[dict[str, Any]], settings: Mapping[str, Any], sizes: Sizes) -> None:
    report.write(out, NAME, settings, parts, plot(figures(parts), sizes))


def figures(parts: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[Row]]:
    return {part["part"]: part["figures"] for part in parts}


def tables(found: Figures, sizes: Sizes) -> list[Table]:
    """All of them, the targets first."""
    return [_targets(found), _rates(found, sizes), _passes(found, sizes), _fills(found, sizes), _batches(found, sizes), _same(found, sizes)]


def _pick(rows: Sequence[Row], **wanted: Any) -> Row | None:
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)


def _cell(row: Row | None, value: Callable[[Row], str]) -> str:
    return NOT_MEASURED if row is None else value(row)


def _figure(row: Row | None, key: str, scale: float = 1.0) -> str:
    return NOT_MEASURED if row is None or key not in row else _interval(row[key], scale)


def _difference(row: Row | None, key: str) -> str:
    return NOT_MEASURED if row is None else f"{row[key]:.1e}"


def _interval(figure: Mapping[str, float], scale: float = 1.0, digits: int = 3) -> str:
    """To so many significant digits, with its bounds."""
    value, low, high = (_short(figure[key] * scale, digits) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _short(value: float, digits: int = 3) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _verdict(row: Row | None, key: str, target: float, *, most: bool) -> tuple[str, str]:
    if row is None or key not in row:
        return NOT_MEASURED, NOT_MEASURED
    value = row[key]["value"]
    return _interval(row[key]), "met" if (value <= target if most else value >= target) else "missed"


def _targets(found: Figures) -> Table:
    context = 512
    rows = []
    for number in (1, 6, 9):
        row = _pick(found.get("passes", ()), shape=BASE, context=context, **{"pass": decoding(number)}, side=GRAPHS)
        told = f"a pass of {decoding(number)} rows over {context}, in times of its floor"
        rows.append((told, f"<= {MOST_FLOORS}", *_verdict(row, "times_floor", MOST_FLOORS, most=True)))
    for method in FILLING:
        row = _pick(found.get("fills", ()), shape=BASE, side=ENGINE.format(method))
        told = f"a line of 12 tokens in a context of {context}, by {method}, ms"
        rows.append((told, f"<= {MOST_FILL_MS}", *_verdict(row, "fill_ms", MOST_FILL_MS, most=True)))
    for method in FILLING:
        row = _pick(found.get("fills", ()), shape=BASE, side=ENGINE.format(method))
        told = f"time of the published algorithm in torch eager over that of {method}"
        rows.append((told, f">= {LEAST_FASTER}", *_verdict(row, "times_faster", LEAST_FASTER, most=False)))
    columns = ("29.3M parameters, float16, batch 1", "target", "median [95%]", "")
    return Table("What is aimed at:", ("passes", "fills"), columns, rows)


def _rates(found: Figures, sizes: Sizes) -> Table:
    rows = found.get("floor", ())
    wanted = (
        "one kernel, waited for",
        "a kernel among many",
        "a CUDA graph of one kernel, waited for",
        "a kernel among many in a CUDA graph",
    )
    launches = [
        (f"{name}, µs", _cell(_pick(rows, kind="launch", figure=name), lambda row: _interval(row["microseconds"]))) for name in wanted
    ]
    reads = []
    for shape in sizes.shapes:
        for context in dict.fromkeys((sizes.contexts[0], sizes.contexts[-1])):
            row = _pick(rows, kind="floor", shape=shape, context=context, **{"pass": decoding(sizes.rows[0])})
            told = f"reading what {decoding(sizes.rows[0])} rows of {shape} over {context:,} read, GB/s"
            reads.append((told, _cell(row, lambda row: f"{_interval(row['bytes_per_s'], 1e-9)}, {row['bytes'] / 1e6:,.1f} MB")))
    product = _pick(rows, kind="products")
    told = f"product of two float16 matrices of {sizes.matrix} x {sizes.matrix}, TFLOP/s"
    products = (told, _cell(product, lambda row: _interval(row["per_s"], 1e-12)))
    loads = []
    for shape in sizes.shapes:
        row = next((row for row in found.get("passes", ()) if row["shape"] == shape and row["side"] == GRAPHS and "load_s" in row), None)
        loads.append((f"loading {shape} and making its commonest passes ready, once, s", _cell(row, lambda row: _short(row["load_s"]))))
    title = "The device's rates, from which floors follow, and how long the engine takes to be ready:"
    return Table(title, ("floor", "passes"), ("", "median [95%]"), [*reads, products, *launches, *loads])


def _passes(found: Figures, sizes: Sizes) -> Table:
    rows = []
    for shape in sizes.shapes:
        for context in sizes.contexts:
            for name in (PREFILL, *map(decoding, sizes.rows)):
                key = {"shape": shape, "context": context, "pass": name}
                floor = _pick(found.get("floor", ()), kind="floor", **key)
                sides = [
                    _cell(_pick(found.get(part, ()), **key, side=side), _pass_cell)
                    for part, side in (("passes", GRAPHS), ("passes", LAUNCHES), ("torch", EAGER), ("compiled", COMPILED))
                ]
                rows.append((shape, name, f"{context:,}", _cell(floor, lambda row: _short(row["floor_ms"])), *sides))
    columns = ("shape", "pass", "rows before it", "floor, ms", "engine, CUDA graphs", "without them", EAGER, COMPILED)
    title = "A pass at batch 1 until its logits are on the host, median ms (in times of its floor); a prefill is of so many rows:"
    return Table(title, ("floor", "passes", "torch", "compiled"), columns, rows)


def _pass_cell(row: Row) -> str:
    return f"{_short(row['ms']['value'])} ({_short(row['times_floor']['value'], 2)})"


def _fills(found: Figures, sizes: Sizes) -> Table:
    sides = [
        *((("fills",), ENGINE.format(method)) for method in FILLING),
        (("fills", "torch", "compiled"), PUBLISHED),
        (("fills", "torch", "compiled"), CACHED),
        (("compiled",), PUBLISHED_COMPILED),
        (("compiled",), CACHED_COMPILED),
    ]
    rows = []
    for shape in sizes.shapes:
        for parts, side in sides:
            row = next((row for part in parts if (row := _pick(found.get(part, ()), shape=shape, side=side))), None)
            told = [_figure(row, key) for key in ("fill_ms", "tokens_per_s", "ms_per_token")]
            passes = _cell(row, lambda row: f"{row['passes_per_token']:.2f}")
            rows.append((shape, side, *told, passes, _figure(row, "times_faster")))
    columns = ("shape", "side", "fill, ms", "tokens a second", "ms per token", "passes per token", "published in torch eager / this")
    title = f"A line of {sizes.tokens} tokens in a context of {sizes.around}, from an empty cache, batch 1; median [95%]:"
    return Table(title, ("fills", "torch", "compiled"), columns, rows)


def _batches(found: Figures, sizes: Sizes) -> Table:
    kinds = [*((ALTERNATIVES, method) for method in BATCHED), (USERS, "fused")]
    found_rows = found.get("batches", ())
    rows = []
    for count in sizes.batches:
        picked = [_pick(found_rows, shape=shape, kind=kind, method=method, count=count) for shape in sizes.shapes for kind, method in kinds]
        rows.append((str(count), *(_cell(row, lambda row: _interval(row["tokens_per_s"])) for row in picked)))
    columns = ("at once", *(f"{shape}, {kind}, {method}" for shape in sizes.shapes for kind, method in kinds))
    title = (
        "Tokens a second of all together: alternatives of one passage, their prompt paid for before, and users' passages, which the "
        "engine fills one after another, their prompts included:"
    )
    return Table(title, ("batches",), columns, rows)


def _same(found: Figures, sizes: Sizes) -> Table:
    compared = found.get("same", ())
    picked = {precision: _pick(compared, precision=precision, shape=None) for precision in PRECISIONS}
    shares = {
        **{f"greedy fills by {method} that equal the CPU's in float32, %": f"{method}_equal" for method in METHODS},
        "passages in which all methods draw the same": "methods_agree",
    }
    largest = {
        "largest difference of logits from the CPU's in float32": "largest_logit_difference",
        "the same between a density by one pass and by the chain rule, nats a token": "one_pass_and_chain_rule",
        "the same between passes over a cache and over all rows anew, nats a token": "cached_and_uncached",
    }
    rows = [(told, *(_figure(row, key, 100) for row in picked.values())) for told, key in shares.items()]
    for told, key in largest.items():
        rows.append((told, *(_difference(row, key) for row in picked.values())))
    for shape in sizes.shapes:
        for context in sizes.contexts:
            beside = [_pick(compared, precision=precision, shape=shape, context=context) for precision in PRECISIONS]
            told = f"largest difference of logits from torch's in float32: {shape}, passes over {context:,} rows"
            rows.append((told, *(_difference(row, "largest_logit_difference") for row in beside)))
    title = "The trained model on the device beside the CPU, and those of random weights, in the precision that is timed, beside torch:"
    return Table(title, ("same",), ("", *PRECISIONS), rows)


def section(parts: Sequence[Mapping[str, Any]], sizes: Sizes, *, targets_alone: bool = False) -> str:
    """All tables of what was measured on a GPU, with the card's name."""
    measured = [part for part in parts if part["device"].startswith("cuda") and not part["quick"]]
    told = tables(figures(measured), sizes)
    if targets_alone:
        return "\n\n".join([_where(measured), told[0].markdown()])
    missing = "\n".join(f"- {part['part']}: {what}: {why}" for part in measured for what, why in part["missing"].items())
    why = [f"Why some are missing:\n\n{missing}"] if missing else []
    return "\n\n".join([_where(measured), *(table.markdown() for table in told), *why])


def _where(measured: Sequence[Mapping[str, Any]]) -> str:
    if not measured:
        return "No GPU has been at hand yet, so that nothing here is measured."
    last = measured[-1]
    packages = ", ".join(f"{name} {version}" for name, version in last["machine"]["packages"].items())
    return f"{last['card']}, driver {last['driver']}; {packages}; {last['machine']['date']}."


def fill_pages(out: Path, sizes: Sizes) -> list[Path]:
    """Write the tables anew into the pages that have marks for them; returns these pages."""
    parts, written = load(out), []
    for page in _PAGES:
        before = text = page.read_text(encoding="utf-8") if page.exists() else ""
        for mark, targets_alone in ((f"benchmarks/results/{NAME}.json", False), (f"benchmarks/results/{NAME}.json, targets", True)):
            text = _between(text, mark, section(parts, sizes, targets_alone=targets_alone))
        if text != before:
            page.write_text(text, encoding="utf-8")
            written.append(page)
    return written


def _between(text: str, mark: str, content: str) -> str:
    begin, end = f"<!-- {mark}: begin -->\n", f"<!-- {mark}: end -->"
    if begin not in text or end not in text:
        return text
    head, rest = text.split(begin, 1)
    return f"{head}{begin}{content}\n{end}{rest.split(end, 1)[1]}"


def plot(found: Figures, sizes: Sizes) -> Figure:
    """Passes beside their floors by context, fills by side, and tokens a second by batch; a panel without figures says so."""
    figure = Figure(figsize=(15, 4.5 * len(sizes.shapes)), layout="constrained")
    for line, shape in zip(figure.subplots(len(sizes.shapes), 3, squeeze=False), sizes.shapes, strict=True):
        for axes, draw in zip(line, (_plot_passes, _plot_fills, _plot_batches), strict=True):
            draw(axes, found, shape, sizes)
            if not axes.has_data():
                axes.text(0.5, 0.5, NOT_MEASURED, ha="center", va="center", transform=axes.transAxes)
            axes.set_title(f"{shape}: {axes.get_title()}", fontsize=10)
    return figure


def _plot_passes(axes: Axes, found: Figures, shape: str, sizes: Sizes) -> None:
    name = decoding(sizes.rows[0])

    def of(part: str) -> list[Row]:
        return [row for row in found.get(part, ()) if row.get("pass") == name and row["shape"] == shape]

    points: dict[str, list[tuple[int, float]]] = {}
    for row in (*of("passes"), *of("torch"), *of("compiled")):
        points.setdefault(row["side"], []).append((row["context"], row["ms"]["value"]))
    points["floor"] = [(row["context"], row["floor_ms"]) for row in of("floor")]
    for side, own in points.items():
        if own:
            axes.plot(*zip(*own, strict=True), marker="o", linestyle="--" if side == "floor" else "-", label=side)
            axes.legend(fontsize=8)
    axes.set_title(f"a pass of {name} rows, ms")
    axes.set_xlabel("rows before it")


def _plot_fills(axes: Axes, found: Figures, shape: str, sizes: Sizes) -> None:
    filled = [row for part in ("torch", "compiled", "fills") for row in found.get(part, ()) if "fill_ms" in row and row["shape"] == shape]
    rows = {row["side"]: row["fill_ms"]["value"] for row in filled}
    if rows:
        axes.bar_label(axes.barh(list(rows), list(rows.values())), [_short(value) for value in rows.values()], fontsize=8)
    axes.set_title(f"a fill of {sizes.tokens} tokens, ms")


def _plot_batches(axes: Axes, found: Figures, shape: str, sizes: Sizes) -> None:
    for kind, method in (*((ALTERNATIVES, method) for method in BATCHED), (USERS, "fused")):
        rows = [row for row in found.get("batches", ()) if (row["shape"], row["kind"], row["method"]) == (shape, kind, method)]
        if rows:
            points = [row["tokens_per_s"]["value"] for row in rows]
            axes.plot([row["count"] for row in rows], points, marker="o", label=f"{kind}, {method}")
            axes.legend(fontsize=8)
    axes.set_title("tokens a second of all together")
    axes.set_xlabel("at once")
