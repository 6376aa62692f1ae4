"""Budgets: their windows, what they cover, and the running sums that make a hot path quick.

The sums are kept by the writer's thread. They are brought up to date inside each transaction from
the entries that other processes wrote since, so every process decides on the same total order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from smartrouter_serve.config import BudgetSettings
from smartrouter_serve.engine.ports import Hold, Scope
from smartrouter_serve.errors import BudgetExceeded, BudgetOnHold
from smartrouter_serve.money import dollars, nanos, show

_PLENTY = 8
"""A call may take its full bound while that is at most an eighth of what is left."""
_NEARLY = 0.8
"""Share of a budget from which a person is told."""


def window(kind: str, now: float) -> tuple[float, float]:
    """Start and end of the window around `now`, in epoch seconds, by the local calendar.

    A week starts on Monday; `total` never ends.
    """
    if kind == "total":
        return 0.0, float("inf")
    moment = datetime.fromtimestamp(now)  # noqa: DTZ006 - the local calendar is meant
    if kind == "hour":
        start = now - moment.minute * 60 - moment.second - moment.microsecond / 1e6
        return start, start + 3_600
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if kind == "week":
        day -= timedelta(days=day.weekday())
        end = day + timedelta(days=7)
    elif kind == "month":
        day = day.replace(day=1)
        end = (day + timedelta(days=32)).replace(day=1)
    else:
        end = day + timedelta(days=1)
    return day.timestamp(), end.timestamp()


@dataclass(slots=True)
class Budget:
    """One budget and its sums in the current window."""

    name: str
    settings: BudgetSettings
    start: float = 0.0
    end: float = 0.0
    spent: int = 0
    held: int = 0

    @property
    def limit(self) -> int:
        """In nano-dollars."""
        return nanos(self.settings.limit)

    def covers(self, model: str, project: str, user: str) -> bool:
        """Whether spend of this scope counts."""
        wanted = self.settings
        return (
            (not wanted.model or fnmatchcase(model, wanted.model))
            and (not wanted.provider or model.partition("/")[0] == wanted.provider)
            and (not wanted.project or project == wanted.project)
            and (not wanted.user or user == wanted.user)
        )

    def add(self, opened: float, held: int, spent: int) -> None:
        """Count an entry, if its hold was opened in this window."""
        if self.start <= opened < self.end:
            self.held += held
            self.spent += spent

    def left(self) -> int:
        """What a new call may hold: of a soft budget all, until it is spent."""
        if self.settings.hard:
            return self.limit - self.spent - self.held
        return 2**62 if self.spent < self.limit else 0

    def left_after_holds(self) -> int:
        """The same, were every hold released."""
        return self.limit - self.spent if self.settings.hard else self.left()

    def state(self) -> str:
        """Where it stands, for a person."""
        return (
            f"{show(self.spent)} of {show(self.limit)} used, {show(self.held)} on hold"
            f"{self.resets()}"
        )

    def resets(self) -> str:
        """When the window ends, for a person."""
        if self.settings.window == "total":
            return ""
        return f", resets {datetime.fromtimestamp(self.end):%Y-%m-%d %H:%M}"  # noqa: DTZ006

    def row(self) -> dict[str, Any]:
        """The budget as JSON values."""
        settings = self.settings
        filters = {key: getattr(settings, key) for key in ("user", "project", "provider", "model")}
        ending = self.end != float("inf")
        return {
            "name": self.name,
            "limit": str(settings.limit),
            "window": settings.window,
            "hard": settings.hard,
            "spent": f"{dollars(self.spent):f}",
            "on_hold": f"{dollars(self.held):f}",
            "left": f"{dollars(max(self.limit - self.spent - self.held, 0)):f}",
            "used": self.spent / self.limit,
            "worst_overshoot": f"{dollars(0 if settings.hard else self.held):f}",
            "resets_at": datetime.fromtimestamp(self.end).astimezone().isoformat()
            if ending
            else None,
            "filters": {key: value for key, value in filters.items() if value},
        }


class Sums:
    """All budgets, up to date with the entries up to `last`."""

    def __init__(self, settings: Mapping[str, BudgetSettings]) -> None:
        self.budgets = [Budget(name, one) for name, one in settings.items()]
        self._last: int | None = None

    def forget(self) -> None:
        """Count everything anew at the next look: after a failed commit, or in a forked child."""
        self._last = None

    def catch_up(self, db: sqlite3.Connection, now: float) -> None:
        """Read what was appended since; count a window anew when it begins."""
        anew = self._last is None
        if anew:
            self._last = db.execute("SELECT COALESCE(MAX(id), 0) FROM entries").fetchone()[0]
        rows = db.execute(
            "SELECT id, model, project, user, opened, held, spent FROM entries WHERE id > ?",
            (self._last,),
        ).fetchall()
        if rows:
            self._last = rows[-1]["id"]
        for budget in self.budgets:
            if anew or not budget.start <= now < budget.end:
                self._count(db, budget, now)
            else:
                for row in rows:
                    if budget.covers(row["model"], row["project"], row["user"]):
                        budget.add(row["opened"], row["held"], row["spent"])

    def _count(self, db: sqlite3.Connection, budget: Budget, now: float) -> None:
        budget.start, budget.end = window(budget.settings.window, now)
        budget.spent = budget.held = 0
        rows = db.execute(
            "SELECT model, project, user, SUM(held), SUM(spent) FROM entries "
            "WHERE opened >= ? AND opened < ? AND id <= ? GROUP BY model, project, user",
            (budget.start, min(budget.end, 1e12), self._last),
        )
        for model, project, user, held, spent in rows:
            if budget.covers(model, project, user):
                budget.held += held
                budget.spent += spent

    def covering(self, scope: Scope) -> list[Budget]:
        """The budgets that a call of this scope counts in."""
        return [b for b in self.budgets if b.covers(scope.model, scope.project, scope.user)]

    def left(self, scopes: Sequence[Scope]) -> tuple[int | None, ...]:
        """What the budgets leave for each scope once every hold is released."""
        return tuple(
            min((max(b.left_after_holds(), 0) for b in self.covering(scope)), default=None)
            for scope in scopes
        )

    def grant(self, hold: Hold) -> int:
        """Nano-dollars that `hold` gets.

        Its full bound while there is plenty, else what it likely needs or an eighth of the rest,
        so that one call does not take everything from those beside it.

        Raises `BudgetOnHold` or `BudgetExceeded`.
        """
        budgets = self.covering(hold.scope)
        if not budgets or hold.most_nanos == 0:
            return hold.most_nanos
        left = min(budget.left() for budget in budgets)
        if left < hold.least_nanos:
            raise _refusal(hold, [b for b in budgets if b.left() < hold.least_nanos])
        if hold.most_nanos <= left // _PLENTY:
            return hold.most_nanos
        wanted = max(hold.likely_nanos, left // _PLENTY)
        return min(max(wanted, hold.least_nanos), hold.most_nanos, left)

    def notes(self, scope: Scope) -> tuple[str, ...]:
        """What a person should know of the budgets that are nearly used up."""
        return tuple(
            f"budget {b.name!r}: {b.state()}"
            for b in self.covering(scope)
            if b.spent >= _NEARLY * b.limit
        )


def _refusal(hold: Hold, short: list[Budget]) -> BudgetExceeded:
    """Blame the budget that no waiting helps with, where there is one."""
    budget = min(short, key=Budget.left_after_holds)
    message = (
        f"Budget {budget.name!r} has no room for {hold.scope.model}, which needs at least "
        f"{show(hold.least_nanos)}: {budget.state()}."
    )
    if budget.left_after_holds() >= hold.least_nanos:
        return BudgetOnHold(
            message, "It frees itself when the running calls end: wait for them, then run it again."
        )
    return BudgetExceeded(
        message,
        f"Raise budgets.{budget.name}.limit in smartrouter.toml, wait for the reset, or use a "
        "model that costs nothing: -m local/smollm2-135m.",
    )
