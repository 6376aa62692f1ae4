"""Battles: lanes, faults, convergence, votes."""

from __future__ import annotations

from decimal import Decimal

import anyio
import pytest

from smartrouter_serve.calls import Decided, Failed, Finished, TextDelta
from smartrouter_serve.client import arena_call
from smartrouter_serve.engine.converge import same_answer
from smartrouter_serve.engine.ports import Chunk
from smartrouter_serve.errors import (
    ModelMissing,
    NoCandidate,
    SmartRouterError,
    UnknownModel,
    UsageError,
)
from tests.engine.lab import LARGE, MIDDLE, SMALL

ALL = (SMALL, MIDDLE, LARGE)
PROMPT = "What is 17 + 25?"


async def test_every_lane_ends_once_and_tells_its_text(lab):
    """Decisions first, then deltas by lane; the last event is the battle's."""
    events = [e async for e in lab.router.events(arena_call(PROMPT, models=ALL))]
    assert [e.lane for e in events[:3] if isinstance(e, Decided)] == list(ALL)
    for model in ALL:
        own = [e for e in events if e.lane == model]
        assert sum(isinstance(e, Finished | Failed) for e in own) == 1
        text = "".join(e.text for e in own if isinstance(e, TextDelta))
        assert text == own[-1].result.text == f"I am {model}"
    assert events[-1].lane == ""
    assert events[-1].result.id


async def test_the_battles_cost_is_the_sum_of_its_lanes_and_of_the_ledger(lab):
    """No nano-dollar is lost or counted twice."""
    battle = await lab.router.arena(PROMPT, models=ALL)
    rows = await lab.usage()
    assert battle.cost == sum(c.reply.cost for c in battle.contestants)
    assert battle.cost == sum(Decimal(row["cost"]) for row in rows.values())


async def test_the_sessions_turns_are_in_the_bound_of_a_battle(lab):
    """What is reserved for a contestant covers the turns that are sent along."""
    await lab.router.route("A long turn. " * 300, session="talk")
    battle = await lab.router.arena(PROMPT, models=ALL, session="talk")
    for contestant in battle.contestants:
        assert contestant.reply.decision.input_bound > len("A long turn. " * 300)


async def test_a_failed_contestant_does_not_disturb_the_rest(lab):
    """Its column has the error; the others have their answers."""
    lab.script(MIDDLE, ModelMissing("gone"))
    battle = await lab.router.arena(PROMPT, models=ALL)
    assert [bool(c.reply) for c in battle.contestants] == [True, False, True]
    assert battle.contestants[1].error == "gone"


async def test_when_all_fail_the_battle_fails(lab):
    """One error, with every contestant's reason."""
    for model in ALL:
        lab.script(model, ModelMissing(f"no {model}"))
    with pytest.raises(SmartRouterError, match="no west/large") as caught:
        await lab.router.arena(PROMPT, models=ALL)
    assert caught.value.exit_status == 1


async def test_lanes_run_side_by_side(lab):
    """The last contestant has begun before the first one ends."""
    started = anyio.Event()
    lab.script(SMALL, [started, Chunk(text="42"), Chunk(finish="stop")])
    async for event in lab.router.events(arena_call(PROMPT, models=(SMALL, LARGE))):
        if isinstance(event, Finished) and event.lane == LARGE:
            assert lab.east.under_way == 1
            started.set()
    assert lab.east.under_way == 0


async def test_leaving_a_battle_cancels_every_lane(lab):
    """Both upstream calls end, and both are settled."""
    for model in ALL:
        lab.script(model, [Chunk(text="word "), anyio.Event()])
    seen = set()
    events = lab.router.events(arena_call(PROMPT, models=ALL))
    async for event in events:
        if isinstance(event, TextDelta):
            seen.add(event.lane)
        if seen == set(ALL):
            break
    await events.aclose()
    assert (lab.east.under_way, lab.west.under_way) == (0, 0)
    assert (await lab.usage("outcome"))["cancelled"]["calls"] == 3


async def test_twins_are_told_apart(lab):
    """One model twice, and once with another temperature."""
    battle = await lab.router.arena(PROMPT, models=(SMALL, SMALL, f"{SMALL}@temperature=0"))
    assert [c.label for c in battle.contestants] == [
        SMALL,
        f"{SMALL} #2",
        f"{SMALL}@temperature=0",
    ]


async def test_a_group_takes_those_that_can_be_called(make_lab):
    """Who has no key is left out; a group of one is refused with the reasons."""
    lab = make_lab(groups={"fast": ALL})
    assert len((await lab.router.arena(PROMPT, group="Fast")).contestants) == 3
    lab.west.absent = "no key"
    with pytest.raises(NoCandidate, match="west/middle: no key"):
        await lab.router.arena(PROMPT, group="fast")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"group": "slow"}, UsageError, "Unknown group 'slow'"),
        ({"models": (SMALL,)}, UsageError, "2 to 8 models, not 1"),
        ({"models": (SMALL,) * 9}, UsageError, "2 to 8 models, not 9"),
        ({"models": (SMALL, "no/such")}, UnknownModel, "no/such"),
        ({"models": (SMALL, LARGE), "converge": "fight"}, UsageError, "Unknown convergence"),
    ],
)
async def test_bad_battles_are_refused(lab, options, error, said):
    """In one line."""
    with pytest.raises(error, match=said):
        await lab.router.arena(PROMPT, **options)


async def test_a_dry_run_shows_the_price_of_every_contestant(lab):
    """Decisions, and nothing sent."""
    events = [e async for e in lab.router.events(arena_call(PROMPT, models=ALL, dry_run=True))]
    assert [type(e) for e in events] == [Decided] * 3 + [Finished]
    assert not lab.east.requests


async def test_a_budget_is_shared_by_the_lanes(lab):
    """A third each: the bounds together stay under it."""
    await lab.router.arena(PROMPT, models=ALL, budget="0.03")
    bounds = 0
    for request in (*lab.east.requests, *lab.west.requests):
        price = lab.engine.ports.prices.price(request.model.id)
        bounds += price.bound_nanos(100, request.max_tokens)
    assert 0 < bounds <= 30_000_000


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It is 42.", "17 + 25 = 42", True),
        ("1,000", "1000.0", True),
        ("It is 41.", "It is 42.", False),
        ("Paris is the capital", "the capital is Paris", True),
        ("Paris", "Lyon", False),
        ("", "", True),
    ],
)
def test_same_answer(one, other, same):
    """The last number decides, else the words."""
    assert same_answer(one, other) is same


async def test_consensus_takes_the_majority(lab):
    """Two say 42, so the dissenter loses whatever its prior."""
    lab.script(SMALL, "It is 42")
    lab.script(MIDDLE, "42")
    lab.script(LARGE, "It is 41")
    battle = await lab.router.arena(PROMPT, models=ALL, converge="consensus")
    assert battle.reply.text in ("It is 42", "42")
    assert battle.winner == MIDDLE
    assert battle.verdict == "west/middle: 2 of 3 agree"


async def test_a_judge_chooses_without_names(lab):
    """The judge sees numbered answers only; its choice wins and its cost is in the battle's."""
    lab.script(SMALL, "forty-two indeed")
    lab.script(MIDDLE, "no idea")
    lab.script(LARGE, "1")
    battle = await lab.router.arena(PROMPT, models=(SMALL, MIDDLE), converge="judge")
    sheet = lab.west.requests[-1].messages[-1].text
    assert SMALL not in sheet
    first = "forty-two" if sheet.index("forty-two") < sheet.index("no idea") else "no idea"
    assert battle.reply.text.startswith(first)
    rows = await lab.usage()
    assert battle.cost == sum(Decimal(row["cost"]) for row in rows.values())
    assert LARGE in battle.verdict


async def test_a_judge_that_names_nobody_is_said(lab):
    """The battle stays, with the reason."""
    lab.script(LARGE, "I cannot say")
    battle = await lab.router.arena(PROMPT, models=(SMALL, MIDDLE), converge="judge")
    assert battle.reply is None
    assert "named no answer" in battle.verdict


async def test_synthesis_writes_one_answer(lab):
    """It streams in the battle's own lane."""
    lab.script(LARGE, "The best of both")
    events = [
        e
        async for e in lab.router.events(
            arena_call(PROMPT, models=(SMALL, MIDDLE), converge="synthesis")
        )
    ]
    text = "".join(e.text for e in events if isinstance(e, TextDelta) and e.lane == "")
    assert text == events[-1].result.reply.text == "The best of both"
    assert events[-1].result.verdict == "written by west/large from 2 answers"


async def test_convergence_that_fails_keeps_the_battle(lab):
    """The answers were paid for; the verdict says what went wrong."""
    lab.script(LARGE, ModelMissing("gone"))
    lab.script(MIDDLE, "I am west/middle", ModelMissing("gone"))
    lab.script(SMALL, "I am east/small", ModelMissing("gone"))
    battle = await lab.router.arena(PROMPT, models=(SMALL, MIDDLE), converge="judge")
    assert battle.verdict == "no judge: gone"
    assert all(c.reply for c in battle.contestants)


async def test_a_vote_counts_in_the_leaderboard(lab):
    """By number or label; a later vote replaces the earlier one."""
    battle = await lab.router.arena(PROMPT, models=(SMALL, LARGE))
    first = await lab.router.vote(battle.id, "1")
    assert (first["winner"], first["replaced"]) == (SMALL, "")
    assert (await lab.router.vote(battle.id, LARGE, "clearer"))["replaced"] == SMALL
    rows = {row["model"]: row for row in await lab.router.query("leaderboard")}
    assert (rows[LARGE]["wins"], rows[SMALL]["losses"]) == (1, 1)
    assert (rows[LARGE]["losses"], rows[SMALL]["wins"]) == (0, 0)
    stored = await lab.router.query("battle", id=battle.id)
    assert stored["contestants"][0]["reply"]["text"] == "I am east/small"


@pytest.mark.parametrize("choice", ["3", "0", "west/middle", "both"])
async def test_a_vote_for_nobody_is_refused(lab, choice):
    """With what may be voted."""
    battle = await lab.router.arena(PROMPT, models=(SMALL, LARGE))
    with pytest.raises(
        UsageError, match=r"Known are 1 \(east/small\), 2 \(west/large\), tie, none"
    ):
        await lab.router.vote(battle.id, choice)
    with pytest.raises(UsageError, match="no battle 'nope'"):
        await lab.router.vote("nope", "1")


def _halted(lab, *models):
    """Let `models` say one word and then wait for ever."""
    for model in models:
        lab.script(model, [Chunk(text="I think "), anyio.Event()])


async def _until_all_spoke(events, count):
    """Read on until `count` lanes have shown something."""
    spoke = set()
    async for event in events:
        if isinstance(event, TextDelta):
            spoke.add(event.lane)
        if len(spoke) == count:
            return
    raise AssertionError("the battle ended first")


async def test_an_early_vote_stops_the_losers_and_is_kept(lab):
    """They are cancelled upstream and settled; the one chosen finishes; the vote counts."""
    go_on = anyio.Event()
    _halted(lab, SMALL, MIDDLE)
    lab.script(LARGE, [Chunk(text="4"), go_on, Chunk(text="2"), Chunk(finish="stop")])
    call = arena_call(PROMPT, models=ALL)
    events = lab.router.events(call)
    await _until_all_spoke(events, 3)
    told = await lab.router.vote(call.route.run, "3", "quick")
    assert told == {"battle": call.route.run, "winner": LARGE, "contestants": list(ALL)}
    go_on.set()
    rest = [event async for event in events]
    stopped = [e for e in rest if isinstance(e, Failed)]
    assert {e.lane for e in stopped} == {SMALL, MIDDLE}
    assert {(e.problem.kind, e.text) for e in stopped} == {("Stopped", "I think ")}
    assert (lab.east.cancelled, lab.west.cancelled) == (1, 1)
    battle = rest[-1].result
    assert (battle.winner, battle.reply.text) == (LARGE, "42")
    assert battle.cost == sum(Decimal(row["cost"]) for row in (await lab.usage()).values())
    assert {e.lane: e.cost_nanos for e in stopped} == {
        c.label: c.cost_nanos for c in battle.contestants[:2]
    }
    (best, *_) = await lab.router.query("leaderboard")
    assert (best["model"], best["wins"]) == (LARGE, 1)


async def test_one_contestant_can_be_stopped(lab):
    """The others go on."""
    _halted(lab, SMALL)
    call = arena_call(PROMPT, models=(SMALL, LARGE))
    events = lab.router.events(call)
    await _until_all_spoke(events, 2)
    assert (await lab.router.stop(call.route.run, [1]))["stopped"] == [SMALL]
    rest = [event async for event in events]
    battle = rest[-1].result
    assert [c.error for c in battle.contestants] == ["stopped before its end.", ""]
    assert battle.contestants[1].reply.text == f"I am {LARGE}"


async def test_a_tie_in_mid_battle_stops_all_and_is_no_failure(lab):
    """What arrived is there, and the vote is kept."""
    _halted(lab, SMALL, LARGE)
    call = arena_call(PROMPT, models=(SMALL, LARGE), converge="judge")
    events = lab.router.events(call)
    await _until_all_spoke(events, 2)
    await lab.router.vote(call.route.run, "tie")
    rest = [event async for event in events]
    assert (rest[-1].result.winner, rest[-1].result.verdict) == ("", "your vote: tie")
    assert {row["ties"] for row in await lab.router.query("leaderboard")} == {1}


async def test_only_a_running_battle_can_be_stopped(lab):
    """One line says so; a contestant that there is not, too."""
    battle = await lab.router.arena(PROMPT, models=(SMALL, LARGE))
    with pytest.raises(UsageError, match=f"No battle '{battle.id}' is running"):
        await lab.router.stop(battle.id, [1])
