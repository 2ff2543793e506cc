"""Line starts that go through edits are those of the text as it then is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsp_server.buffer import Buffer
from lsp_server.line_starts import LineStarts

texts = st.text(alphabet=st.sampled_from("ab\n\r"), max_size=30).map(str.encode)


@settings(max_examples=400, deadline=None)
@given(texts, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), texts), max_size=6))
def test_after_any_edits(source: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    starts = LineStarts.of(source)
    for start, length, text in edits:
        start = min(start, len(source))
        end = min(start + length, len(source))
        source = source[:start] + text + source[end:]
        before, known = starts, list(starts)
        starts = starts.after(start, end, source)
        assert list(starts) == list(LineStarts.of(source)) == [starts[line] for line in range(len(starts))]
        # Another thread may be reading those of the text before.
        assert list(before) == known


def test_a_line_that_is_not_there() -> None:
    starts = LineStarts.of(b"a\nb\n").after(0, 1, b"ccc\nb\n")
    assert list(starts) == [0, 4, 6] and len(starts) == 3
    for line in (-1, 3):
        with pytest.raises(IndexError):
            starts[line]


def test_a_buffer_with_a_part_replaced() -> None:
    buffer = Buffer(b"one\r\ntwo\n", "t").replaced(4, 8, b"\r3")
    assert buffer == Buffer(b"one\r\r3\n", "t")
    assert list(buffer.line_starts) == [0, 4, 5, 7]
