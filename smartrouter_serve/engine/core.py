"""`Engine`: the embedded backend. Calls go in at `send`, events come out."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from smartrouter_serve.calls import (
    NO_WINNER,
    Arena,
    Call,
    Decided,
    Event,
    Failed,
    Finished,
    Query,
    Route,
    Stop,
    Vote,
    run_id,
)
from smartrouter_serve.engine import queries
from smartrouter_serve.engine.answer import answer, consider, prepared
from smartrouter_serve.engine.arena import Fight, battle, chosen
from smartrouter_serve.engine.lane import Emit, Lane, Ports
from smartrouter_serve.errors import Problem, UsageError
from smartrouter_serve.types import Reply

_AHEAD = 256
"""Events that a call may be ahead of its reader."""
_REMEMBERED = 50
"""Runs whose decision `why` can explain."""


class Engine:
    """One pipeline over the ports; belongs to the event loop that first calls it."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self._runs: OrderedDict[str, Reply] = OrderedDict()
        self._under_way: dict[str, Fight] = {}
        self._seeded = False

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncIterator[AsyncIterator[Event]]:
        """Run `call` in a task of its own; leaving the context cancels it and waits for its end.

        The task, and no cancel scope, spans the yield, so the context may be stepped from any task.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue(_AHEAD)
        task = asyncio.create_task(self._run(call, events))
        try:
            yield _Events(events)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def aclose(self) -> None:
        """Close the providers, then the ledger."""
        for provider in self.ports.providers.values():
            await provider.aclose()
        await self.ports.ledger.aclose()

    async def _run(self, call: Call, events: asyncio.Queue[Event | None]) -> None:
        try:
            await events.put(await self._finish(call, events.put))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a failure crosses the seam as an event
            await events.put(Failed(problem=Problem.of(error)))
        await events.put(None)

    async def _finish(self, call: Call, emit: Emit) -> Finished:
        """The good end of `call`."""
        if not self._seeded:
            self._seeded = True
            self.ports.health.seed(await self.ports.ledger.speeds())
        if isinstance(call, Query):
            return Finished(data=await queries.ask(self.ports, self._runs, call))
        if isinstance(call, Vote):
            return Finished(data=await self._vote(call))
        if isinstance(call, Stop):
            return Finished(data=self._stop(call))
        route = call.route if isinstance(call, Arena) else call
        _check(route)
        route = _named(route, self.ports)
        if isinstance(call, Arena):
            call = replace(call, route=route)
            return Finished(result=await battle(self.ports, call, emit, self._under_way))
        return await self._route(route, emit)

    async def _route(self, route: Route, emit: Emit) -> Finished:
        if route.dry_run:
            sent = await prepared(self.ports, route)
            await emit(Decided(decision=await consider(self.ports, sent)))
            return Finished()
        reply = await answer(self.ports, Lane(route=route, name="", emit=emit))
        self._runs[reply.id] = reply
        while len(self._runs) > _REMEMBERED:
            self._runs.popitem(last=False)
        return Finished(result=reply)

    async def _vote(self, call: Vote) -> dict[str, Any]:
        fight = self._under_way.get(call.battle)
        labels = fight.labels if fight else await self._labels(call.battle)
        vote = replace(call, choice=chosen(labels, call.choice, NO_WINNER))
        told = {"battle": vote.battle, "winner": vote.choice, "contestants": labels}
        if fight is not None:
            fight.decide(vote)
            return told
        before = await self.ports.ledger.vote(vote.battle, vote.choice, vote.reason)
        return told | {"replaced": before}

    async def _labels(self, run: str) -> list[str]:
        """The contestants of a battle that has ended."""
        fought = await queries.fought(self.ports, run)
        return [contestant.label for contestant in fought.contestants]

    def _stop(self, call: Stop) -> dict[str, Any]:
        fight = self._under_way.get(call.battle)
        if fight is None:
            raise UsageError(
                f"No battle {call.battle!r} is running.",
                "It may have ended: %smartrouter vote takes a vote on it.",
            )
        labels = [chosen(fight.labels, one) for one in call.contestants]
        return {"battle": call.battle, "stopped": fight.stop(labels)}


def _check(route: Route) -> None:
    """Refuse what no model could answer, whichever way the call came."""
    spoken = (m for m in route.messages if m.role != "system")
    if not any(m.text.strip() or m.images or m.tool_calls or m.role == "tool" for m in spoken):
        raise UsageError("The prompt is empty.", "Write what you want to ask.")
    if route.max_tokens is not None and route.max_tokens < 1:
        raise UsageError(
            f"max_tokens is {route.max_tokens}, but must be at least 1.",
            "Write --max-tokens 200, for example, or leave it out.",
        )
    if route.max_latency is not None and route.max_latency <= 0:
        raise UsageError(
            f"max_latency is {route.max_latency}, but must be more than 0 seconds.",
            "Write --max-latency 5, for example, or leave it out.",
        )


def _named(route: Route, ports: Ports) -> Route:
    """Give the run an id and the project that spend is booked under."""
    return replace(
        route,
        run=route.run or run_id(),
        project=route.project or ports.settings.project,
    )


class _Events:
    """The queue as an iterator; no generator, whose clean-up the loop would have to schedule."""

    def __init__(self, events: asyncio.Queue[Event | None]) -> None:
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            raise StopAsyncIteration
        return event
