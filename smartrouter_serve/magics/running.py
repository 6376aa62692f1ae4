"""One call in a cell: its events go to a view and are drawn, until it ends or is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager

from smartrouter_serve.calls import Arena, Event, Route
from smartrouter_serve.client import SyncRouter
from smartrouter_serve.magics.failure import StoppedError
from smartrouter_serve.magics.screen import Page, Terminal
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.reply import ReplyView

_TICK = 0.1


class Running:
    """A call under way; `show` is told every event, and None where nothing has come for a while."""

    def __init__(
        self,
        router: SyncRouter,
        call: Route | Arena,
        view: ReplyView | BattleView,
        place: Page | Terminal,
        show: Callable[[Event | None], None],
    ) -> None:
        self._router = router
        self._call = call
        self._view = view
        self._place = place
        self._show = show

    def follow(self) -> None:
        """Run it to its end; an interrupt cancels it upstream.

        Raises `StoppedError` where it was stopped.
        """
        with self._stoppable(), closing(self._router.ticking(self._call, _TICK)) as events:
            for event in events:
                self._take(event)

    async def follow_here(self) -> None:
        """As `follow`, in an async cell: the kernel hears clicks meanwhile."""
        with self._stoppable():
            async with aclosing(self._router.relay(self._call)) as events:
                async for event in events:
                    self._take(event)

    def _take(self, event: Event | None) -> None:
        if event is not None:
            self._view.apply(event)
        self._show(event)

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """A kernel stops a plain cell by `KeyboardInterrupt`, an async one by cancelling it."""
        try:
            yield
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._view.stop()
            self._place.update(self._view, final=True)
            raise StoppedError from None
