"""Decisions, models, costs, budgets and status as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from smartrouter_serve.money import show
from smartrouter_serve.types import Candidate, Decision
from smartrouter_serve.widgets.bundle import Bundle, Rows, folded, heading, line, table
from smartrouter_serve.widgets.chart import blocks
from smartrouter_serve.widgets.terminal import clean
from smartrouter_serve.widgets.width import cells, cut, fitted

_BUDGET_BAR = 10


def _money(text: str | None) -> str:
    return "unknown" if text is None else show(Decimal(text))


def decision_table(decision: Decision) -> Bundle:
    """Why this model, and what each would cost; those that could not be chosen are folded."""
    allowed = [row for row in decision.candidates if not row.excluded]
    excluded = [row for row in decision.candidates if row.excluded]
    facts = (
        f"{decision.intent} ({decision.intent_probability:.0%} sure), complexity "
        f"{decision.complexity:.2f}, policy {decision.policy}; about {decision.input_tokens:,} "
        f"tokens in, {decision.output_tokens:,} out (p90 {decision.output_tokens_p90:,}); "
        f"decided in {decision.seconds * 1000:.2f} ms"
    )
    shown = heading(decision.reason) + line(facts) + _candidates(allowed)
    if excluded:
        shown += folded(f"{len(excluded)} excluded", _excluded(excluded))
    return shown


def _candidates(rows: Sequence[Candidate]) -> Bundle:
    """The cost expected, what nine of ten such calls stay under, and the most it can be."""
    columns = ("model", "quality", "cost", "p90", "at most", "time", "verdict")
    shown = [
        (
            row.model,
            f"{row.quality:.2f}",
            show(row.cost_nanos),
            show(row.cost_p90_nanos),
            show(row.bound_nanos),
            f"{row.latency:.1f} s",
            row.verdict,
        )
        for row in rows
    ]
    return table(columns, shown)


def _excluded(rows: Sequence[Candidate]) -> Bundle:
    """Which constraint each failed; a terminal, which folds nothing, names the first of each."""
    models: dict[str, list[str]] = {}
    for row in rows:
        models.setdefault(row.excluded, []).append(row.model)
    full = table(("why", "models"), [(why, ", ".join(names)) for why, names in models.items()])
    short = [
        (names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more", why)
        for why, names in models.items()
    ]
    return Bundle(full.html, table(("model", "why"), short).text)


def models_table(rows: Rows) -> Bundle:
    """Ready models first, with price, health and speed."""
    shown = [
        (
            row["id"],
            "ready" if not row["ready"] else row["ready"],
            f"{row['input']} / {row['output']}" if row["input"] is not None else "unknown",
            f"{row['context']:,}",
            row["circuit"],
            "" if row["success"] is None else f"{row['success']:.0%} of {row['calls']}",
            "" if row["first_token"] is None else f"{row['first_token']:.2f} s",
            "" if row["tokens_per_second"] is None else f"{row['tokens_per_second']:.0f}",
        )
        for row in sorted(rows, key=lambda row: (bool(row["ready"]), row["id"]))
    ]
    columns = ("model", "state", "$/M in / out", "context", "circuit", "good", "first", "tok/s")
    return table(columns, shown)


def usage_heading(rows: Rows, baseline: str) -> Bundle:
    """What was spent and saved in all."""
    total = sum((Decimal(row["cost"]) for row in rows), Decimal(0))
    known = [Decimal(row["saved"]) for row in rows if row["saved"] is not None]
    saved = sum(known, Decimal(0))
    against = f"{show(saved)} saved" if saved >= 0 else f"{show(-saved)} dearer"
    if not known:
        against = "savings unknown"
    return heading(f"{show(total)} spent, {against} against {baseline}")


def usage_rows(rows: Rows, by: str, width: int | None = None) -> Bundle:
    """The groups, and what is not certain; the text leaves columns out that `width` cannot hold."""
    shown = [
        (
            " ".join(row["key"].split()) or "–",
            row["calls"],
            row["failed"],
            f"{row['input_tokens']:,} → {row['output_tokens']:,}",
            _money(row["cost"]),
            _money(row["saved"]),
        )
        for row in rows
    ]
    result = narrowed((by, "calls", "failed", "tokens", "cost", "saved"), shown, width)
    unknown = sum(row["unknown_cost_calls"] for row in rows)
    if unknown:
        result += fitted(
            line(f"{unknown} calls have no known price and are counted as 0 dollars here."), width
        )
    open_bound = sum((Decimal(row["unconfirmed"]) for row in rows), Decimal(0))
    if open_bound:
        told = (
            f"At most {show(open_bound)} more were on hold when a process died; "
            "`smartrouter budget` lists the runs."
        )
        result += fitted(line(told), width)
    return result


_SPARE = ("failed", "tokens", "calls", "saved")
"""Columns of the costs that a narrow terminal goes without, the first ones first."""
_SHORTEST_KEY = 12


def narrowed(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> Bundle:
    """A table whose text goes without spare columns, and cuts the first one, where it must."""
    full = table(columns, rows)
    if width is None:
        return full
    kept = [list(map(clean, map(str, column))) for column in zip(columns, *rows, strict=True)]
    for spare in ("", *_SPARE):
        kept = [column for column in kept if column[0] != spare or column is kept[0]]
        taken = sum(2 + max(map(cells, column)) for column in kept[1:])
        if taken + min(_SHORTEST_KEY, max(map(cells, kept[0]))) <= width:
            break
    kept[0] = [cut(key, max(width - taken, 1)) for key in kept[0]]
    head, *body = zip(*kept, strict=True)
    text = "\n".join(cut(row, width) for row in table(head, body).text.split("\n"))
    return replace(full, text=text)


def budgets_table(rows: Rows) -> Bundle:
    """Every budget with what is spent, on hold and left."""
    if not rows:
        return line("No budget is set. Add [budgets.daily] with a limit to smartrouter.toml.")
    shown = [
        (
            row["name"],
            f"${row['limit']} a {row['window']}"
            if row["window"] != "total"
            else f"${row['limit']}",
            "hard" if row["hard"] else f"soft (at worst {_money(row['worst_overshoot'])} over)",
            _money(row["spent"]),
            _money(row["on_hold"]),
            _money(row["left"]),
            row["resets_at"] or "never",
        )
        for row in rows
    ]
    return table(("budget", "limit", "kind", "spent", "on hold", "left", "resets"), shown)


def leaderboard_table(rows: Rows) -> Bundle:
    """Votes by model."""
    if not rows:
        return line("No battle was voted on yet. Start one with %%arena.")
    shown = [
        (
            row["model"],
            row["rating"],
            f"{row['wins']}–{row['losses']}–{row['ties']}",
            f"{row['win_rate']:.0%}",
        )
        for row in rows
    ]
    return table(("model", "rating", "won–lost–tied", "win rate"), shown)


def status_table(status: Mapping[str, Any]) -> Bundle:
    """Where it runs, who can be called, and what is left."""
    rows = [
        (provider["name"], "ready" if provider["ready"] else provider["why"])
        for provider in sorted(status["providers"], key=lambda provider: not provider["ready"])
    ]
    config = status["config_file"] or "none (defaults hold)"
    shown = line(
        f"{status['backend']} · policy {status['policy']} · baseline {status['baseline']} · "
        f"project {status['project'] or '–'} · configuration {config} · state in {status['home']}"
    )
    shown += table(("provider", "state"), rows)
    return shown + _budget_bars(status["budgets"])


def _budget_bars(rows: Rows) -> Bundle:
    """What is left of every budget, as a bar and in words."""
    if not rows:
        return budgets_table(rows)
    shown = []
    for row in rows:
        left, limit = Decimal(row["left"]), Decimal(row["limit"])
        share = float(max(left, Decimal(0)) / limit) if limit else 0.0
        window = "" if row["window"] == "total" else f" a {row['window']}"
        bar = blocks(share, _BUDGET_BAR).replace(" ", "·")
        told = f"{int(share * 100)}% left: {show(left)} of {show(limit)}{window}"
        shown.append((row["name"], bar, told + ("" if row["hard"] else ", soft")))
    return table(("budget", "left", ""), shown)
