"""The model: one arithmetic in pieces and whole, and nothing seen that is hidden."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.model import AsArm, parameter_count
from tests.export.workshop import TINY

ROWS = 23


@pytest.fixture(scope="module")
def model() -> AsArm:
    torch.manual_seed(3)
    return AsArm(TINY).eval()


@pytest.fixture(scope="module")
def rows() -> tuple[Tensor, Tensor]:
    """Ids and positions `[2, ROWS]`, in an order of their own."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, TINY.vocabulary, (2, ROWS), generator=generator)
    positions = torch.stack([torch.randperm(3 * ROWS, generator=generator)[:ROWS] for _ in range(2)])
    return ids, positions


def empty_caches(batch: int) -> list[Tensor]:
    return [torch.zeros(batch, TINY.heads, 0, TINY.head_size) for _ in range(2 * (TINY.layers + 1))]


def causal(batch: int, past: int, count: int) -> Tensor:
    return (torch.arange(past + count) <= past + torch.arange(count)[:, None]).expand(batch, -1, -1)


@pytest.mark.parametrize("sizes", [(ROWS - 1,), (9, 1, 12), (1,) * (ROWS - 1)])
def test_pieces_with_a_cache_equal_the_whole_sequence(model: AsArm, rows: tuple[Tensor, Tensor], sizes: tuple[int, ...]) -> None:
    ids, positions = rows
    ahead_sources = torch.arange(ROWS - 2).expand(2, -1)
    with torch.no_grad():
        seen = causal(2, 0, ROWS)[:, None]
        states, ahead = model.train_states(ids, positions, positions.roll(-1, 1), seen, ahead_sources, positions[:, 2:], seen[:, :, :-2])
        whole, drafts = model.logits(states), model.logits(ahead)
        caches = empty_caches(2)
        start = 0
        for size in sizes:
            here = slice(start, start + size)
            visible = causal(2, start, size)
            sources = torch.arange(size).repeat(2).expand(2, -1)
            following = torch.arange(start, start + size)
            targets = torch.cat((positions[:, following + 1], positions[:, (following + 2).clamp(max=ROWS - 1)]), 1)
            logits, _, *new = model(ids[:, here], positions[:, here], visible, sources, targets, visible.repeat(1, 2, 1), *caches)
            torch.testing.assert_close(logits[:, :size], whole[:, here], atol=2e-5, rtol=0)
            drafted = min(size, ROWS - 2 - start)
            torch.testing.assert_close(logits[:, size : size + drafted], drafts[:, start : start + drafted], atol=2e-5, rtol=0)
            caches = [torch.cat((cache, fresh), 2) for cache, fresh in zip(caches, new, strict=True)]
            start += size


def test_a_slot_row_does_not_change_with_rows_it_cannot_see(model: AsArm, rows: tuple[Tensor, Tensor]) -> None:
    ids, positions = rows
    seen = 10
    sources = torch.tensor([[seen - 1]]).expand(2, -1)
    targets = torch.full((2, 1), 40)
    slots_see = (torch.arange(ROWS) < seen).expand(2, 1, -1)

    def logits(ids: Tensor, positions: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = model(ids, positions, causal(2, 0, ROWS), sources, targets, slots_see, *empty_caches(2))[0]
        return out

    before = logits(ids, positions)
    later_ids, later_positions = ids.clone(), positions.clone()
    later_ids[:, seen:] = 0  # padding
    later_positions[:, seen:] += 17
    torch.testing.assert_close(logits(later_ids, later_positions), before, atol=1e-6, rtol=0)
    earlier_ids = ids.clone()
    earlier_ids[:, 2] = (ids[:, 2] + 1) % TINY.vocabulary
    assert (logits(earlier_ids, positions) - before).abs().max() > 1e-3


def test_hidden_past_rows_do_not_matter(model: AsArm, rows: tuple[Tensor, Tensor]) -> None:
    """The engine passes caches longer than their valid rows and hides the rest."""
    ids, positions = (tensor[:, :6] for tensor in rows)
    sources, targets = torch.tensor([[5], [2]]), torch.tensor([[50], [7]])
    visible, slots_see = causal(2, 0, 6), torch.ones(2, 1, 6, dtype=torch.bool)
    hidden = torch.zeros(2, 1, 4, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    junk = [torch.randn(2, TINY.heads, 4, TINY.head_size, generator=generator) for _ in empty_caches(2)]
    with torch.no_grad():
        bare = model(ids, positions, visible, sources, targets, slots_see, *empty_caches(2))
        padded = model(
            ids,
            positions,
            torch.cat((hidden.expand(-1, 6, -1), visible), 2),
            sources,
            targets,
            torch.cat((hidden, slots_see), 2),
            *junk,
        )
    torch.testing.assert_close(padded, bare, atol=1e-5, rtol=0)


def test_offsets_are_bucketed_by_sign_and_size(model: AsArm) -> None:
    offsets = torch.tensor([-5000, -2048, -9, -1, 0, 1, 7, 8, 11, 12, 2048, 5000])
    assert model.head.bucket(offsets).tolist() == [0, 0, 14, 21, 22, 23, 29, 30, 30, 31, 44, 44]


def test_parameters_are_counted_once() -> None:
    block = 4 * 32 * 32 + 3 * 32 * 48 + 2 * 16 + 2 * 32
    assert parameter_count(AsArm(TINY)) == 300 * 32 + 3 * block + 2 * 32 + 45 * 32
