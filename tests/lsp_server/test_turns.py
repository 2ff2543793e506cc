"""Of requests with one key only the newest counts."""

from __future__ import annotations

import asyncio

from lsp_server.turns import Turns

LONG = 60.0


async def test_a_newer_turn_ends_an_older_one_s_wait() -> None:
    turns = Turns()
    with turns.take("a") as older:
        waiting = asyncio.create_task(older.wait(LONG))
        await asyncio.sleep(0)
        assert not waiting.done() and not older.is_over
        with turns.take("a") as newer:
            async with asyncio.timeout(LONG / 2):
                await waiting
            assert older.is_over and not newer.is_over


async def test_other_keys_are_let_be() -> None:
    turns = Turns()
    with turns.take("a") as one, turns.take("b") as other:
        assert not one.is_over and not other.is_over


async def test_a_turn_that_nobody_takes_lasts_as_long_as_it_was_told() -> None:
    with Turns().take("a") as turn:
        await turn.wait(0.0)
        await turn.wait(0.01)
        assert not turn.is_over


async def test_the_end_of_an_overtaken_turn_leaves_the_newer_one() -> None:
    turns = Turns()
    with turns.take("a"):
        newer = turns.take("a")
        turn = newer.__enter__()
    # The older one is done; the next must still find the newer one, and end it.
    with turns.take("a"):
        assert turn.is_over
    newer.__exit__(None, None, None)


async def test_a_cancelled_wait_gives_its_turn_back() -> None:
    turns = Turns()

    async def wait() -> None:
        with turns.take("a") as turn:
            await turn.wait(LONG)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled() and not turns._turns
