"""`SqliteLedger`: the port `Ledger` in one SQLite file that many processes may share."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from smartrouter_serve.calls import Finished, decode, encode
from smartrouter_serve.config import BudgetSettings
from smartrouter_serve.engine.ports import Clock, Entry, Grant, Hold, Scope, Speed
from smartrouter_serve.errors import BudgetOnHold, UsageError
from smartrouter_serve.ledger import report
from smartrouter_serve.ledger.budgets import Sums
from smartrouter_serve.ledger.writer import Writer
from smartrouter_serve.processes import lives, owner_id
from smartrouter_serve.types import Battle

T = TypeVar("T")
_POLL = 0.005
"""Seconds between looks at a budget that only holds stand in the way of; one caller looks."""

_HOLD = """
    INSERT INTO entries (kind, at, opened, owner, run, lane, model, provider, project, user,
        notebook, held, spent)
    VALUES ('hold', :at, :at, :owner, :run, :lane, :model, :provider, :project, :user,
        :notebook, :held, 0)
"""
_CLOSE = """
    INSERT INTO entries (kind, hold, at, opened, run, lane, model, provider, project, user,
        notebook, held, spent)
    SELECT :kind, id, :at, opened, run, lane, model, provider, project, user, notebook,
        :held, :spent
    FROM entries AS h WHERE id = :hold
        AND NOT EXISTS (SELECT 1 FROM entries WHERE hold = h.id AND kind != :after)
"""
_SETTLE = """
    INSERT INTO entries (kind, hold, at, opened, run, lane, model, provider, project, user,
        notebook, held, spent, price_known, outcome, intent, policy, input_tokens, output_tokens,
        cached_tokens, cache_write_tokens, reasoning_tokens, estimated, baseline, baseline_nanos,
        latency, first_token, price_source)
    SELECT 'settle', id, :at, opened, run, lane, model, provider, project, user, notebook,
        -held, :spent, :price_known, :outcome, :intent, :policy, :input_tokens, :output_tokens,
        :cached_tokens, :cache_write_tokens, :reasoning_tokens, :estimated, :baseline,
        :baseline_nanos, :latency, :first_token, :price_source
    FROM entries AS h WHERE id = :hold AND NOT EXISTS (SELECT 1 FROM entries WHERE hold = h.id)
"""
_OPEN_HOLDS = """
    SELECT id, owner, held FROM entries AS h
    WHERE kind = 'hold' AND NOT EXISTS (SELECT 1 FROM entries WHERE hold = h.id)
"""
_UNCONFIRMED = """
    SELECT hold, spent FROM entries AS o WHERE kind = 'orphan' AND NOT EXISTS
        (SELECT 1 FROM entries WHERE kind = 'correction' AND hold = o.hold)
"""
_log = logging.getLogger(__name__)


def _warn(settled: Future[None]) -> None:
    if error := settled.exception():
        _log.warning("A call's real cost is not in the ledger, its bound is: %s", error)


class SqliteLedger:
    """Money, battles and votes; opened on first use, usable from any event loop."""

    def __init__(self, path: Path, budgets: Mapping[str, BudgetSettings], clock: Clock) -> None:
        self._clock = clock
        self._name = uuid.uuid4().hex[:8]
        self._sums = Sums(budgets)
        self._writer = Writer(path, self._reconcile_orphans, self._sums.forget)
        self._lines: WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[str, ...], asyncio.Lock]
        ] = WeakKeyDictionary()

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(work))

    async def left(self, scopes: Sequence[Scope]) -> tuple[int | None, ...]:
        """What the budgets leave for each scope once all holds are released; None: no budget."""
        if not self._sums.budgets:
            return (None,) * len(scopes)

        def work(db: sqlite3.Connection) -> tuple[int | None, ...]:
            self._sums.catch_up(db, self._clock.now())
            return self._sums.left(scopes)

        return await self._do(work)

    async def reserve(self, hold: Hold, *, wait: float = 0.0) -> Grant:
        """Hold money, on disk when it returns.

        Raises `BudgetOnHold` or `BudgetExceeded`. Those who wait for the same budgets stand in
        line, and only the first of them looks again, so that a thousand waiters cost no more than
        one.
        """
        if wait <= 0:
            return await self._reserve_once(hold)
        deadline = self._clock.monotonic() + wait
        line = self._line(hold.scope)
        try:
            async with asyncio.timeout(wait):
                await line.acquire()
        except TimeoutError:
            return await self._reserve_once(hold)
        try:
            while True:
                try:
                    return await self._reserve_once(hold)
                except BudgetOnHold:
                    if self._clock.monotonic() >= deadline:
                        raise
                await self._clock.sleep(_POLL)
        finally:
            line.release()

    def _line(self, scope: Scope) -> asyncio.Lock:
        """Where calls in the same budgets wait, in this event loop."""
        lines = self._lines.setdefault(asyncio.get_running_loop(), {})
        budgets = tuple(budget.name for budget in self._sums.covering(scope))
        return lines.setdefault(budgets, asyncio.Lock())

    async def _reserve_once(self, hold: Hold) -> Grant:
        made: list[Grant] = []

        def work(db: sqlite3.Connection) -> Grant:
            made.append(self._hold(db, hold))
            return made[0]

        future = self._writer.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:  # a job that runs already goes on
            self._writer.submit(lambda db: self._give_back(db, made, future))
            raise

    def _give_back(
        self, db: sqlite3.Connection, made: list[Grant], reserved: Future[Grant]
    ) -> None:
        """Release what was reserved for a caller that had been cancelled meanwhile.

        Runs behind the reservation, maybe in the same transaction, whose fate it then shares.
        """
        if made and not (reserved.done() and reserved.exception()):
            self._close(db, "settle", made[0].id, -made[0].nanos, 0)

    def _hold(self, db: sqlite3.Connection, hold: Hold) -> Grant:
        now = self._clock.now()
        nanos = hold.most_nanos
        if self._sums.budgets:
            self._sums.catch_up(db, now)
            nanos = self._sums.grant(hold)
        scope = hold.scope
        row = {
            "at": now,
            "owner": self._owner,
            "run": hold.run,
            "lane": hold.lane,
            "model": scope.model,
            "provider": scope.provider,
            "project": scope.project,
            "user": scope.user,
            "notebook": hold.notebook,
            "held": nanos,
        }
        number = db.execute(_HOLD, row).lastrowid
        assert number is not None
        return Grant(id=number, nanos=nanos, notes=self._sums.notes(scope))

    async def settle(self, grant: Grant, entry: Entry) -> None:
        """Book what a call used and free the rest.

        Returns at once: until its commit a crash leaves the hold counted, which is the safe side,
        and every later read comes after it in the same queue.
        """
        usage = entry.usage
        row = {
            "hold": grant.id,
            "at": self._clock.now(),
            "spent": entry.cost_nanos or 0,
            "price_known": entry.cost_nanos is not None,
            "outcome": entry.outcome,
            "intent": entry.intent,
            "policy": entry.policy,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "estimated": usage.estimated,
            "baseline": entry.baseline,
            "baseline_nanos": entry.baseline_nanos,
            "latency": entry.latency,
            "first_token": entry.first_token,
            "price_source": entry.price_source,
        }

        def work(db: sqlite3.Connection) -> None:
            if not db.execute(_SETTLE, row).rowcount and entry.cost_nanos is not None:
                self._confirm(db, grant.id, entry.cost_nanos)

        self._writer.submit(work, hurry=False).add_done_callback(_warn)

    def _confirm(self, db: sqlite3.Connection, hold: int, cost_nanos: int) -> None:
        """Replace the bound of a call that ended after its ledger was closed."""
        for orphan in db.execute(_UNCONFIRMED + "AND hold = ?", (hold,)).fetchall():
            self._close(db, "correction", hold, 0, cost_nanos - orphan["spent"])

    def _close(self, db: sqlite3.Connection, kind: str, hold: int, held: int, spent: int) -> None:
        row = {"kind": kind, "hold": hold, "at": self._clock.now(), "held": held, "spent": spent}
        row["after"] = "orphan" if kind == "correction" else ""
        db.execute(_CLOSE, row)

    def _reconcile_orphans(self, db: sqlite3.Connection) -> None:
        """Book the holds of processes that are gone at their upper bound.

        Their money may have been spent, and nobody can tell; `correct` puts the real figure in.
        """
        self._owner = f"{owner_id()}/{self._name}"
        holds = db.execute(_OPEN_HOLDS).fetchall()
        owners = {hold["owner"] for hold in holds}
        alive = {owner: lives(owner.partition("/")[0]) for owner in owners}
        for hold in holds:
            if not alive[hold["owner"]]:
                self._close(db, "orphan", hold["id"], -hold["held"], hold["held"])

    async def correct(self, run: str, cost_nanos: int) -> int:
        """Replace the bound of a run that a crash left open by its real cost.

        Returns the bound that had been booked. Raises `UsageError` where there is none, and for
        a cost below zero.
        """
        if cost_nanos < 0:
            raise UsageError("The cost is below zero.", "Give what the provider charged, or 0.")

        def work(db: sqlite3.Connection) -> int:
            orphans = db.execute(_UNCONFIRMED + "AND run = ?", (run,)).fetchall()
            if not orphans:
                raise UsageError(
                    f"Run {run!r} has no unconfirmed cost.",
                    "`smartrouter budget` lists the runs that a crash left open.",
                )
            bound: int = sum(orphan["spent"] for orphan in orphans)
            for number, orphan in enumerate(orphans):
                real = cost_nanos if number == 0 else 0
                self._close(db, "correction", orphan["hold"], 0, real - orphan["spent"])
            return bound

        return await self._do(work)

    async def record_battle(self, battle: Battle) -> None:
        """Keep a battle so that it can be voted on later."""
        data = json.dumps(encode(Finished(result=battle)))
        row = (battle.id, self._clock.now(), data)
        await self._do(lambda db: db.execute("INSERT OR IGNORE INTO battles VALUES (?, ?, ?)", row))

    async def battle(self, run: str) -> Battle | None:
        """Read a battle back."""

        def work(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT data FROM battles WHERE id = ?", (run,)).fetchone()
            return row["data"] if row else None

        data = await self._do(work)
        return None if data is None else decode(json.loads(data)).result

    async def vote(self, run: str, winner: str, reason: str) -> str:
        """Keep a vote; the last one on a battle counts. Answers the winner of the one before."""
        row = (self._clock.now(), run, winner, reason)
        insert = "INSERT INTO votes (at, battle, winner, reason) VALUES (?, ?, ?, ?)"
        before = "SELECT winner FROM votes WHERE battle = ? ORDER BY id DESC LIMIT 1"

        def work(db: sqlite3.Connection) -> str:
            found = db.execute(before, (run,)).fetchone()
            db.execute(insert, row)
            return str(found[0]) if found else ""

        return await self._do(work)

    async def leaderboard(self) -> list[dict[str, Any]]:
        """Wins, losses, ties, battles and rating a model, best first."""

        def work(db: sqlite3.Connection) -> list[tuple[str, str, str]]:
            return db.execute(
                "SELECT battles.id, battles.data, votes.winner FROM battles JOIN votes "
                "ON votes.battle = battles.id ORDER BY votes.id"
            ).fetchall()

        contestants: dict[str, list[str]] = {}
        models: dict[str, str] = {}
        votes: dict[str, str] = {}
        for run, data, winner in await self._do(work):
            fought = json.loads(data)["result"]
            contestants[run] = [c["label"] for c in fought["contestants"]]
            models.update({c["label"]: c["model"] or c["label"] for c in fought["contestants"]})
            votes[run] = winner
        return report.leaderboard(contestants, models, votes)

    async def budgets(self) -> list[dict[str, Any]]:
        """Every budget's limit, spent, on hold, left and reset time."""

        def work(db: sqlite3.Connection) -> list[dict[str, Any]]:
            self._sums.catch_up(db, self._clock.now())
            return [budget.row() for budget in self._sums.budgets]

        return await self._do(work) if self._sums.budgets else []

    async def usage(self, by: str, since: float | None) -> list[dict[str, Any]]:
        """Calls, tokens, cost, baseline cost and savings, grouped."""
        return await self._do(lambda db: report.usage(db, by, since))

    async def unconfirmed(self) -> list[dict[str, Any]]:
        """Runs that a crash left booked at their upper bound, and that nobody corrected."""
        return await self._do(report.unconfirmed)

    async def check(self) -> str:
        """What SQLite finds wrong with the file; empty for a sound one."""

        def work(db: sqlite3.Connection) -> str:
            found = str(db.execute("PRAGMA quick_check").fetchone()[0])
            return "" if found == "ok" else found

        return await self._do(work)

    async def speeds(self) -> dict[str, Speed]:
        """What was measured lately, by model id."""
        return await self._do(report.speeds)

    async def aclose(self) -> None:
        """Write what is queued and close; a hold that is still open is booked at its bound."""
        if self._writer.used:
            await self._do(self._orphan_own)
        await asyncio.to_thread(self._writer.close)

    def _orphan_own(self, db: sqlite3.Connection) -> None:
        for hold in db.execute(_OPEN_HOLDS + "AND owner = ?", (self._owner,)).fetchall():
            self._close(db, "orphan", hold["id"], -hold["held"], hold["held"])
