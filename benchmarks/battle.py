"""A battle of eight against upstreams that take 200 ms: wall time over the slowest upstream's.

The slowest is what a bare client waits for when it asks the same eight at once: an upstream's timer
and the machine add 3 to 6 ms to its 200.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from httpx_aiohttp import HttpxAiohttpClient

from benchmarks.bench import MODEL, Figure, settings
from benchmarks.overhead import ask
from benchmarks.upstream import upstream
from smartrouter_serve import Router

ROUNDS = 15


async def _battles(base: str) -> tuple[list[float], list[float]]:
    """Seconds of every battle, and of the slowest of eight bare calls, in turn."""
    models = [f"{MODEL}@temperature=0.{number}" for number in range(1, 9)]
    battles, slowest = [], []
    async with Router(settings(base, "/t200")) as router, HttpxAiohttpClient() as bare:
        for number in range(ROUNDS + 2):
            started = time.perf_counter()
            await router.arena(f"What is {number} + 1?", models=models, cache=False)
            ended = time.perf_counter()
            await asyncio.gather(*(ask(bare, f"{base}/t200") for _ in models))
            battles.append(ended - started)
            slowest.append(time.perf_counter() - ended)
    return battles[2:], slowest[2:]


def run() -> list[Figure]:
    """Medians of fifteen rounds."""
    with upstream() as base:
        battles, slowest = asyncio.run(_battles(base))
    battle, peer = statistics.median(battles), statistics.median(slowest)
    return [
        Figure(
            name="Battle of 8 against 200 ms upstreams, wall / slowest",
            value=battle / peer,
            unit="",
            limit=1.05,
            peer=f"{battle * 1000:.1f} ms against {peer * 1000:.1f} ms; worst {max(battles) * 1000:.1f} ms",
        )
    ]
