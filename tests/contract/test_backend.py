"""What every `Backend` promises, whatever lies behind it."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from decimal import Decimal

import anyio
import pytest

from smartrouter_serve.calls import (
    Arena,
    Backend,
    Decided,
    Failed,
    Finished,
    Query,
    Route,
    Stop,
    TextDelta,
    Vote,
)
from smartrouter_serve.client import Router
from smartrouter_serve.errors import AuthError, Overloaded, UnknownModel
from smartrouter_serve.types import Message, Variant
from tests.engine.lab import LARGE, MIDDLE, SMALL, Lab

HELLO = (Message(role="user", content="Say hello."),)
ROUTE = Route(messages=HELLO)
ARENA = Arena(route=ROUTE, models=(Variant(model=SMALL), Variant(model=LARGE)))
CALLS = {
    "route": ROUTE,
    "dry run": Route(messages=HELLO, dry_run=True),
    "pinned": Route(messages=HELLO, model=Variant(model=LARGE)),
    "unknown model": Route(messages=HELLO, model=Variant(model="nobody/knows")),
    "nothing to say": Route(messages=(Message(role="user", content=" "),)),
    "arena": ARENA,
    "arena of one": Arena(route=ROUTE, models=(Variant(model=SMALL),)),
    "stop nothing": Stop(battle="no-such-battle", contestants=("1",)),
    "vote for nothing": Vote(battle="no-such-battle", choice="1"),
    "query": Query(subject="models"),
    "wrong argument": Query(subject="usage", arguments={"by": "mood"}),
}


async def all_of(backend: Backend, call):
    """The events of a call."""
    async with backend.send(call) as events:
        return [event async for event in events]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_every_lane_ends_once_and_the_call_last(backend: Backend, call) -> None:
    """Trouble is an event, too: nothing is raised while a call is read."""
    events = await all_of(backend, call)
    ends = Counter(event.lane for event in events if isinstance(event, Finished | Failed))
    assert set(ends.values()) == {1}
    assert {event.lane for event in events} <= set(ends)
    assert events[-1].lane == ""
    assert isinstance(events[-1], Finished | Failed)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_calls_and_events_survive_pickle(backend: Backend, call) -> None:
    """Actors send them so."""
    assert pickle.loads(pickle.dumps(call)) == call
    for event in await all_of(backend, call):
        assert pickle.loads(pickle.dumps(event)) == event


async def test_a_route_is_decided_told_and_finished(backend: Backend) -> None:
    """The text that came is the reply's, and the reply says who gave it."""
    first, *_, last = events = await all_of(backend, ROUTE)
    assert isinstance(first, Decided)
    assert first.decision.model == last.result.model == SMALL
    told = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert told == last.result.text == f"I am {SMALL}"


async def test_a_dry_run_asks_nobody(backend: Backend, lab: Lab) -> None:
    """It decides, with every candidate, and costs nothing."""
    decided, finished = await all_of(backend, CALLS["dry run"])
    assert {c.model for c in decided.decision.candidates} == {SMALL, MIDDLE, LARGE}
    assert finished.result is None
    assert lab.east.requests == lab.west.requests == []
    assert await lab.usage() == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("unknown model", "UnknownModel"), ("nothing to say", "UsageError")],
)
async def test_trouble_says_what_to_do(backend: Backend, name: str, kind: str) -> None:
    """The problem carries its kind, one line, and the way out; it becomes the same error again."""
    failed = (await all_of(backend, CALLS[name]))[-1]
    assert isinstance(failed, Failed)
    error = failed.problem.error()
    assert type(error).__name__ == kind
    assert error.message
    assert "\n" not in error.message
    assert error.remedy


async def test_a_providers_error_keeps_its_class(backend: Backend, lab: Lab) -> None:
    """A client can tell a wrong key from a busy provider."""
    lab.script(LARGE, AuthError("The key is wrong.", "Set another."))
    with pytest.raises(AuthError, match=r"The key is wrong\."):
        await Router(backend=backend).route("Hello", model=LARGE)
    with pytest.raises(UnknownModel):
        await Router(backend=backend).route("Hello", model="east/smal")


async def test_a_battle_tells_its_lanes_apart(backend: Backend) -> None:
    """Each contestant has a lane of its own, and the battle's cost is their sum."""
    events = await all_of(backend, ARENA)
    battle = events[-1].result
    assert [c.model for c in battle.contestants] == [SMALL, LARGE]
    for contestant in battle.contestants:
        told = [e.text for e in events if isinstance(e, TextDelta) and e.lane == contestant.label]
        assert "".join(told) == contestant.reply.text == f"I am {contestant.model}"
    assert battle.cost_nanos == sum(c.reply.cost_nanos for c in battle.contestants) > 0


async def test_a_contestant_that_fails_leaves_the_battle(backend: Backend, lab: Lab) -> None:
    """One lane's end is not the call's."""
    lab.script(LARGE, AuthError("The key is wrong."))
    battle = (await all_of(backend, ARENA))[-1].result
    assert battle.contestants[0].reply.text == f"I am {SMALL}"
    assert "The key is wrong" in battle.contestants[1].error


async def test_a_vote_is_kept(backend: Backend) -> None:
    """A battle can be voted on, and the vote is seen in the leaderboard."""
    router = Router(backend=backend)
    battle = await router.arena("Hello", models=[SMALL, LARGE])
    await router.vote(battle.id, "2", "friendlier")
    wins = {row["model"]: row["wins"] for row in await router.query("leaderboard")}
    assert wins[LARGE] > wins[SMALL]


@pytest.mark.parametrize("how", ["vote", "stop"])
async def test_a_running_battle_can_be_cut_short(backend: Backend, lab: Lab, how: str) -> None:
    """The loser is cancelled upstream and settled; its lane ends once; the other one goes on."""
    lab.script(SMALL, [*_words("A"), anyio.Event()])
    arena = replace(ARENA, route=replace(ROUTE, run="abcd2345"))
    router = Router(backend=backend)
    ends: list[Finished | Failed] = []
    async with backend.send(arena) as events:
        async for event in events:
            if isinstance(event, TextDelta) and event.lane == SMALL:
                cut = (
                    router.vote("abcd2345", "2") if how == "vote" else router.stop("abcd2345", [1])
                )
                assert (await cut)["battle"] == "abcd2345"
            if isinstance(event, Finished | Failed):
                ends.append(event)
    assert {end.lane: type(end) for end in ends} == {SMALL: Failed, LARGE: Finished, "": Finished}
    assert (lab.east.under_way, lab.east.cancelled) == (0, 1)
    battle = ends[-1].result
    assert battle.contestants[1].reply.text == f"I am {LARGE}"
    assert battle.winner == (LARGE if how == "vote" else "")
    assert battle.contestants[0].cost_nanos > 0


async def test_what_was_spent_can_be_asked(backend: Backend) -> None:
    """The ledger's sum is what the replies said, to the nano-dollar."""
    router = Router(backend=backend)
    replies = [await router.route(f"Hello {n}") for n in range(3)]
    rows = await router.query("usage", by="model")
    spent = sum(Decimal(str(row["cost"])) for row in rows)
    assert spent in {sum(r.cost_nanos for r in replies), sum(r.cost for r in replies)}
    assert [row["calls"] for row in rows] == [3]


@pytest.mark.parametrize("call", [ROUTE, ARENA], ids=["route", "arena"])
async def test_leaving_cancels_upstream(backend: Backend, lab: Lab, call) -> None:
    """Whoever leaves the context stops all that runs for it, and the ledger holds nothing open."""
    for model in (SMALL, LARGE):
        lab.script(model, [*_words("A"), anyio.Event()])
    async with backend.send(call) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert lab.east.under_way == lab.west.under_way == 0
    assert await lab.router.query("unconfirmed") == []


async def test_calls_at_once_do_not_mix(backend: Backend, lab: Lab) -> None:
    """Twenty streams side by side: each is whole and its own."""
    lab.script(SMALL, *(f"answer {n} of twenty" for n in range(20)))
    texts: list[str] = []

    async def ask(number: int) -> None:
        events = await all_of(
            backend, Route(messages=(Message(role="user", content=f"{number}?"),))
        )
        told = "".join(e.text for e in events if isinstance(e, TextDelta))
        assert told == events[-1].result.text
        texts.append(told)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, number)
    assert sorted(texts) == sorted(f"answer {n} of twenty" for n in range(20))


async def test_a_switch_is_seen(backend: Backend, lab: Lab) -> None:
    """The reply names the model that failed before, and the one that served."""
    lab.script(SMALL, Overloaded("Busy."))
    reply = (await all_of(backend, ROUTE))[-1].result
    assert reply.switched_from == (SMALL,)
    assert reply.model != SMALL


async def test_closing_twice_is_closing_once(backend: Backend, lab: Lab) -> None:
    """A kernel that ends may do it again; what was spent is on disk all the same."""
    await all_of(backend, ROUTE)
    await backend.aclose()
    await backend.aclose()
    assert (await lab.usage())[SMALL]["calls"] == 1


def _words(text: str):
    from smartrouter_serve.engine.ports import Chunk

    return [Chunk(text=text)]
