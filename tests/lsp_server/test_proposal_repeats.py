"""A proposal never writes what follows the cursor."""

from __future__ import annotations

import pytest

from lsp_server.buffer import Buffer
from lsp_server.holes import Hole
from lsp_server.postprocess.surroundings import Surroundings
from lsp_server.proposal_repeats import repeats


def verdict(text: str, proposal: str) -> str | None:
    """`text` has a bar for the cursor."""
    before, after = text.split("|")
    hole = Hole(len(before.encode()), len(before.encode()), "range", 24)
    return repeats(proposal, Surroundings(Buffer((before + after).encode()), None, (hole,)))


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("total(|items)\n", "items"),  # would run into the next word
        ("total(| items)\n", "items"),
        ("f(a|, b)\n", ", b"),
        ("f(a|, b)\n", ", c, b"),
        ("f(a|, b)\n", ","),
        ("a |+ y\n", "+ y"),
        ("a |+ y\n", "* x +"),
        ("f(|, key=value)\n", "a, key=value"),
        ("print('|')\n", "text'"),
        ("re|sult = 0\n", "tur"),
        ("é|é = 0\n", "x"),
        ("x = 1\n|\nx = 2\n", "x = 2"),
        ("x = 1\n|\n\n  x = 2\n", "y = 3\nx = 2"),
        ("x |\nx = 2\n", "= 2"),  # the line would be the one below
        ("    |\n    pass\n", "pass"),
        ("    |\r\n    a\r\n    b\r\n", "a\nb"),
    ],
)
def test_what_follows_is_not_written_again(text: str, proposal: str) -> None:
    assert verdict(text, proposal) is not None


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("total(|)\n", "items"),
        ("total(|)\n", "max(items)"),  # the last bracket is the inner call's
        ("f(|, b)\n", "a"),
        ("f(|b)\n", "a, "),
        ("x = |\ny = 2\n", "1"),
        ("x = 1\n|\ny = 2\n", "x = 2"),
        ("f(\n    a,\n|\n)\n", "    b,"),
        ("}\n|\n}\n", "}"),  # whether there is one too many, others count
        ("|", "x"),
        ("x|\n", "y"),
    ],
)
def test_the_rest_may_be(text: str, proposal: str) -> None:
    assert verdict(text, proposal) is None
