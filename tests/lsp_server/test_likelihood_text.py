"""Likelihoods in words and bars."""

from __future__ import annotations

import pytest

from lsp_server.likelihood_text import bar, code, code_block, percent, visible


@pytest.mark.parametrize(
    ("probability", "blocks", "plain"),
    [
        (0, "          ", ".........."),
        (1, "██████████", "##########"),
        (0.5, "█████     ", "#####....."),
        (0.8625, "████████▋ ", "#########."),
        (0.0125, "▏         ", ".........."),
    ],
)
def test_a_bar_is_as_long_as_its_probability(probability: float, blocks: str, plain: str) -> None:
    assert bar(probability, blocks=True) == blocks
    assert bar(probability, blocks=False) == plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" word", "word"),
        ("\n    x", "⏎␣␣␣␣x"),
        ("x\r\n", "x␍⏎"),
        ("\t", "⇥"),
        ("", "(the end)"),
        ("a\x1b[2Jb\u202ec", "a\ufffd[2Jb\ufffdc"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_a_token_s_white_space_is_seen(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_code_is_safe_for_any_back_quotes() -> None:
    assert code("a ``b` c", markdown=True) == "```a ``b` c```"
    assert code("`", markdown=True) == "`` ` ``"
    assert code("a\n  b", markdown=False) == "“a b”"
    assert code_block(["a ```` b", "c"], markdown=True) == "`````text\na ```` b\nc\n`````"
    assert code_block(["a", "b"], markdown=False) == "a\nb"


def test_percentages_are_short() -> None:
    assert [percent(chance) for chance in (1, 0.1234567, 0.00123, 1e-9)] == ["100 %", "12.3 %", "0.123 %", "< 0.1 %"]
