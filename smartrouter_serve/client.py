"""`Router`: typed conveniences over `Backend.send`, and `.sync`, its blocking face."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, Self, get_args

from smartrouter_serve import background, shared
from smartrouter_serve.calls import (
    Arena,
    Backend,
    Call,
    Converge,
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
from smartrouter_serve.config import Settings, parse_policy
from smartrouter_serve.errors import SmartRouterError, UsageError
from smartrouter_serve.money import nanos
from smartrouter_serve.types import Battle, Decision, Message, Reply
from smartrouter_serve.variants import parse_variant

Prompt = str | Message | Sequence[Message]
_TUPLES = ("tools", "stop")


class Router:
    """Routes prompts; embedded unless it is given another backend.

    Use it as an async context manager, or call `aclose()`. One `Router` belongs to one event loop;
    in a notebook, one without a configuration of its own works in every loop, on the engine that
    it shares with the magics.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Settings | None = None,
        *,
        backend: Backend | None = None,
    ) -> None:
        self._config = config
        self._given = backend
        self._backend = backend
        self._sync: SyncRouter | None = None
        self._process = os.getpid()

    @property
    def backend(self) -> Backend:
        """The backend: shared in a notebook, else an engine that is built on first use.

        Raises `ConfigError` where the configuration is wrong.
        """
        if self._backend is not self._given and self._process != os.getpid():
            background.of_parents.append(self._backend)
            self._backend = None
        if self._backend is None and self._shares:
            self._backend = shared.Share()
        elif self._backend is None:
            from smartrouter_serve.assemble import build_engine
            from smartrouter_serve.config import load

            self._backend = build_engine(load(self._config))
        self._process = os.getpid()
        return self._backend

    @property
    def _shares(self) -> bool:
        given = self._given
        nothing = given is None and self._config is None
        return isinstance(given, shared.Share) or (nothing and shared.in_notebook())

    @property
    def sync(self) -> SyncRouter:
        """The same methods, blocking; they run on a background event loop of their own."""
        if self._sync is None:
            self._sync = SyncRouter(Router(self._config, backend=self._given))
            if not self._shares:
                background.tenants.add(self._sync)
        return self._sync

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections and write what the ledger still holds."""
        if self._sync is not None:
            self._sync.close()
        if self._backend is not None:
            await self._backend.aclose()

    async def route(self, prompt: Prompt, **options: Any) -> Reply:
        """Send `prompt` to the cheapest model that is good enough and return its reply.

        Options are those of `route_call`. Raises the `SmartRouterError` that the call failed with.
        """
        result = await self._result(route_call(prompt, **options))
        if not isinstance(result.result, Reply):
            raise TypeError(f"a route ended in {type(result.result).__name__}")
        return result.result

    def stream(self, prompt: Prompt, **options: Any) -> AsyncGenerator[Event, None]:
        """Yield the events of a route; closing the iterator cancels the call upstream."""
        return self.events(route_call(prompt, **options))

    async def decide(self, prompt: Prompt, **options: Any) -> Decision:
        """Decide without a call: what would be chosen, and every candidate with its cost."""
        async with aclosing(self.stream(prompt, dry_run=True, **options)) as events:
            async for event in events:
                if isinstance(event, Decided):
                    return event.decision
                if isinstance(event, Failed):
                    raise event.problem.error()
        raise TypeError("a dry run ended without a decision")

    async def arena(self, prompt: Prompt, **options: Any) -> Battle:
        """Let several models answer `prompt`; options are those of `arena_call`."""
        result = await self._result(arena_call(prompt, **options))
        if not isinstance(result.result, Battle):
            raise TypeError(f"an arena ended in {type(result.result).__name__}")
        return result.result

    async def vote(self, battle: str, choice: str, reason: str = "") -> dict[str, Any]:
        """Vote for a contestant (its number from 1 or label), `tie` or `none`.

        While the battle runs, this stops all contestants but the one chosen.
        """
        data: dict[str, Any] = (
            await self._result(Vote(battle=battle, choice=choice, reason=reason))
        ).data
        return data

    async def stop(self, battle: str, contestants: Sequence[str | int]) -> dict[str, Any]:
        """Stop contestants (numbers from 1 or labels) of a battle that runs."""
        named = tuple(str(one) for one in contestants)
        data: dict[str, Any] = (await self._result(Stop(battle=battle, contestants=named))).data
        return data

    async def query(self, subject: str, **arguments: Any) -> Any:
        """Ask for stored data; subjects are those of `calls.Query`."""
        call = Query(subject=subject, arguments=arguments)  # type: ignore[arg-type]
        return (await self._result(call)).data

    async def events(self, call: Call) -> AsyncGenerator[Event, None]:
        """Yield the events of any call."""
        async with self.backend.send(call) as events:
            async for event in events:
                yield event

    async def _result(self, call: Call) -> Finished:
        """The last event of lane `""`; raises what a `Failed` carries."""
        async with self.backend.send(call) as events:
            async for event in events:
                if event.lane == "" and isinstance(event, Finished):
                    return event
                if event.lane == "" and isinstance(event, Failed):
                    raise event.problem.error()
        raise SmartRouterError(
            "The call's stream ended without a result.",
            "Run it again; if it stays so, `smartrouter doctor` looks for the cause.",
        )


class SyncRouter:
    """`Router` for plain scripts and notebook cells: the work runs on a background loop."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the router."""
        background.run(self._router.aclose())
        background.tenants.discard(self)

    def route(self, prompt: Prompt, **options: Any) -> Reply:
        """As `Router.route`."""
        return background.run(self._router.route(prompt, **options))

    def stream(self, prompt: Prompt, **options: Any) -> Generator[Event, None, None]:
        """As `Router.stream`; closing the iterator, or an interrupt, cancels the call."""
        return self.events(route_call(prompt, **options))

    def decide(self, prompt: Prompt, **options: Any) -> Decision:
        """As `Router.decide`."""
        return background.run(self._router.decide(prompt, **options))

    def arena(self, prompt: Prompt, **options: Any) -> Battle:
        """As `Router.arena`."""
        return background.run(self._router.arena(prompt, **options))

    def vote(self, battle: str, choice: str, reason: str = "") -> dict[str, Any]:
        """As `Router.vote`."""
        return background.run(self._router.vote(battle, choice, reason))

    def stop(self, battle: str, contestants: Sequence[str | int]) -> dict[str, Any]:
        """As `Router.stop`."""
        return background.run(self._router.stop(battle, contestants))

    def query(self, subject: str, **arguments: Any) -> Any:
        """As `Router.query`."""
        return background.run(self._router.query(subject, **arguments))

    def events(self, call: Call) -> Generator[Event, None, None]:
        """As `Router.events`."""
        return background.iterate(self._router.events(call))

    def ticking(self, call: Call, seconds: float) -> Generator[Event | None, None, None]:
        """As `events`, and None whenever nothing has come for so many seconds."""
        return background.ticking(self._router.events(call), seconds)

    def relay(self, call: Call) -> AsyncGenerator[Event | None, None]:
        """As `ticking`, for an `async for` on the caller's own event loop."""
        return background.relay(self._router.events(call))


def _messages(prompt: Prompt, system: str) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        turns: tuple[Message, ...] = (Message(role="user", content=prompt),)
    elif isinstance(prompt, Message):
        turns = (prompt,)
    else:
        turns = tuple(prompt)
    return (Message(role="system", content=system), *turns) if system else turns


def _budget(budget: Decimal | float | str | None) -> int | None:
    if budget is None:
        return None
    try:
        amount = nanos(budget)
    except ValueError as error:
        raise UsageError(
            f"The budget {budget!r} is not an amount in dollars.", "Write 0.01 for one cent."
        ) from error
    if amount <= 0:
        raise UsageError(
            f"The budget is {budget}, but must be more than 0 dollars.",
            "Leave it out for no limit; local models cost nothing anyway.",
        )
    return amount


def route_call(
    prompt: Prompt,
    *,
    model: str | None = None,
    policy: str | float | None = None,
    budget: Decimal | float | str | None = None,
    intent: str = "",
    max_latency: float | None = None,
    session: str = "",
    context: Sequence[str] | str = (),
    system: str = "",
    max_tokens: int | None = None,
    **rest: Any,
) -> Route:
    """Build a `Route` from what a person writes.

    `rest` are further fields of `Route` by their own name (`temperature`, `think`, `cache`, …).
    Raises `UsageError` for an unknown option, policy or amount; the engine checks the rest.
    """
    unknown = set(rest) - set(Route.__dataclass_fields__)
    if unknown:
        raise UsageError(
            f"Unknown option {min(unknown)!r}.",
            f"Options are {', '.join(sorted(Route.__dataclass_fields__))}.",
        )
    try:
        checked = "" if policy is None else parse_policy(policy)
    except ValueError as error:
        raise UsageError(f"The {error}.", "Write --policy balanced, for example.") from error
    fields: dict[str, Any] = {k: tuple(v) if k in _TUPLES else v for k, v in rest.items()}
    return Route(
        messages=_messages(prompt, system),
        model=parse_variant(model) if model else None,
        policy=checked,
        budget_nanos=_budget(budget),
        intent=intent,
        max_latency=max_latency,
        session=session,
        context=(context,) if isinstance(context, str) else tuple(context),
        max_tokens=max_tokens,
        **fields,
    )


def arena_call(
    prompt: Prompt,
    *,
    group: str = "",
    models: Sequence[str] = (),
    converge: str = "none",
    blind: bool = False,
    **options: Any,
) -> Arena:
    """Build an `Arena`; `options` are those of `route_call`, shared by every contestant."""
    if converge not in get_args(Converge):
        raise UsageError(
            f"Unknown convergence {converge!r}.",
            f"Known are {', '.join(get_args(Converge))}: write --converge judge, for example.",
        )
    return Arena(
        route=route_call(prompt, **{"run": run_id(), **options}),
        group=group,
        models=tuple(parse_variant(model) for model in models),
        converge=converge,  # type: ignore[arg-type]
        blind=blind,
    )
