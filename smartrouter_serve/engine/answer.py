"""The one pipeline of one contestant, top to bottom.

Gather context, look in the cache, decide, then for the chosen model and its fallbacks: reserve,
call, settle; at last remember. It pushes events to the lane and returns the reply or raises.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from smartrouter_serve.calls import Decided, Route, Switched, TextDelta, Waiting
from smartrouter_serve.engine import intent
from smartrouter_serve.engine.attempt import Attempt
from smartrouter_serve.engine.decide import Option, Wish, decide
from smartrouter_serve.engine.hedge import race
from smartrouter_serve.engine.intent import Features
from smartrouter_serve.engine.lane import Lane, Ports, cached_reply, with_variant
from smartrouter_serve.engine.ports import Scope
from smartrouter_serve.errors import (
    BudgetExceeded,
    ContextOverflow,
    Overloaded,
    ProviderError,
    SmartRouterError,
    UsageError,
)
from smartrouter_serve.types import Decision, Model, Reply

_BACK_OFF = 0.5
"""Seconds: the longest first wait; it doubles with every further try."""
_LONGEST_BACK_OFF = 20.0
_PATIENCE = 3.0
"""Seconds that a model is waited for while there are others to ask."""


async def answer(ports: Ports, lane: Lane, decision: Decision | None = None) -> Reply:
    """Answer the lane's route; a `decision` that was told already is followed.

    However it ends, the lane holds what it cost and the text so far. Raises the
    `SmartRouterError` that ends the lane.
    """
    route = lane.route
    sent = lane.route = await prepared(ports, route)
    if route.cache and (known := await ports.context.lookup(sent)) is not None:
        return await _again(known, lane)
    if decision is None:
        decision = await consider(ports, sent)
        await lane.emit(Decided(lane=lane.name, decision=decision))
    seconds = route.deadline or ports.settings.resilience.deadline
    lane.deadline = ports.clock.monotonic() + seconds
    try:
        async with asyncio.timeout(seconds) as patience:
            reply = await _first_good(ports, lane, decision)
            await ports.context.remember(route, sent, reply)
            return reply
    except TimeoutError as error:
        if not patience.expired():
            raise
        raise Overloaded(
            f"No answer within the deadline of {seconds:g} s.",
            "Raise resilience.deadline, or choose a faster model with --policy fast.",
        ) from error


async def prepared(ports: Ports, route: Route) -> Route:
    """`route` as it will be sent: with its variant's parameters and its context in place."""
    route = with_variant(route)
    messages = await ports.context.gather(route)
    return route if messages == route.messages else replace(route, messages=messages)


async def _again(known: Reply, lane: Lane) -> Reply:
    reply = cached_reply(known)
    await lane.emit(Decided(lane=lane.name, decision=reply.decision))
    await lane.emit(TextDelta(lane=lane.name, text=reply.text))
    return reply


def features_of(route: Route) -> Features:
    """What the prompt of a prepared route is like.

    Raises `UsageError` for an unknown intent.
    """
    if route.intent and route.intent not in intent.INTENTS:
        raise UsageError(
            f"Unknown intent {route.intent!r}.", f"Known are {', '.join(intent.INTENTS)}."
        )
    return intent.read(route, route.messages)


async def consider(ports: Ports, route: Route, features: Features | None = None) -> Decision:
    """Decide who answers a prepared route, whose features may be known already.

    Raises `UnknownModel`, `NoCandidate` or `UsageError`.
    """
    started = time.perf_counter()
    features = features or features_of(route)
    pinned = ports.catalog.find(route.model.model).id if route.model else ""
    wish = Wish(
        policy=route.policy or ports.settings.policy,
        budget_nanos=route.budget_nanos,
        max_latency=route.max_latency,
        max_tokens=route.max_tokens,
        think=ports.think(route),
        pinned=pinned,
    )
    decision = decide(features, await options(ports, route, pinned), wish)
    return replace(decision, seconds=time.perf_counter() - started)


async def options(ports: Ports, route: Route, pinned: str = "") -> list[Option]:
    """Every model of the catalog as it stands now, or the pinned one alone."""
    catalog = ports.catalog.models
    models = [catalog[pinned]] if pinned else list(catalog.values())
    left: Sequence[int | None] = (None,) * len(models)
    if ports.settings.budgets:
        scopes = [Scope(model=model.id, project=route.project) for model in models]
        left = await ports.ledger.left(scopes)
    return [
        Option(
            model=model,
            price=ports.prices.price(model.id),
            speed=ports.health[model.id].speed(),
            obstacle=obstacle(ports, model),
            left_nanos=nanos,
        )
        for model, nanos in zip(models, left, strict=True)
    ]


def obstacle(ports: Ports, model: Model) -> str:
    """Why `model` cannot be called now; empty if it can."""
    provider = ports.providers.get(model.provider)
    if provider is None:
        return "provider is switched off"
    if model.jurisdiction and model.jurisdiction in ports.settings.residency.deny:
        return f"denied region {model.jurisdiction}"
    return provider.missing(model) or ports.health.obstacle(model.id)


async def _first_good(ports: Ports, lane: Lane, decision: Decision) -> Reply:
    """The first good answer along the ranking; every change of model is a `Switched` event."""
    models = [ports.catalog.models[m] for m in (decision.model, *decision.fallbacks)]
    error: SmartRouterError | None = None

    async def tries(lane: Lane, model: Model) -> Reply:
        return await _tries(ports, lane, decision, model, alone=len(models) == 1)

    for model in models:
        if error is not None:
            if not _may_follow(ports, model, lane, error):
                continue
            await _switch(lane, model, error)
        try:
            delay = _hedge_after(ports, models) if error is None else None
            if delay is not None:
                return await race(tries, lane, models[0], models[1], delay)
            return await tries(lane, model)
        except BudgetExceeded as refused:
            error = refused
        except ProviderError as failed:
            if not failed.fall_back:
                raise
            error = failed
        lane.switched_from.append(model.id)
    raise (
        error
        if error is not None
        else Overloaded(
            "The decision named no model.",
            "Run it again; `smartrouter doctor` looks for the cause.",
        )
    )


def _hedge_after(ports: Ports, models: Sequence[Model]) -> float | None:
    """Seconds of silence after which a second model is asked; None where none is."""
    if not ports.settings.resilience.hedge or len(models) == 1 or obstacle(ports, models[1]):
        return None
    return ports.health[models[0].id].first_token_p95()


def _may_follow(ports: Ports, model: Model, lane: Lane, error: SmartRouterError) -> bool:
    """Whether `model` is worth a try after `error`."""
    if model.id in lane.switched_from:
        return False
    if isinstance(error, ContextOverflow):
        last = ports.catalog.models[lane.switched_from[-1]]
        return model.context > last.context
    return not obstacle(ports, model)


async def _switch(lane: Lane, model: Model, error: SmartRouterError) -> None:
    lane.text.clear()
    lane.reached_user = False
    last = lane.switched_from[-1]
    await lane.emit(
        Switched(lane=lane.name, from_model=last, to_model=model.id, reason=error.message)
    )


async def _tries(
    ports: Ports, lane: Lane, decision: Decision, model: Model, *, alone: bool
) -> Reply:
    """Try one model, again where that may help; never again once something was shown.

    A long wait is worth it only where there is no other model.
    """
    ports.health.request()
    for wait in _waits(ports.settings.resilience.attempts):
        await lane.emit(Waiting(lane=lane.name, reason=f"waiting for {model.id}"))
        try:
            return await Attempt(ports, lane, decision, model).run()
        except ProviderError as error:
            again = error.retry and wait is not None and not lane.reached_user
            pause = max(error.retry_after or 0.0, wait or 0.0)
            left = lane.deadline - ports.clock.monotonic()
            left = left if alone else min(left, _PATIENCE)
            if not again or pause >= left or not ports.health.may_retry():
                raise
            reason = f"retrying {model.id} in {pause:.1f} s: {error.message}"
            await lane.emit(Waiting(lane=lane.name, reason=reason, seconds=pause))
        await ports.clock.sleep(pause)
    raise AssertionError("the last wait is None, so the last error was raised")


def _waits(attempts: int) -> Iterator[float | None]:
    """Full-jitter exponential back-off, a wait for each try but the last, whose wait is None."""
    for attempt in range(attempts - 1):
        ceiling = min(_BACK_OFF * 2**attempt, _LONGEST_BACK_OFF)
        yield random.uniform(0, ceiling)  # noqa: S311 - jitter is no secret
    yield None
