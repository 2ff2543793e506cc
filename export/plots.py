"""Plots of a training run."""

from __future__ import annotations

import json
from pathlib import Path


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The records of a run's metrics, one a training step and one a validation, in the order they were written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plot_training(metrics: Path, out: Path) -> None:
    """Training loss and held-out hole loss over tokens seen, from a run's metrics to a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    records = read_metrics(metrics)
    steps = [record for record in records if "loss" in record]
    checks = [record for record in records if "hole_bits_per_byte" in record]
    figure, left = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    trained = [r["tokens"] / 1e6 for r in steps]
    checked = [r["tokens"] / 1e6 for r in checks]
    left.plot(trained, [r["loss"] for r in steps], lw=0.6, color="tab:gray", label="training, all rows (nats/token)")
    left.plot(checked, [r["hole_nats_per_token"] for r in checks], "o-", color="tab:blue", label="held out, holes (nats/token)")
    drafts = [r["draft_nats_per_token"] for r in checks]
    left.plot(checked, drafts, "o-", ms=3, color="tab:green", label="held out, draft rows (nats/token)")
    left.set(xlabel="million rows seen", ylabel="nats per token", ylim=(1.5, 7))
    right = left.twinx()
    bits = [r["hole_bits_per_byte"] for r in checks]
    right.plot(checked, bits, "s--", ms=3, color="tab:red", label="held out, holes (bits/byte)")
    right.set(ylabel="bits per byte of hole text")
    handles = [*left.get_lines(), *right.get_lines()]
    left.legend(handles, [str(line.get_label()) for line in handles], fontsize=8)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
