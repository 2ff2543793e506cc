"""A browsable report of every fill and its verdict: one HTML page that needs nothing from outside, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from benchmarks.infilling_runs import Outcome
from benchmarks.sandbox import VERDICTS

_PROMPT_LINES = 30  # of the text before and after a hole that the page shows

_STYLE = """
body{font:14px/1.4 system-ui,sans-serif;margin:1.5em auto;max-width:1100px;color:#222;background:#fff}
label{margin-right:1em}select{font:inherit}
details{border:1px solid #ccc;border-radius:4px;margin:.3em 0;padding:.2em .6em}summary{cursor:pointer}
pre{background:#f6f6f6;padding:.5em;overflow-x:auto;white-space:pre-wrap}
.passed summary b{color:#06752b}.failed summary b{color:#a3260f}.hole{background:#ffe9a8}.got{background:#cfe6ff}
.same{color:#06752b}td,th{padding:.1em .8em .1em 0;text-align:left}
"""
_SCRIPT = """
const pick={way:document.getElementById('way'),verdict:document.getElementById('verdict')};
function show(){let n=0;for(const d of document.querySelectorAll('details')){
const on=Object.entries(pick).every(([k,s])=>!s.value||d.dataset[k]===s.value);d.hidden=!on;n+=on}
document.getElementById('count').textContent=n+' fills'}
for(const s of Object.values(pick))s.onchange=show;show();
"""


def write_report(folder: Path, title: str, outcomes: Sequence[Outcome]) -> None:
    """Write `index.html` and `outcomes.jsonl` into `folder`. Raises OSError where that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "outcomes.jsonl").open("w", encoding="utf-8") as lines:
        for outcome in outcomes:
            lines.write(json.dumps(_record(outcome)) + "\n")
    (folder / "index.html").write_text("\n".join(_page(title, outcomes)), encoding="utf-8")


def _record(outcome: Outcome) -> dict[str, object]:
    return {
        "task": outcome.task.name,
        "way": outcome.way,
        "seed": outcome.seed,
        "verdict": outcome.verdict,
        "parses": outcome.parses,
        "exact": outcome.exact,
        "logprob": outcome.filled.logprob,
        "tokens": outcome.filled.tokens,
        "pieces": outcome.task.pieces,
        "expected": outcome.task.expected,
        "got": outcome.filled.texts,
    }


def _page(title: str, outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(title)}</title><style>{_STYLE}</style>"
    yield f"<h1>{escape(title)}</h1><p><label>way {_select('way', sorted({f'{o.task.kind}: {o.way}' for o in outcomes}))}</label>"
    yield f"<label>verdict {_select('verdict', VERDICTS)}</label><span id='count'></span></p>"
    for outcome in outcomes:
        yield from _entry(outcome)
    yield f"<script>{_SCRIPT}</script></html>"


def _select(name: str, values: Sequence[str]) -> str:
    options = "".join(f"<option>{escape(value)}</option>" for value in values)
    return f"<select id='{name}'><option value=''>all</option>{options}</select>"


def _entry(outcome: Outcome) -> Iterator[str]:
    task, filled = outcome.task, outcome.filled
    way = escape(f"{task.kind}: {outcome.way}", quote=True)
    yield f"<details class='{'passed' if outcome.passed else 'failed'}' data-way='{way}' data-verdict='{outcome.verdict}'>"
    exact = " <span class='same'>word for word</span>" if outcome.exact else ""
    yield f"<summary><b>{outcome.verdict}</b>{exact} {escape(task.name)} <small>{way}, seed {outcome.seed}, "
    yield f"log-likelihood {filled.logprob:.2f} nats, {filled.tokens} tokens</small></summary>"
    got = filled.texts or ("no end within the budget",) * len(task.expected)
    yield "<table><tr><th>hole</th><th>expected</th><th>got</th></tr>"
    for number, (wanted, text) in enumerate(zip(task.expected, got, strict=True), 1):
        yield f"<tr><td>{number}</td><td><pre>{escape(wanted)}</pre></td><td><pre class='got'>{escape(text)}</pre></td></tr>"
    yield "</table><pre>"
    for number, piece in enumerate(task.pieces):
        lines = piece.splitlines(keepends=True)
        first, last = number == 0, number == len(task.pieces) - 1
        kept = lines[-_PROMPT_LINES:] if first and not last else lines[:_PROMPT_LINES] if last and not first else lines
        yield escape("".join(kept)) + ("" if last else f"<span class='hole'>{number + 1}</span>")
    yield "</pre></details>"
