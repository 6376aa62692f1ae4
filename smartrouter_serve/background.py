"""One event loop on a thread of its own, for callers that block.

A notebook's main thread has a running loop already, and it must stay free to draw and to be
interrupted; so the engine works here, and the caller waits on a queue.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_POLL = 0.2
"""Seconds between looks for an interrupt, on systems whose lock waits cannot be interrupted."""


def loop() -> asyncio.AbstractEventLoop:
    """The background loop, started on first use and anew after a fork."""
    global _loop  # noqa: PLW0603 - one loop a process
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="smartrouter-loop", daemon=True).start()
        return _loop


def _forget() -> None:
    global _loop, _lock
    _loop, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the background loop and wait; an interrupt cancels it there."""
    return _wait(asyncio.run_coroutine_threadsafe(work, loop()))


def _wait(future: Future[T]) -> T:
    try:
        while True:
            try:
                return future.result(_POLL)
            except TimeoutError:
                if future.done():
                    raise
    except BaseException:
        future.cancel()
        raise


async def _pump(source: AsyncGenerator[T, None], put: Callable[[tuple[T] | None], None]) -> None:
    """Hand on every item of `source`, and None at its end, however it ends."""
    try:
        async for item in source:
            put((item,))
    finally:
        await source.aclose()
        put(None)


def iterate(source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Step `source` from this thread; closing the iterator closes `source` on its loop."""
    with closing(ticking(source, None)) as items:
        for item in items:
            if item is not None:
                yield item


def ticking(source: AsyncGenerator[T, None], tick: float | None) -> Generator[T | None, None, None]:
    """As `iterate`, and None whenever nothing has come for `tick` seconds.

    One task on the loop reads the whole source, since stepping an async generator from a new task
    each time would break its cancel scopes (PEP 789).
    """
    items: queue.SimpleQueue[tuple[T] | None] = queue.SimpleQueue()
    future = asyncio.run_coroutine_threadsafe(_pump(source, items.put), loop())
    try:
        while True:
            try:
                item = items.get(timeout=_POLL if tick is None else tick)
            except queue.Empty:
                if tick is not None:
                    yield None
                continue
            if item is None:
                break
            yield item[0]
        _wait(future)
    finally:
        if not future.done():
            future.cancel()
            # The ledger's last entry is written while the cancelled call closes.
            while items.get() is not None:
                pass


async def relay(source: AsyncGenerator[T, None], tick: float) -> AsyncGenerator[T | None, None]:
    """As `ticking`, for a caller on an event loop of its own.

    The ticks also wake a loop whose thread is to be interrupted: a signal alone does not.
    """
    here = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    def put(item: tuple[T] | None) -> None:
        here.call_soon_threadsafe(items.put_nowait, item)

    future = asyncio.run_coroutine_threadsafe(_pump(source, put), loop())
    try:
        while True:
            try:
                async with asyncio.timeout(tick):
                    item = await items.get()
            except TimeoutError:
                yield None
                continue
            if item is None:
                break
            yield item[0]
        await asyncio.wrap_future(future)
    finally:
        if not future.done():
            future.cancel()
            while await items.get() is not None:
                pass
