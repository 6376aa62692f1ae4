"""A hedged call: ask a second model when the first is slower than its own p95.

The first to show anything wins; the other is cancelled upstream and settled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from smartrouter_serve.calls import (
    Event,
    ReasoningDelta,
    Switched,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from smartrouter_serve.engine.lane import Lane
from smartrouter_serve.errors import SmartRouterError
from smartrouter_serve.types import Model, Reply

Tries = Callable[[Lane, Model], Awaitable[Reply]]


class _Runner:
    """One of the two, with a lane of its own until it has won."""

    def __init__(self, race: _Race, model: Model) -> None:
        self.race = race
        self.model = model
        self.lane = replace(race.lane, emit=self.emit, text=[], notes=[], spent_nanos=0)
        self.scope = anyio.CancelScope()
        self.reply: Reply | None = None
        self.error: SmartRouterError | None = None

    async def emit(self, event: Event) -> None:
        """Pass an event on; the first piece of an answer decides the race."""
        if isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta):
            await self.race.claim(self)
        await self.race.lane.emit(event)

    async def run(self) -> None:
        """Answer, keeping the outcome; a loser is cancelled."""
        try:
            with self.scope:
                self.reply = await self.race.tries(self.lane, self.model)
        except SmartRouterError as error:
            self.error = error
        finally:
            self.race.settled(self)


class _Race:
    def __init__(self, tries: Tries, lane: Lane, first: Model, second: Model) -> None:
        self.tries = tries
        self.lane = lane
        self.runners = [_Runner(self, first), _Runner(self, second)]
        self.winner: _Runner | None = None
        self.decided = anyio.Event()
        """Something was shown, or the first model failed."""

    async def claim(self, runner: _Runner) -> None:
        """Make `runner` the winner; for the loser this never returns."""
        if self.winner is None:
            self.winner = runner
            self.decided.set()
            for other in self.runners:
                if other is not runner:
                    other.scope.cancel()
            if runner is self.runners[1]:
                await self._say_switched()
        elif self.winner is not runner:
            await anyio.sleep_forever()

    async def _say_switched(self) -> None:
        first, second = (runner.model.id for runner in self.runners)
        await self.lane.emit(
            Switched(
                lane=self.lane.name,
                from_model=first,
                to_model=second,
                reason="no first token within its own 95th percentile",
            )
        )
        self.lane.switched_from.append(first)

    def settled(self, runner: _Runner) -> None:
        """A runner ended: its money and notes belong to the lane, and the winner's text."""
        self.lane.book(runner.lane.cost_nanos)
        if self.winner is runner:
            self.lane.text = runner.lane.text
        self.lane.note(*runner.lane.notes)
        self.lane.reached_user |= runner.lane.reached_user
        self.decided.set()

    async def run(self, delay: float) -> Reply:
        """Start the first, the second after `delay` seconds of silence, and take the winner's."""
        async with anyio.create_task_group() as group:
            group.start_soon(self.runners[0].run)
            with anyio.move_on_after(delay):
                await self.decided.wait()
            if not self.decided.is_set():
                model = self.runners[1].model.id
                await self.lane.emit(Waiting(lane=self.lane.name, reason=f"also asking {model}"))
                group.start_soon(self.runners[1].run)
        for runner in self.runners:
            if runner.reply is not None:
                return replace(
                    runner.reply,
                    cost_nanos=self.lane.cost_nanos,
                    switched_from=tuple(self.lane.switched_from),
                )
        raise next(runner.error for runner in self.runners if runner.error is not None)


async def race(tries: Tries, lane: Lane, first: Model, second: Model, delay: float) -> Reply:
    """Race `second` against `first` once that is silent for `delay` seconds.

    Raises the first model's error where neither answered.
    """
    return await _Race(tries, lane, first, second).run(delay)
