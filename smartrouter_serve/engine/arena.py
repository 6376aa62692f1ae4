"""A battle: the pipeline of one contestant in N lanes, merged into one stream."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import anyio

from smartrouter_serve.calls import Arena, Decided, Failed, Finished, Route, Vote
from smartrouter_serve.engine.answer import answer, consider, features_of, obstacle, prepared
from smartrouter_serve.engine.converge import converge
from smartrouter_serve.engine.intent import Features
from smartrouter_serve.engine.lane import Emit, Lane, Ports
from smartrouter_serve.errors import (
    NoCandidate,
    Problem,
    Refused,
    SmartRouterError,
    Stopped,
    UsageError,
)
from smartrouter_serve.types import Battle, Contestant, Decision, Message, Reply, Variant
from smartrouter_serve.variants import parse_variant

_DEFAULT_GROUP = "hybrid"
_MOST = 8
"""Contestants that still fit on a screen side by side."""


@dataclass(slots=True, kw_only=True)
class Seat:
    """A contestant's place while the battle runs."""

    label: str
    route: Route
    decision: Decision | None = None
    lane: Lane | None = None
    reply: Reply | None = None
    problem: Problem | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    stopped: bool = False

    @property
    def runs(self) -> bool:
        """Whether it may still answer."""
        return self.reply is None and self.problem is None

    @property
    def contestant(self) -> Contestant:
        """The place as a value."""
        model = (
            self.reply.model if self.reply else self.route.model.model if self.route.model else ""
        )
        error = self.problem.message if self.problem else ""
        return Contestant(
            label=self.label,
            model=model,
            reply=self.reply,
            error=error,
            cost_nanos=self.lane.cost_nanos if self.lane else 0,
        )


@dataclass(slots=True)
class Fight:
    """A battle under way, which a vote or a stop may cut short."""

    seats: list[Seat]
    vote: Vote | None = None
    """The vote that came while it ran."""

    @property
    def labels(self) -> list[str]:
        """The contestants in the order of their numbers."""
        return [seat.label for seat in self.seats]

    def decide(self, vote: Vote) -> None:
        """Keep a vote for the end, and stop those that it has made superfluous."""
        self.vote = vote
        self.stop([label for label in self.labels if label != vote.choice])

    def stop(self, labels: Collection[str]) -> list[str]:
        """Cancel those of `labels` that still run, and name them."""
        ended = [seat for seat in self.seats if seat.label in labels and seat.runs]
        for seat in ended:
            seat.stopped = True
            seat.scope.cancel()
        return [seat.label for seat in ended]


def chosen(labels: Sequence[str], choice: str, besides: Collection[str] = ()) -> str:
    """The label that `choice` means: a number from 1, a label, or a word of `besides`.

    Raises `UsageError` for any other.
    """
    choice = choice.strip()
    if choice.isdecimal() and 1 <= int(choice) <= len(labels):
        return labels[int(choice) - 1]
    if choice in labels or choice in besides:
        return choice
    allowed = [f"{n} ({label})" for n, label in enumerate(labels, 1)]
    raise UsageError(
        f"{choice!r} is no contestant.", f"Known are {', '.join([*allowed, *besides])}."
    )


def seats(ports: Ports, call: Arena) -> list[Seat]:
    """Who takes part: the models named, else those of the group that can be called now.

    Raises `UsageError` for an unknown group, too many or too few models.
    """
    variants = call.models or _of_group(ports, call.group or _DEFAULT_GROUP)
    if not 2 <= len(variants) <= _MOST:
        raise UsageError(
            f"A battle takes 2 to {_MOST} models, not {len(variants)}.",
            "Name them with -m A,B; one model twice with other parameters counts as two.",
        )
    budget = call.route.budget_nanos
    share = None if budget is None else budget // len(variants)
    found: list[Seat] = []
    for variant in variants:
        known = replace(variant, model=ports.catalog.find(variant.model).id)
        label, twins = known.label, sum(s.label.partition(" #")[0] == known.label for s in found)
        route = replace(call.route, model=known, budget_nanos=share)
        found.append(Seat(label=f"{label} #{twins + 1}" if twins else label, route=route))
    return found


def _of_group(ports: Ports, name: str) -> tuple[Variant, ...]:
    groups = ports.catalog.groups
    if name.lower() not in groups:
        raise UsageError(f"Unknown group {name!r}.", f"Groups are {', '.join(sorted(groups))}.")
    members = [parse_variant(member) for member in groups[name.lower()]]
    trouble = {m.label: obstacle(ports, ports.catalog.models[m.model]) for m in members}
    ready = tuple(member for member in members if not trouble[member.label])[:_MOST]
    if len(ready) < 2:
        why = "; ".join(f"{m}: {why.partition(':')[0]}" for m, why in trouble.items() if why)
        raise NoCandidate(
            f"Group {name!r} has {len(ready)} of the 2 models that a battle needs ({why}).",
            "Get two local models, 590 MB and no key, with `smartrouter local pull smollm2 && "
            "smartrouter local pull qwen2.5-coder-0.5b`, set a key with `smartrouter keys set "
            "openrouter`, or name others with -m A,B.",
        )
    return ready


async def battle(
    ports: Ports, call: Arena, emit: Emit, under_way: dict[str, Fight]
) -> Battle | None:
    """Run a battle, in `under_way` while it runs; None for a dry run, which ends after deciding.

    Raises `NoCandidate` where every contestant failed.
    """
    places = seats(ports, call)
    await _announce(ports, places, emit)
    if call.route.dry_run:
        return None
    fight = under_way[call.route.run] = Fight(places)
    try:
        async with anyio.create_task_group() as group:
            for place in places:
                group.start_soon(_fight, ports, place, emit)
        fought = await _ended(ports, call, fight, emit)
        await ports.ledger.record_battle(fought)
    finally:
        under_way.pop(call.route.run, None)
    if fight.vote is not None:
        await ports.ledger.vote(fought.id, fight.vote.choice, fight.vote.reason)
    return fought


async def _ended(ports: Ports, call: Arena, fight: Fight, emit: Emit) -> Battle:
    """The battle as a value, with its one answer where one is wanted."""
    places = fight.seats
    if not any(place.reply or place.stopped for place in places):
        raise _all_failed(places)
    fought = Battle(
        id=call.route.run,
        prompt=call.route.messages[-1].text,
        contestants=tuple(place.contestant for place in places),
        converge=call.converge,
        cost_nanos=_sum([place.contestant.cost_nanos for place in places]),
        blind=call.blind,
    )
    if fight.vote is None:
        return await converge(ports, call, fought, emit)
    winner = next((p for p in places if p.label == fight.vote.choice), None)
    return replace(
        fought,
        winner=winner.label if winner else "",
        reply=winner.reply if winner else None,
        verdict=f"your vote: {fight.vote.choice}",
    )


def _all_failed(places: list[Seat]) -> SmartRouterError:
    """One error for all lanes: a refusal where every one of them was refused."""
    problems = [place.problem for place in places if place.problem is not None]
    refused = all(isinstance(problem.error(), Refused) for problem in problems)
    kind = NoCandidate if refused else SmartRouterError
    told = "; ".join(f"{p.label}: {p.problem.message}" for p in places if p.problem is not None)
    return kind(
        f"Every contestant failed: {told}",
        "Mend the first cause, or name other models with -m A,B.",
    )


async def _announce(ports: Ports, places: list[Seat], emit: Emit) -> None:
    """What every contestant is expected to cost, before anything is spent."""
    read: dict[tuple[Message, ...], Features] = {}
    for place in places:
        sent = await prepared(ports, place.route)
        if sent.messages not in read:
            read[sent.messages] = features_of(sent)
        try:
            place.decision = await consider(ports, sent, read[sent.messages])
        except NoCandidate as error:
            place.problem = Problem.of(error)
            await emit(Failed(lane=place.label, problem=place.problem))
        else:
            await emit(Decided(lane=place.label, decision=place.decision))


async def _fight(ports: Ports, place: Seat, emit: Emit) -> None:
    """Run one lane to its one end; a failed contestant does not disturb the others."""
    if place.problem is not None:
        return
    lane = place.lane = Lane(route=place.route, name=place.label, emit=emit)
    try:
        with place.scope:
            place.reply = await answer(ports, lane, place.decision)
        if place.reply is None:
            raise Stopped("stopped before its end.")
    except SmartRouterError as error:
        place.problem = Problem.of(error)
        text, cost = "".join(lane.text), lane.cost_nanos
        await emit(Failed(lane=lane.name, problem=place.problem, text=text, cost_nanos=cost))
    else:
        await emit(Finished(lane=lane.name, result=place.reply))


def _sum(costs: list[int | None]) -> int | None:
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
