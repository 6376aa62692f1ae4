"""What the engine needs from below, and the values that cross.

Embedded, the ports are the objects themselves; on a cluster, proxies of the same protocols. A
provider raises `errors.ProviderError` and its subclasses, nothing else; the stores raise
`errors.StoreError`, the ledger also `errors.BudgetExceeded`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from smartrouter_serve.calls import Route, ToolCallDelta
from smartrouter_serve.types import (
    Battle,
    Finish,
    Message,
    Model,
    Price,
    Reply,
    Think,
    Usage,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a provider is asked; every parameter is meant, none is a default."""

    model: Model
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    """The most output tokens, thinking included; None leaves it to the provider."""
    temperature: float | None = None
    top_p: float | None = None
    think: Think = "off"
    response_format: dict[str, Any] | None = None
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    input_tokens: int = 0
    """Our estimate, for a provider that must be told how large a window to open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an answer as it arrives; most fields of most chunks are empty."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    usage: Usage | None = None
    """The whole call's, not the chunk's; the last one counts."""
    finish: Finish | None = None
    load_seconds: float = 0.0
    """Time that went into loading the model: not counted as latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model as the provider's own list names it."""

    name: str
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] = frozenset()
    input_per_mtok: str | None = None
    """US dollars a million tokens, as a decimal string, where the list has prices."""
    output_per_mtok: str | None = None
    cached_input_per_mtok: str | None = None


class Provider(Protocol):
    """One company's or machine's API."""

    @property
    def name(self) -> str:
        """The part of a model's id before the slash."""
        ...

    def missing(self, model: Model) -> str:
        """Why `model` cannot be called at all, and the way out; empty where it can.

        Cheap, and no I/O beyond a look at a local file: it is asked for every candidate of every
        decision.
        """
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open the answer; leaving the context ends the upstream call.

        A complete answer has exactly one chunk with `finish`; an iteration that ends without one
        raises `TruncatedStream`.
        """
        ...

    async def models(self) -> tuple[Listed, ...]:
        """Ask the provider which models it has."""
        ...

    async def probe(self) -> None:
        """Ask the cheapest question that needs the key; raises the matching `ProviderError`."""
        ...

    async def aclose(self) -> None:
        """Close the connections and what was started."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a budget can be about."""

    model: str
    project: str = ""
    user: str = ""

    @property
    def provider(self) -> str:
        """The model's provider."""
        return self.model.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A wish to spend: the upper bound of a call, and how little of it would do."""

    run: str
    lane: str
    scope: Scope
    least_nanos: int
    """Under this the call is not worth making."""
    likely_nanos: int
    """What the call is expected to need at the most (p90)."""
    most_nanos: int
    """The bound of the call as it was asked for."""
    notebook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A reservation that is on disk."""

    id: int
    nanos: int
    """From `least_nanos` to `most_nanos`: the call must be bounded by it."""
    notes: tuple[str, ...] = ()
    """Budgets past 80 % of their limit, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a reserved call ended; entries are appended and never updated."""

    outcome: str
    """`ok`, `cancelled`, or the class name of the error."""
    cost_nanos: int | None
    """None where the price is unknown."""
    usage: Usage
    baseline: str = ""
    baseline_nanos: int | None = None
    intent: str = ""
    policy: str = ""
    latency: float = 0.0
    first_token: float | None = None
    price_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured of a model lately."""

    calls: int
    failures: int
    first_token: float | None
    """Median seconds; None where no answer came."""
    tokens_per_second: float | None
    """Median rate of output tokens after the first one."""
    output_tokens: float | None = None
    """Median."""


class Ledger(Protocol):
    """The record of money; one total order over all processes that share it."""

    async def left(self, scopes: Sequence[Scope]) -> tuple[int | None, ...]:
        """What the budgets leave for each scope once all holds are released; None: no budget."""
        ...

    async def reserve(self, hold: Hold, *, wait: float = 0.0) -> Grant:
        """Hold money, durably, before a call; waits up to `wait` seconds for other holds.

        Raises `BudgetOnHold` where only the holds of running calls stand in the way, else
        `BudgetExceeded`.
        """
        ...

    async def settle(self, grant: Grant, entry: Entry) -> None:
        """Book what a call used and free the rest; durable soon after it returns."""
        ...

    async def record_battle(self, battle: Battle) -> None:
        """Keep a battle so that it can be voted on later."""
        ...

    async def battle(self, run: str) -> Battle | None:
        """Read a battle back."""
        ...

    async def vote(self, run: str, winner: str, reason: str) -> str:
        """Keep a vote; it replaces an earlier one on the battle, whose winner is answered."""
        ...

    async def leaderboard(self) -> list[dict[str, Any]]:
        """Wins, losses, ties and battles a model, best first."""
        ...

    async def budgets(self) -> list[dict[str, Any]]:
        """Every budget's limit, spent, on hold, left and reset time."""
        ...

    async def usage(self, by: str, since: float | None) -> list[dict[str, Any]]:
        """Calls, tokens, cost, baseline cost and savings, grouped."""
        ...

    async def unconfirmed(self) -> list[dict[str, Any]]:
        """What a crash left booked at its upper bound."""
        ...

    async def speeds(self) -> dict[str, Speed]:
        """What was measured lately, by model id."""
        ...

    async def aclose(self) -> None:
        """Write what is queued and close."""
        ...


class ContextStore(Protocol):
    """What a call can build on: sessions, sources and earlier answers."""

    async def gather(self, route: Route) -> tuple[Message, ...]:
        """The messages to send: the session's turns and sources in front of the call's own.

        Raises `UsageError` for a source that does not exist.
        """
        ...

    async def lookup(self, sent: Route) -> Reply | None:
        """The stored answer to an equal call, if any; `sent` holds the gathered messages."""
        ...

    async def remember(self, route: Route, sent: Route, reply: Reply) -> None:
        """Keep the turn in its session, and the answer for an equal call."""
        ...

    async def sessions(self) -> list[dict[str, Any]]:
        """The sessions there are."""
        ...


class Catalog(Protocol):
    """The models there are."""

    @property
    def models(self) -> Mapping[str, Model]:
        """Every model, by id."""
        ...

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Battle groups: model ids by lower-case name."""
        ...

    def find(self, name: str) -> Model:
        """The model of this id or unambiguous short name.

        Raises `UnknownModel` with the nearest names.
        """
        ...


class PriceBook(Protocol):
    """Dated prices."""

    def price(self, model: str) -> Price | None:
        """What `model` costs now; None where nobody knows."""
        ...


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
