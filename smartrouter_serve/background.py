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
from contextlib import aclosing, closing, suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")

tenants: WeakSet[Any] = globals().get("tenants") or WeakSet()
"""Who has an engine on the loop: while one is left, `stop` leaves the loop alone."""
of_parents: list[Any] = []
"""Engines that a fork inherited: not collected, since that would close sockets of the parent's."""
_lock = threading.Lock()
_running: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = globals().get("_running")
# A module that autoreload runs again keeps the loop that it has.
_WAKE = 0.05
"""Seconds; a signal wakes no event loop, so one that waits looks up for an interrupt this often."""
_POLL = 0.2
"""Seconds between looks for an interrupt, on systems whose lock waits cannot be interrupted."""


def loop() -> asyncio.AbstractEventLoop:
    """The background loop, started on first use and anew after a stop or a fork."""
    global _running  # noqa: PLW0603 - one loop a process
    with _lock:
        if _running is None:
            started: Future[asyncio.AbstractEventLoop] = Future()
            thread = threading.Thread(
                target=_serve, args=(started,), name="smartrouter-loop", daemon=True
            )
            thread.start()
            _running = started.result(), thread
        return _running[0]


def _serve(started: Future[asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner() as runner:
        started.set_result(runner.get_loop())
        runner.get_loop().run_forever()


def here() -> bool:
    """Whether the caller runs on the background loop."""
    return _running is not None and threading.current_thread() is _running[1]


def stop() -> None:
    """End the loop and its threads, unless an engine lives there; the next use starts it anew."""
    global _running
    with _lock:
        if _running is None or tenants:
            return
        (ending, thread), _running = _running, None
    ending.call_soon_threadsafe(ending.stop)
    thread.join()


def _forget() -> None:
    global _running, _lock, tenants
    _running, _lock, tenants = None, threading.Lock(), WeakSet()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class _Work(Generic[T]):
    """A task on the background loop, held from elsewhere; `ended` is called at its very end."""

    def __init__(self, work: Coroutine[Any, Any, T], ended: Callable[[], object]) -> None:
        self._loop = loop()
        self._task: asyncio.Task[T] | None = None
        self._loop.call_soon_threadsafe(self._begin, work, ended)

    def _begin(self, work: Coroutine[Any, Any, T], ended: Callable[[], object]) -> None:
        def end(task: asyncio.Task[T]) -> None:
            if not task.cancelled():
                task.exception()  # else a reader that has gone leaves a warning
            ended()

        self._task = self._loop.create_task(work)
        self._task.add_done_callback(end)

    def cancel(self) -> None:
        """Cancel it; it has ended when `ended` is called."""
        self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    def done(self) -> bool:
        """Whether it has ended."""
        return self._task is not None and self._task.done()

    def result(self) -> T:
        """What it returned, once it has ended; raises what it raised."""
        assert self._task is not None
        return self._task.result()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the background loop and wait; an interrupt cancels it and waits for its end."""
    ended = threading.Event()
    task = _Work(work, ended.set)
    try:
        while not ended.wait(_POLL):
            pass
    except BaseException:
        task.cancel()
        while not ended.wait(_POLL):
            pass
        raise
    return task.result()


async def visit(work: Coroutine[Any, Any, T]) -> T:
    """As `run`, for a caller on any event loop."""
    if here():
        return await work

    async def once() -> AsyncGenerator[T, None]:
        yield await work

    async with aclosing(relay(once(), None)) as results:
        async for result in results:
            return result  # type: ignore[return-value]
    raise AssertionError("the work ended without a result")


async def _pump(source: AsyncGenerator[T, None], put: Callable[[tuple[T]], None]) -> None:
    """Hand on every item of `source`."""
    async with aclosing(source):
        async for item in source:
            put((item,))


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
    work = _Work(_pump(source, items.put), lambda: items.put(None))
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
        work.result()
    finally:
        if not work.done():
            work.cancel()
            # The ledger's last entry is written while the cancelled call closes.
            while items.get() is not None:
                pass


async def relay(
    source: AsyncGenerator[T, None], tick: float | None = _WAKE
) -> AsyncGenerator[T | None, None]:
    """As `ticking`, for a caller on an event loop of its own."""
    reader = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    def put(item: tuple[T] | None) -> None:
        reader.call_soon_threadsafe(items.put_nowait, item)

    def end() -> None:
        with suppress(RuntimeError):  # the reader's loop has been closed meanwhile
            put(None)

    work = _Work(_pump(source, put), end)
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
        work.result()
    finally:
        if not work.done():
            work.cancel()
            while await items.get() is not None:
                pass
