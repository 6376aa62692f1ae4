"""What one contestant's run shares between its steps."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from smartrouter_serve.calls import Event, Route, run_id
from smartrouter_serve.config import Settings
from smartrouter_serve.engine.health import Health
from smartrouter_serve.engine.ports import (
    Catalog,
    Clock,
    ContextStore,
    Ledger,
    PriceBook,
    Provider,
)
from smartrouter_serve.types import Message, Reply, Think, Usage, Variant

Emit = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything below the engine, as `assemble` wired it."""

    providers: Mapping[str, Provider]
    catalog: Catalog
    prices: PriceBook
    ledger: Ledger
    context: ContextStore
    clock: Clock
    settings: Settings
    health: Health

    def think(self, route: Route) -> Think:
        """The thinking level that holds for a call."""
        return route.think or self.settings.think


@dataclass(slots=True, kw_only=True)
class Lane:
    """One contestant under way."""

    route: Route
    name: str
    emit: Emit
    deadline: float = math.inf
    """On the clock's monotonic scale."""
    text: list[str] = field(default_factory=list)
    """The current model's answer so far."""
    reached_user: bool = False
    """Text, thinking or a tool call of the current model was shown."""
    spent_nanos: int = 0
    """What every try of this lane cost so far."""
    priced: bool = True
    """Whether every try's price is known."""
    switched_from: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def cost_nanos(self) -> int | None:
        """What the lane has used; None where a price is unknown."""
        return self.spent_nanos if self.priced else None

    def book(self, cost_nanos: int | None) -> None:
        """Add what a try cost."""
        self.spent_nanos += cost_nanos or 0
        self.priced &= cost_nanos is not None

    def note(self, *notes: str) -> None:
        """Keep what the person should know, once."""
        self.notes.extend(note for note in notes if note not in self.notes)


def with_variant(route: Route) -> Route:
    """Put a pinned variant's parameters where the route's own are."""
    variant = route.model
    if variant is None or variant == Variant(model=variant.model):
        return route
    messages = route.messages
    if variant.system is not None:
        messages = (Message(role="system", content=variant.system), *messages)
    return replace(
        route,
        messages=messages,
        temperature=route.temperature if variant.temperature is None else variant.temperature,
        max_tokens=route.max_tokens if variant.max_tokens is None else variant.max_tokens,
        think=route.think if variant.think is None else variant.think,
    )


def baseline_nanos(ports: Ports, usage: Usage) -> int | None:
    """What the baseline would have cost for the same tokens, but without the thinking.

    The thinking is the served model's own, so it counts against the savings.
    """
    price = ports.prices.price(ports.settings.baseline)
    if price is None:
        return None
    answer = usage.output_tokens - usage.reasoning_tokens
    return price.cost_nanos(replace(usage, output_tokens=answer, cost_nanos=None))


def cached_reply(reply: Reply) -> Reply:
    """The same answer, served again for nothing."""
    avoided = "" if reply.cost is None else f", ${reply.cost.normalize():f} avoided"
    return replace(
        reply,
        id=run_id(),
        cached=True,
        cost_nanos=0,
        latency=0.0,
        first_token=0.0,
        switched_from=(),
        notes=(f"answered from the cache{avoided}; --no-cache asks again",),
    )
