"""Before it costs: a cell that may cost more than `confirm_above` asks first."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

from IPython.core.error import StdinNotImplementedError

from smartrouter_serve import config
from smartrouter_serve.calls import Arena, Decided, Route
from smartrouter_serve.client import SyncRouter
from smartrouter_serve.errors import Refused, Stopped
from smartrouter_serve.magics.session import Session
from smartrouter_serve.money import nanos, show


def confirm(session: Session, call: Route | Arena, *, yes: bool) -> None:
    """Ask where the estimate passes the limit; `yes` and a dry run need no question.

    Raises `Refused` where nobody can answer, and `Stopped` where the answer is no.
    """
    dry_run = call.dry_run if isinstance(call, Route) else call.route.dry_run
    limit = None if yes or dry_run else config.load().confirm_above
    if limit is None:
        return
    most = estimate(session.router, call)
    if most is not None and most <= nanos(limit):
        return
    cost = "an amount that is not known" if most is None else f"about {show(most)}"
    said = _answer(session.shell, f"This may cost {cost} (limit ${limit}). Go on? [y/N] ")
    if said is None:
        raise Refused(
            f"This cell may cost {cost}, over confirm_above = {limit}, and nobody can be asked.",
            "Add --yes to the cell's first line, or raise confirm_above in smartrouter.toml.",
        )
    if said.strip().lower() not in ("y", "yes"):
        raise Stopped("not sent, nothing was spent.", "Answer y, or add --yes, to send it.")


def estimate(router: SyncRouter, call: Route | Arena) -> int | None:
    """Nano-dollars that nine of ten such calls stay under: of a battle, its contestants' sum.

    None where a price is not known. Asks nobody.
    """
    if isinstance(call, Route):
        dry: Route | Arena = replace(call, dry_run=True)
    else:
        dry = replace(call, route=replace(call.route, dry_run=True))
    with closing(router.events(dry)) as events:
        chosen = [e.decision.candidate(e.decision.model) for e in events if isinstance(e, Decided)]
    costs = [row.cost_p90_nanos for row in chosen if row is not None]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _answer(shell: Any, question: str) -> str | None:
    """What the person says; None where nobody can: Run All by nbclient, or a pipe."""
    if getattr(shell, "kernel", None) is None and not sys.stdin.isatty():
        return None
    try:
        return input(question)
    except (StdinNotImplementedError, EOFError):
        return None
