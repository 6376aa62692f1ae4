"""One try at one model: reserve, call, pass on what arrives, settle."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from smartrouter_serve.calls import (
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Waiting,
    tool_calls,
)
from smartrouter_serve.engine import estimate
from smartrouter_serve.engine.decide import Wish, least_output
from smartrouter_serve.engine.lane import Lane, Ports, baseline_nanos
from smartrouter_serve.engine.ports import Chunk, Entry, Grant, Hold, Request, Scope
from smartrouter_serve.errors import (
    RUN_AGAIN,
    BudgetExceeded,
    BudgetOnHold,
    CircuitOpen,
    ProviderError,
    TruncatedStream,
)
from smartrouter_serve.money import PICOS_PER_NANO, show
from smartrouter_serve.types import Decision, Finish, Model, Price, Reply, Usage


@dataclass(slots=True, kw_only=True)
class Received:
    """What arrived of an answer so far, and when."""

    started: float
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tools: list[ToolCallDelta] = field(default_factory=list)
    usage: Usage | None = None
    finish: Finish | None = None
    first_at: float | None = None
    load_seconds: float = 0.0

    def first_token(self) -> float | None:
        """Seconds to the first token; the time that loading the model took is left out."""
        if self.first_at is None:
            return None
        return max(self.first_at - self.started - self.load_seconds, 0.0)


class Attempt:
    """One try at `model` for a lane."""

    def __init__(self, ports: Ports, lane: Lane, decision: Decision, model: Model) -> None:
        self.ports = ports
        self.lane = lane
        self.decision = decision
        self.model = model
        self.price: Price | None = ports.prices.price(model.id)
        self.think = ports.think(lane.route)
        self.tokens = estimate.Tokens(
            input=decision.input_tokens,
            input_bound=decision.input_bound,
            output=decision.output_tokens,
            output_p90=decision.output_tokens_p90,
        )

    async def run(self) -> Reply:
        """Answer, or raise the `ProviderError` or `BudgetExceeded` that stood in the way.

        However it ends, what was used is in the ledger.
        """
        health, name = self.ports.health, self.model.id
        if not health.admit(name):
            raise CircuitOpen(
                f"{name}: {health.obstacle(name)}.",
                "Leave -m out and another model answers, or wait.",
            )
        try:
            grant = await self._reserve()
        except BaseException:
            health.abandon(name)
            raise
        return await self._call(grant)

    def _hold(self) -> Hold:
        """The bound of the call: strict in its input, by `max_tokens` in its output."""
        route, price = self.lane.route, self.price
        scope = Scope(model=self.model.id, project=route.project)
        least = likely = most = 0
        if price is not None:
            wish = Wish(max_tokens=route.max_tokens, think=self.think)
            limit = min(route.max_tokens or self.model.max_output, self.model.max_output)
            bound = self.tokens.input_bound
            least = price.bound_nanos(bound, least_output(self.model, wish))
            likely = price.bound_nanos(bound, min(self.tokens.output_p90, limit))
            most = price.bound_nanos(bound, limit)
        if route.budget_nanos is not None:
            left = route.budget_nanos - self.lane.spent_nanos
            if least > left:
                raise BudgetExceeded(
                    f"The call's budget leaves {show(left)}, but {self.model.id} needs at least "
                    f"{show(least)} for this prompt.",
                    "Raise --budget, shorten the prompt, or choose a cheaper model.",
                )
            most = min(most, left)
        return Hold(
            run=route.run,
            lane=self.lane.name,
            scope=scope,
            least_nanos=least,
            likely_nanos=min(max(likely, least), most),
            most_nanos=most,
            notebook=route.notebook,
        )

    async def _reserve(self) -> Grant:
        hold, ledger = self._hold(), self.ports.ledger
        try:
            grant = await ledger.reserve(hold)
        except BudgetOnHold as error:
            await self.lane.emit(
                Waiting(lane=self.lane.name, reason=f"waiting for running calls: {error.message}")
            )
            left = self.lane.deadline - self.ports.clock.monotonic()
            grant = await ledger.reserve(hold, wait=max(left, 0.0))
        self.lane.note(*grant.notes)
        return grant

    def _max_tokens(self, grant: Grant) -> int | None:
        """The output limit to ask for: the caller's, or what the grant can pay."""
        asked = self.lane.route.max_tokens
        limit = None if asked is None else min(asked, self.model.max_output)
        if self.price is None or self.price.free:
            return limit
        wanted = limit or self.model.max_output
        bound = self.tokens.input_bound
        if self.price.bound_nanos(bound, wanted) <= grant.nanos:
            budgeted = self.ports.settings.budgets or self.lane.route.budget_nanos is not None
            return wanted if budgeted else limit
        spare = grant.nanos - self.price.bound_nanos(bound, 0)
        rate = self.price.rates(bound).dearest_output
        return max(min(spare * PICOS_PER_NANO // rate, wanted), 1)

    def _request(self, max_tokens: int | None) -> Request:
        route = self.lane.route
        return Request(
            model=self.model,
            messages=route.messages,
            max_tokens=max_tokens,
            temperature=route.temperature,
            top_p=route.top_p,
            think=self.think,
            response_format=route.response_format,
            tools=route.tools,
            tool_choice=route.tool_choice,
            stop=route.stop,
            seed=route.seed,
            input_tokens=self.tokens.input,
        )

    async def _call(self, grant: Grant) -> Reply:
        clock, health = self.ports.clock, self.ports.health
        received = Received(started=clock.monotonic())
        limit = self._max_tokens(grant)
        outcome = "cancelled"
        try:
            await self._receive(self._request(limit), received)
            outcome = "ok"
        except ProviderError as error:
            outcome = type(error).__name__
            health.fail(self.model.id, error)
            raise
        finally:
            ended = clock.monotonic()
            with anyio.CancelScope(shield=True):
                entry = self._entry(received, outcome, ended)
                await self.ports.ledger.settle(grant, entry)
            self.lane.book(entry.cost_nanos)
            if outcome == "cancelled":
                health.abandon(self.model.id)
        if (
            limit is not None
            and limit != self.lane.route.max_tokens
            and received.finish == "length"
        ):
            self.lane.note(f"cut at {limit:,} tokens, which is what the budget pays")
        return self._reply(received, entry, ended)

    async def _receive(self, request: Request, received: Received) -> None:
        provider = self.ports.providers[self.model.provider]
        async with provider.stream(request) as chunks:
            async for chunk in chunks:
                if chunk.usage is not None:
                    received.usage = chunk.usage
                if chunk.finish is not None:
                    received.finish = chunk.finish
                if chunk.load_seconds:
                    received.load_seconds = chunk.load_seconds
                if chunk.text or chunk.reasoning or chunk.tool_calls:
                    if received.first_at is None:
                        received.first_at = self.ports.clock.monotonic()
                    await self._pass_on(chunk, received)
        if received.finish is None:
            raise TruncatedStream(
                f"{self.model.id} stopped without saying that it was done.", RUN_AGAIN
            )
        if not (received.text or received.tools or received.finish == "length"):
            raise TruncatedStream(f"{self.model.id} finished without an answer.", RUN_AGAIN)

    async def _pass_on(self, chunk: Chunk, received: Received) -> None:
        lane = self.lane
        lane.reached_user = True
        if chunk.reasoning:
            received.reasoning.append(chunk.reasoning)
            await lane.emit(ReasoningDelta(lane=lane.name, text=chunk.reasoning))
        if chunk.text:
            received.text.append(chunk.text)
            lane.text.append(chunk.text)
            await lane.emit(TextDelta(lane=lane.name, text=chunk.text))
        for delta in chunk.tool_calls:
            received.tools.append(delta)
            await lane.emit(
                ToolCallDelta(
                    lane=lane.name,
                    index=delta.index,
                    id=delta.id,
                    name=delta.name,
                    arguments=delta.arguments,
                )
            )

    def _usage(self, received: Received, outcome: str) -> Usage:
        """The provider's figures; else our own count of a call that was under way."""
        if received.usage is not None:
            return received.usage
        if received.first_at is None and outcome not in ("ok", "cancelled"):
            return Usage()
        text = "".join((*received.reasoning, *received.text))
        return estimate.counted(self.model, self.lane.route.messages, text)

    def _entry(self, received: Received, outcome: str, ended: float) -> Entry:
        usage = self._usage(received, outcome)
        cost = usage.cost_nanos
        source = "provider" if cost is not None else ""
        if cost is None and self.price is not None:
            cost, source = self.price.cost_nanos(usage), self.price.source
        elif cost is None and not usage.input_tokens and not usage.output_tokens:
            cost = 0  # nothing was used, whatever the price
        return Entry(
            outcome=outcome,
            cost_nanos=cost,
            usage=usage,
            baseline=self.ports.settings.baseline,
            baseline_nanos=baseline_nanos(self.ports, usage),
            intent=self.decision.intent,
            policy=self.decision.policy,
            latency=ended - received.started - received.load_seconds,
            first_token=received.first_token(),
            price_source=source,
        )

    def _reply(self, received: Received, entry: Entry, ended: float) -> Reply:
        lane, first = self.lane, received.first_token()
        self.ports.health.succeed(
            self.model.id, first or entry.latency, entry.latency, entry.usage.output_tokens
        )
        return Reply(
            id=lane.route.run,
            text="".join(received.text),
            model=self.model.id,
            usage=entry.usage,
            cost_nanos=lane.cost_nanos,
            decision=self.decision,
            baseline=entry.baseline,
            baseline_nanos=entry.baseline_nanos,
            latency=ended - received.started,
            first_token=first,
            reasoning="".join(received.reasoning),
            tool_calls=tool_calls(received.tools),
            finish=received.finish or "stop",
            switched_from=tuple(lane.switched_from),
            notes=tuple(lane.notes),
        )
