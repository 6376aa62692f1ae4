"""The one engine of a notebook: the magics, `Router()` and `Router().sync` all work on it.

It lives on the background loop and may be called from any other. Whoever brings a configuration or
a backend has an engine of their own, and so has every `Router` of a plain script.
"""

from __future__ import annotations

import asyncio
import builtins
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

from smartrouter_serve import background, config
from smartrouter_serve.calls import Call, Event

if TYPE_CHECKING:
    from smartrouter_serve.engine.core import Engine


def in_notebook() -> bool:
    """Whether IPython runs here, in a kernel or on a terminal; the mark is IPython's own."""
    return hasattr(builtins, "__IPYTHON__")


class Share:
    """One user's share of the notebook's engine: a `Backend` for any event loop.

    The engine is closed when its last user is; users that were garbage-collected do not count.
    """

    def __init__(self) -> None:
        _notebook.users.add(self)

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[AsyncIterator[Event]]:
        """As `Engine.send`; leaving the context waits until the cancelled call is settled."""
        _notebook.users.add(self)
        if background.here():
            async with aclosing(_notebook.events(call)) as events:
                yield events
        else:
            async with aclosing(background.relay(_notebook.events(call))) as ticks:
                yield _Events(ticks)

    async def aclose(self) -> None:
        """Leave; the next call comes back."""
        _notebook.users.discard(self)
        if not _notebook.users and _notebook.is_open:
            await background.visit(_notebook.close())


def is_open() -> bool:
    """Whether the notebook has an engine; nothing is built to find out."""
    return _notebook.is_open


def close() -> None:
    """Close the engine, whoever shares it, and the background loop; the next call opens both.

    A call that is under way goes on, and the engine with it until its end.
    """
    if _notebook.is_open:
        background.run(_notebook.close())
    background.stop()


class _Opened:
    """An engine, what it was built from, and how many calls it has under way."""

    def __init__(self, engine: Engine, built_from: tuple[Any, ...]) -> None:
        self.engine = engine
        self.built_from = built_from
        self.calls = 0


class _Notebook:
    """Holds the engine; its coroutines run on the background loop, and only there."""

    def __init__(self, before: _Opened | None = None) -> None:
        self.users: WeakSet[Share] = WeakSet()
        self._now: _Opened | None = None
        self._last = before
        """Also when it is closed, since its sessions go on."""
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return self._now is not None or bool(self._closing)

    async def events(self, call: Call) -> AsyncGenerator[Event, None]:
        """Run `call` on the engine for the configuration and the keys of this moment."""
        opened = self._current()
        opened.calls += 1
        try:
            async with opened.engine.send(call) as events:
                async for event in events:
                    yield event
        finally:
            opened.calls -= 1
            self._close_if_left(opened)

    async def close(self) -> None:
        """Close the engine, now or at the end of its last call."""
        self._leave()
        if self._closing:
            await asyncio.wait(self._closing)

    def _current(self) -> _Opened:
        """Raises `ConfigError`; the engine before goes on with its calls all the same."""
        now = config.fingerprint()
        if self._now is None or self._now.built_from != now:
            engine = self._build(now)
            self._leave()
            self._now = self._last = _Opened(engine, now)
            background.tenants.add(self._now)
        return self._now

    def _build(self, now: tuple[Any, ...]) -> Engine:
        from smartrouter_serve.assemble import build_engine, successor

        if self._last is None:
            return build_engine(config.load())
        context = self._last.engine.ports.context
        return build_engine(
            config.load(), context if self._last.built_from == now else successor(context)
        )

    def _leave(self) -> None:
        left, self._now = self._now, None
        if left is not None:
            self._close_if_left(left)

    def _close_if_left(self, opened: _Opened) -> None:
        if opened is self._now or opened.calls:
            return

        def closed(task: asyncio.Task[None]) -> None:
            self._closing.discard(task)
            background.tenants.discard(opened)

        task = asyncio.create_task(opened.engine.aclose())
        self._closing.add(task)
        task.add_done_callback(closed)


class _Events:
    """Events without the ticks between them."""

    def __init__(self, ticks: AsyncGenerator[Event | None, None]) -> None:
        self._ticks = ticks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while (event := await anext(self._ticks)) is None:
            pass
        return event


_notebook: _Notebook = globals().get("_notebook") or _Notebook()
# A module that autoreload runs again keeps the engine that it has.


def _forget() -> None:
    global _notebook  # noqa: PLW0603 - one notebook a process
    background.of_parents.append(_notebook)
    _notebook = _Notebook(_notebook._last)  # noqa: SLF001 - one module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
