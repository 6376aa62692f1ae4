"""What `Router.route` adds to the bare HTTP client, against litellm, one call at a time."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable

import httpx
from httpx_aiohttp import HttpxAiohttpClient

from benchmarks.bench import MODEL, Figure, median_ms, settings
from benchmarks.upstream import upstream
from smartrouter_serve import Router

CALLS = 400
BODY = {
    "model": "m",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


async def _timed(call: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    for _ in range(20):
        await call()
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started)
    return times


async def ask(client: httpx.AsyncClient, base: str) -> str:
    """The same request by the bare client, its stream parsed and joined."""
    text = ""
    async with client.stream("POST", f"{base}/chat/completions", json=BODY) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["delta"].get("content", "")
    return text


async def bare(base: str, calls: int = CALLS) -> list[float]:
    """The bare client: httpx over aiohttp."""
    async with HttpxAiohttpClient(timeout=httpx.Timeout(30)) as client:
        return await _timed(lambda: ask(client, base), calls)


async def ours(base: str, calls: int = CALLS) -> list[float]:
    """`Router.route`, with its decision and its reservation on disk."""
    async with Router(settings(base)) as router:

        async def call() -> object:
            return await router.route("What is the capital of France?", model=MODEL, cache=False)

        return await _timed(call, calls)


async def litellm(base: str, *, stream: bool, calls: int = CALLS // 4) -> list[float]:
    """`litellm.acompletion`; only a streaming one measures the first token, as ours does."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as peer

    async def call() -> object:
        answer = await peer.acompletion(
            model="openai/m",
            api_base=base,
            api_key="sk-x",
            messages=BODY["messages"],
            stream=stream,
        )
        return [chunk async for chunk in answer] if stream else answer

    return await _timed(call, calls)


def run() -> list[Figure]:
    """Interleave the two clients, so that the machine's moods hit both."""
    with upstream() as base:
        rounds = [(asyncio.run(bare(base)), asyncio.run(ours(base))) for _ in range(3)]
        theirs = median_ms(asyncio.run(litellm(base, stream=False)))
        streamed = median_ms(asyncio.run(litellm(base, stream=True)))
    plain = median_ms([t for b, _ in rounds for t in b])
    mine = median_ms([t for _, o in rounds for t in o])
    return [
        Figure(
            name="Router.route over bare httpx-aiohttp, median",
            value=mine - plain,
            unit="ms",
            limit=1.0,
            peer=f"{mine:.2f} ms against {plain:.2f} ms",
        ),
        Figure(
            name="Router.route as a share of litellm.acompletion",
            value=mine / theirs,
            unit="",
            limit=0.2,
            peer=f"{mine:.2f} ms against {theirs:.2f} ms",
        ),
        Figure(
            name="Router.route as a share of it streaming, as ours does",
            value=mine / streamed,
            unit="",
            limit=0.2,
            peer=f"{mine:.2f} ms against {streamed:.2f} ms",
        ),
    ]
