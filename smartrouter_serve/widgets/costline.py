"""The line under an answer: who, why, tokens, times, cost, savings, and a budget that runs out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase

from smartrouter_serve.money import priced, show
from smartrouter_serve.types import Reply
from smartrouter_serve.widgets.bundle import Bundle, Rows, line

_NEARLY = 0.8
"""Share of a budget from which its rest is told."""


def seconds(value: float) -> str:
    """Seconds for a person."""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def savings(reply: Reply) -> str:
    """What was saved against the named baseline, honest where it is negative."""
    if reply.saved is None or not reply.baseline:
        return ""
    name = reply.baseline.rpartition("/")[2]
    if reply.saved < 0:
        return f"{show(-reply.saved)} dearer than {name}"
    return f"saved {show(reply.saved)} against {name}"


def cost_line(reply: Reply, budgets: Rows = ()) -> str:
    """Who answered and why, tokens, times, cost and savings, in one line.

    `budgets` are the rows of the query of that name; those that are nearly used up are told.
    """
    usage = reply.usage
    thinking = f" ({usage.reasoning_tokens:,} thinking)" if usage.reasoning_tokens else ""
    about = "about " if usage.estimated else ""
    cost = priced(reply.cost)
    parts = [
        reply.model,
        "cached" if reply.cached else short_reason(reply),
        f"{about}{usage.input_tokens:,} → {usage.output_tokens:,} tokens{thinking}",
        "" if reply.first_token is None or reply.cached else f"first {seconds(reply.first_token)}",
        "" if reply.cached else seconds(reply.latency),
        "free" if reply.cost == 0 and not reply.cached else cost,
        savings(reply),
        f"switched from {', '.join(reply.switched_from)}" if reply.switched_from else "",
        *budgets_left(budgets, reply.model),
    ]
    return " · ".join(part for part in parts if part)


def short_reason(reply: Reply) -> str:
    """Why this model, in a few words."""
    decision = reply.decision
    row = decision.candidate(reply.model)
    if row is None or reply.model != decision.model:
        return f"stand-in for {decision.intent}"
    if " was pinned" in decision.reason:
        return "pinned"
    if row.quality < decision.bar:
        return f"best there is for {decision.intent}"
    kind = {"best": "best", "fast": "fastest"}.get(decision.policy, "cheapest")
    return f"{kind} that reaches {decision.bar:.2f} for {decision.intent}"


def budgets_left(rows: Rows, model: str) -> list[str]:
    """What is left of each budget that `model` counts in and that is nearly used up."""
    return [
        f"{Decimal(row['left']) / Decimal(row['limit']):.0%}".replace("%", " %")
        + f" of budget {row['name']} left: {show(Decimal(row['left']))}"
        for row in rows
        if row["used"] >= _NEARLY and _covers(row["filters"], model)
    ]


def _covers(filters: Mapping[str, str], model: str) -> bool:
    provider = filters.get("provider", "")
    return fnmatchcase(model, filters.get("model", "*")) and (
        not provider or model.partition("/")[0] == provider
    )


def cost_note(reply: Reply, budgets: Rows = ()) -> Bundle:
    """The cost line as an element of its own, with the whole reason as its hint.

    The label is what a test or a screen reader finds it by: an untrusted notebook drops classes.
    """
    shown = line(cost_line(reply, budgets), title=reply.decision.reason)
    html = (
        '<div class="smartrouter-cost" role="note" aria-label="What this answer cost">'
        f"{shown.html}</div>"
    )
    return Bundle(html, shown.text)
