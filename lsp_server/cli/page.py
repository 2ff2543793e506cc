"""A surprise map as an HTML page of its own: no script, nothing loaded from anywhere."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

from engine.errors import LacunaError
from lsp_server.buffer import Buffer
from lsp_server.cli.heat import LEVELS, Cell, Row, rows
from lsp_server.cli.terminal import harmless
from lsp_server.likelihood_text import bar, percent, surface, visible
from lsp_server.line_ends import to_model
from lsp_server.scoring import ScoredToken
from lsp_server.surprise_map import SurpriseMap

_MOST_SURPRISING = 12
# Tokens from this level on can be reached by the keyboard.
_NOTABLE = 5
_BEGINNING = "<!doctype html>"

_PAGE = Template(
    _BEGINNING
    + """
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --faint: #6b6b6b; --panel: #f4f4f2; --rule: #d8d8d4;
  --l1: #fff7d6; --l2: #fee9a0; --l3: #fec44f; --l4: #f28d2b; --l5: #cc4c02; --l6: #7a2500; --strong: #fff; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #dcdcdc; --faint: #8d949e; --panel: #1d232c; --rule: #343c48;
  --l1: #1f2c45; --l2: #35456c; --l3: #575c6d; --l4: #7d7c78; --l5: #c2b362; --l6: #fee838; --strong: #111; } }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1.5rem 13rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
p { margin: .3rem 0; }
.faint { color: var(--faint); }
.legend span { display: inline-block; padding: 0 .5rem; }
pre, code, td:nth-child(3) { font: 13px/1.55 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { margin: 1rem 0; overflow-x: auto; tab-size: 4; border: 1px solid var(--rule); border-radius: 4px; padding: .5rem 0; }
pre a { display: inline-block; width: 3.5rem; padding-right: 1rem; text-align: right; color: var(--faint); text-decoration: none;
  user-select: none; }
a:target { color: var(--ink); font-weight: bold; }
.l1 { background: var(--l1); } .l2 { background: var(--l2); } .l3 { background: var(--l3); } .l4 { background: var(--l4); }
.l4 { color: #111; } .l5, .l6 { color: var(--strong); } .l5 { background: var(--l5); } .l6 { background: var(--l6); }
b { font-weight: normal; }
b:hover, b:focus { outline: 2px solid var(--ink); outline-offset: -1px; }
b:hover::after, b:focus::after { content: attr(data-t); position: fixed; left: 0; right: 0; bottom: 0; z-index: 1; white-space: pre-wrap;
  padding: .8rem 1.5rem; background: var(--panel); color: var(--ink); border-top: 1px solid var(--rule); }
pre:focus-within b:hover::after { z-index: 2; }
table { border-collapse: collapse; }
td, th { padding: .1rem 1.2rem .1rem 0; text-align: left; vertical-align: top; }
td:first-child, td:nth-child(2) { text-align: right; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$figures</p>
<p class="faint">Each token is given what stands before it and after its paragraph. Point at one to see what was expected.</p>
<p class="legend">bits: $legend</p>
<pre>$text</pre>
<h2>Least expected</h2>
<table>
<tr><th>line</th><th>bits</th><th>token</th><th>rank</th><th>expected</th></tr>
$least
</table>
</body>
</html>
"""
)


def page(buffer: Buffer, found: SurpriseMap, title: str, model: str) -> str:
    """The whole page. Whatever the file holds is shown and never obeyed."""
    figures = f"{found.bits_per_token:.2f} bits per token, {len(found.tokens):,} tokens, by {model}"
    names = [f"below {LEVELS[0]}", *(f"from {bits}" for bits in LEVELS)]
    return _PAGE.substitute(
        title=_safe(title),
        figures=_safe(figures),
        legend="".join(f'<span class="l{level}">{name}</span>' for level, name in enumerate(names)),
        text="\n".join(_line(buffer, row) for row in rows(buffer, found.tokens)),
        least="\n".join(_least(buffer, token) for token in sorted(found.tokens, key=lambda token: -token.bits)[:_MOST_SURPRISING]),
    )


def check_page_path(path: Path) -> None:
    """Raise LacunaError where a page can't be written to `path`, or would take the place of something that is no page."""
    try:
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise LacunaError(f"{path} can't be written: {'it is a folder' if path.is_dir() else 'its folder does not exist'}")
        if path.exists():
            with path.open("rb") as file:
                if path.stat().st_size and not file.read(len(_BEGINNING)).lower().startswith(_BEGINNING.encode()):
                    raise LacunaError(f"{path} exists and is no HTML page, so it is not written over; give another name")
    except (OSError, ValueError) as error:
        raise LacunaError(f"{path} can't be written: {getattr(error, 'strerror', None) or error}") from error


def write_page(path: Path, text: str) -> None:
    """Write the page. Raises LacunaError where that fails."""
    try:
        path.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    except (OSError, ValueError) as error:
        raise LacunaError(f"{path} can't be written: {getattr(error, 'strerror', None) or error}") from error


def _safe(text: str) -> str:
    return escape(harmless(text), quote=True)


def _line(buffer: Buffer, row: Row) -> str:
    number = f'<a id="L{row.number}" href="#L{row.number}">{row.number}</a>'
    return number + "".join(_piece(buffer, text, cell) for text, cell in row.pieces)


def _piece(buffer: Buffer, text: str, cell: Cell) -> str:
    reachable = ' tabindex="0"' if cell.level >= _NOTABLE else ""
    told = "\n".join(_told(buffer, token) for token in cell.tokens)
    return f'<b class="l{cell.level}"{reachable} data-t="{_safe(told).replace(chr(10), "&#10;")}">{_safe(text)}</b>'


def _told(buffer: Buffer, token: ScoredToken) -> str:
    """What is said of a token: a headline, and a bar for each of the likeliest."""
    name = visible(to_model(surface(buffer, token)))
    lines = [f"{name}   {token.bits:.1f} bits, probability {percent(token.probability)}, rank {token.rank:,}"]
    lines += [f"{bar(chance, blocks=True)} {percent(chance):>8}  {visible(text)}" for text, chance in token.alternatives]
    return "\n".join(lines)


def _least(buffer: Buffer, token: ScoredToken) -> str:
    line = buffer.line_at(token.start) + 1
    expected = ", ".join(f"<code>{_safe(visible(text))}</code> {_safe(percent(chance))}" for text, chance in token.alternatives)
    name = _safe(visible(to_model(surface(buffer, token))))
    link = f'<a href="#L{line}">{line}</a>'
    return f"<tr><td>{link}</td><td>{token.bits:.1f}</td><td>{name}</td><td>{token.rank:,}</td><td>{expected}</td></tr>"
