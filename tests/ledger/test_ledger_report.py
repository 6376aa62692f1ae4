"""What the ledger tells: usage in every grouping, measured speeds, battles, votes, ratings."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartrouter_serve.errors import UsageError
from smartrouter_serve.ledger.report import bradley_terry
from smartrouter_serve.testing import FakeClock
from smartrouter_serve.types import Usage
from tests.ledger.till import battle, entry, hold

A, B, C = "lab/a", "lab/b", "shop/c"


@pytest.fixture
def ledger(open_ledger):
    """One ledger on a clock that stands still."""
    return open_ledger(FakeClock())


async def spend(ledger, cost, *, outcome="ok", wish=None, **fields) -> None:
    """One call from reservation to settlement."""
    grant = await ledger.reserve(wish or hold(10_000_000))
    await ledger.settle(grant, entry(cost, outcome, **fields))


async def test_usage_sums_tokens_money_and_savings(ledger) -> None:
    """Tokens in inclusive buckets, money as exact decimals, savings may be negative."""
    usage = Usage(input_tokens=100, output_tokens=50, cached_tokens=40, reasoning_tokens=30)
    await spend(ledger, 3, usage=usage, baseline="lab/big", baseline_nanos=10)
    await spend(ledger, 20, usage=usage, baseline="lab/big", baseline_nanos=10)
    (row,) = await ledger.usage("model", None)
    assert (row["key"], row["calls"], row["failed"]) == (A, 2, 0)
    assert (row["input_tokens"], row["output_tokens"]) == (200, 100)
    assert (row["cached_tokens"], row["reasoning_tokens"]) == (80, 60)
    assert row["cost"] == "0.000000023"
    assert row["baseline_cost"] == "0.000000020"
    assert row["saved"] == "-0.000000003"


async def test_a_cost_that_nobody_knows_is_counted_apart(ledger) -> None:
    """Not as zero: it takes no part in the savings."""
    await spend(ledger, None, baseline="lab/big", baseline_nanos=1_000)
    await spend(ledger, 5, baseline="lab/big", baseline_nanos=7)
    (row,) = await ledger.usage("model", None)
    assert row["unknown_cost_calls"] == 1
    assert (row["cost"], row["baseline_cost"]) == ("0.000000005", "0.000000007")
    assert row["saved"] == "0.000000002"


async def test_without_a_baseline_nothing_is_said_of_savings(ledger) -> None:
    """Unknown is null, not zero."""
    await spend(ledger, 5)
    (row,) = await ledger.usage("provider", None)
    assert (row["baseline_cost"], row["saved"]) == (None, None)


async def test_a_cancelled_call_costs_but_did_not_fail(ledger) -> None:
    """What was used up to the stop is paid for; errors are failures."""
    await spend(ledger, 4, outcome="cancelled")
    await spend(ledger, 0, outcome="Overloaded")
    (row,) = await ledger.usage("model", None)
    assert (row["calls"], row["failed"], row["cost"]) == (2, 1, "0.000000004")
    keys = {row["key"] for row in await ledger.usage("outcome", None)}
    assert keys == {"cancelled", "Overloaded"}


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("model", [A, C]),
        ("provider", ["lab", "shop"]),
        ("intent", ["code", "chat"]),
        ("project", ["thesis", ""]),
        ("policy", ["best", "cheap"]),
        ("outcome", ["ok"]),
        ("day", ["2027-01-15"]),
        ("notebook", [""]),
    ],
)
async def test_usage_is_grouped_and_the_dearest_comes_first(ledger, time_zone, by, keys) -> None:
    """Each grouping, over the same two calls."""
    time_zone("UTC")
    await spend(ledger, 9, wish=hold(10, project="thesis"), intent="code", policy="best")
    await spend(ledger, 2, wish=hold(10, model=C), intent="chat", policy="cheap")
    rows = await ledger.usage(by, None)
    assert [row["key"] for row in rows] == keys
    assert sum(Decimal(row["cost"]) for row in rows) == Decimal("0.000000011")


async def test_usage_by_several_keys_names_each(ledger, time_zone) -> None:
    """By day, model and baseline: a row for each of the three, which adds up to the whole."""
    time_zone("UTC")
    await spend(ledger, 9, baseline="lab/big", baseline_nanos=10)
    await spend(ledger, 4, baseline="lab/old", baseline_nanos=10)
    await spend(ledger, 2, wish=hold(10, model=C))
    rows = await ledger.usage("day,model,baseline", None)
    assert [(row["key"], row["day"]) for row in rows] == [("2027-01-15", "2027-01-15")] * 3
    assert [(row["model"], row["baseline"], row["cost"], row["saved"]) for row in rows] == [
        (A, "lab/big", "0.000000009", "0.000000001"),
        (A, "lab/old", "0.000000004", "0.000000006"),
        (C, "", "0.000000002", None),
    ]


async def test_a_day_is_the_users_own(open_ledger, time_zone) -> None:
    """Half an hour before midnight in London it is tomorrow in Shanghai."""
    clock = FakeClock(1_800_055_800)  # 2027-01-15 23:30 UTC
    ledger = open_ledger(clock)
    await spend(ledger, 1)
    for zone, day in (("UTC", "2027-01-15"), ("Asia/Shanghai", "2027-01-16")):
        time_zone(zone)
        assert [row["key"] for row in await ledger.usage("day", None)] == [day]


async def test_since_leaves_out_what_began_before(open_ledger) -> None:
    """The time of the hold counts."""
    clock = FakeClock()
    ledger = open_ledger(clock)
    await spend(ledger, 1)
    clock.advance(100)
    await spend(ledger, 2)
    assert (await ledger.usage("model", clock.now() - 50))[0]["cost"] == "0.000000002"
    assert await ledger.usage("model", clock.now() + 1) == []


async def test_an_unknown_grouping_is_refused_with_the_known_ones(ledger) -> None:
    """Also where it tries to be SQL."""
    with pytest.raises(UsageError, match="model, provider, intent, day, notebook"):
        await ledger.usage("model; DROP TABLE entries", None)
    with pytest.raises(UsageError, match="'dya'.*Did you mean day"):
        await ledger.usage("dya,model", None)


async def test_speeds_are_medians_over_the_last_fifty_calls(ledger) -> None:
    """Old calls, cancelled ones and the time to the first token do not blur the rate."""
    for _ in range(30):
        await spend(ledger, 0, usage=Usage(output_tokens=1_000), latency=100.0, first_token=50.0)
    for first in (1.0, 2.0, 3.0) * 15:
        usage = Usage(output_tokens=100)
        await spend(ledger, 0, usage=usage, latency=first + 4.0, first_token=first)
    for _ in range(5):
        await spend(ledger, 0, outcome="Overloaded")
        await spend(ledger, 0, outcome="cancelled", latency=900.0)
    speed = (await ledger.speeds())[A]
    assert (speed.calls, speed.failures) == (50, 5)
    assert (speed.first_token, speed.tokens_per_second) == (2.0, 25.0)
    assert speed.output_tokens == 100


async def test_a_model_that_never_answered_has_no_speed(ledger) -> None:
    """Its failures are known all the same."""
    await spend(ledger, 0, outcome="RateLimited")
    speed = (await ledger.speeds())[A]
    assert (speed.calls, speed.failures) == (1, 1)
    assert (speed.first_token, speed.tokens_per_second, speed.output_tokens) == (None, None, None)


async def test_a_battle_is_read_back_as_it_was(ledger) -> None:
    """Also by another ledger later; one that was never fought is None."""
    fought = battle("b1", A, B)
    await ledger.record_battle(fought)
    assert await ledger.battle("b1") == fought
    assert await ledger.battle("b2") is None


async def test_the_last_vote_on_a_battle_counts(ledger) -> None:
    """Changed minds: one battle, one result."""
    await ledger.record_battle(battle("b", A, B))
    for winner in (A, "tie", B):
        await ledger.vote("b", winner, "")
    first, second = await ledger.leaderboard()
    assert (first["model"], first["wins"], first["losses"], first["ties"]) == (B, 1, 0, 0)
    assert (second["model"], second["wins"], second["losses"], second["battles"]) == (A, 0, 1, 1)


async def test_the_leaderboard_counts_wins_losses_and_ties(ledger) -> None:
    """Three battles; a tie is half a win each, `none` is a loss for both."""
    for number, winner in enumerate((A, "tie", "none")):
        await ledger.record_battle(battle(str(number), A, B))
        await ledger.vote(str(number), winner, "why not")
    first, second = await ledger.leaderboard()
    assert [first[k] for k in ("model", "battles", "wins", "losses", "ties")] == [A, 3, 1, 1, 1]
    assert [second[k] for k in ("model", "battles", "wins", "losses", "ties")] == [B, 3, 0, 2, 1]
    assert (first["win_rate"], second["win_rate"]) == (0.5, pytest.approx(1 / 6))
    assert first["rating"] > 1_000 > second["rating"]


async def test_a_battle_without_a_vote_is_not_on_the_leaderboard(ledger) -> None:
    """Neither are its models."""
    await ledger.record_battle(battle("b", A, B))
    assert await ledger.leaderboard() == []


def test_ratings_pass_through_a_common_rival() -> None:
    """A beats B, B beats C: A is rated over C though they never met."""
    strength = bradley_terry({(A, B): 9.0, (B, A): 1.0, (B, C): 9.0, (C, B): 1.0})
    assert strength[A] > strength[B] > strength[C]
    assert strength[A] / strength[B] == pytest.approx(9.5 / 1.5, rel=0.02)


matches = st.dictionaries(
    st.sampled_from([(x, y) for x in "abcd" for y in "abcd" if x != y]), st.integers(1, 30)
)


@given(matches)
def test_ratings_are_finite_and_fair(wins) -> None:
    """Their geometric mean is 1, and who only wins is rated over who only loses to them."""
    strength = bradley_terry({pair: float(count) for pair, count in wins.items()})
    product = 1.0
    for value in strength.values():
        assert 0 < value < float("inf")
        product *= value
    assert product == pytest.approx(1.0) if strength else product == 1.0
    if len(strength) == 2:
        x, y = strength
        ahead = wins.get((x, y), 0) - wins.get((y, x), 0)
        assert (strength[x] > strength[y]) == (ahead > 0)
