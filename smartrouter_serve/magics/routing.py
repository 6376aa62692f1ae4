"""One `%%route` cell: the answer as it comes, then what it cost."""

from __future__ import annotations

import time
from contextlib import suppress
from decimal import Decimal
from typing import Any

from smartrouter_serve.calls import Event, Route, TextDelta
from smartrouter_serve.client import SyncRouter
from smartrouter_serve.errors import SmartRouterError
from smartrouter_serve.magics.confirm import confirm
from smartrouter_serve.magics.failure import CellError
from smartrouter_serve.magics.running import Running
from smartrouter_serve.magics.screen import screen
from smartrouter_serve.magics.session import Session
from smartrouter_serve.money import show
from smartrouter_serve.types import Reply
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.tables import decision_table


def run(session: Session, call: Route, given: Any) -> Reply:
    """Answer a cell.

    Raises `CellError` where it failed or was stopped, `Refused` where it may cost too much.
    """
    confirm(session, call, yes=given.yes)
    place, started = screen(session.shell), time.time()
    view = ReplyView(format=given.format, used=lambda: used_since(session.router, started))
    streaming = given.format in ("md", "text")

    def show_event(event: Event | None) -> None:
        shown = streaming and isinstance(event, TextDelta)
        place.update(view, event.text if shown else "")  # type: ignore[union-attr]

    Running(session.router, call, view, place, show_event).follow()
    if view.problem is not None:
        if view.text:
            place.update(view, final=True)
        else:
            place.clear()
        raise CellError(view.problem)
    assert view.reply is not None
    # An answer that is here is shown, whatever the ledger says.
    with suppress(SmartRouterError):
        view.budgets = session.router.query("budgets")
    place.update(view, final=True)
    session.last_reply = view.reply
    if given.explain:
        place.show(decision_table(view.reply.decision))
    return view.reply


def used_since(router: SyncRouter, started: float) -> str:
    """Tokens and money of the one call since then; empty where others ran beside it."""
    try:
        rows = router.query("usage", by="outcome", since=started)
    except SmartRouterError:
        return ""
    if sum(row["calls"] for row in rows) != 1 or rows[0]["unknown_cost_calls"]:
        return ""
    row = rows[0]
    return (
        f"{row['input_tokens']:,} → {row['output_tokens']:,} tokens, {show(Decimal(row['cost']))}"
    )
