"""A reply and a battle as values: what a variable shows that holds one."""

from __future__ import annotations

from smartrouter_serve.calls import Finished
from smartrouter_serve.money import priced
from smartrouter_serve.types import Battle, Contestant, Reply
from smartrouter_serve.widgets.bundle import Bundle, heading, line, table
from smartrouter_serve.widgets.costline import seconds
from smartrouter_serve.widgets.reply import ReplyView

_COLUMNS = ("", "contestant", "answer", "tokens", "time", "cost")
_SHOWN = 60


def reply_value(reply: Reply) -> Bundle:
    """The answer with its cost line, as the cell that asked has shown it."""
    view = ReplyView()
    view.apply(Finished(result=reply))
    return view.draw()


def battle_value(battle: Battle) -> Bundle:
    """The contestants as a table, the one answer where there is one, and who won."""
    rows = [_row(battle, number, one) for number, one in enumerate(battle.contestants, 1)]
    shown = table(_COLUMNS, rows)
    if battle.reply is not None and not battle.winner:
        shown += heading("The one answer") + reply_value(battle.reply)
    said = "" if battle.blind or not battle.verdict else f"{battle.verdict} · "
    cost = priced(battle.cost)
    return shown + line(f"{said}cost of the battle: {cost} · {battle.id}")


def _row(battle: Battle, number: int, one: Contestant) -> tuple[str, ...]:
    """A blind battle keeps what would tell the names until the vote does."""
    won = "★" if one.label == battle.winner and not battle.blind else ""
    name = f"{number}" if battle.blind else f"{number}  {one.label}"
    if one.reply is None:
        return won, name, "failed" if battle.blind else f"failed: {one.error}", "", "", ""
    words = " ".join(one.reply.text.split())
    text = words if len(words) <= _SHOWN else f"{words[:_SHOWN]}…"
    tokens = f"{one.reply.usage.output_tokens:,}"
    if battle.blind:
        return won, name, text, tokens, "", ""
    cost = priced(one.cost)
    return won, name, text, tokens, seconds(one.reply.latency), cost
