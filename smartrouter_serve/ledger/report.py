"""What the ledger tells: usage, leaderboard, measured speeds."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from statistics import median
from typing import Any

from smartrouter_serve.engine.ports import Speed
from smartrouter_serve.errors import UsageError, did_you_mean
from smartrouter_serve.money import dollars

_KEYS = {
    "model": "model",
    "provider": "provider",
    "intent": "COALESCE(intent, '')",
    "day": "strftime('%Y-%m-%d', opened, 'unixepoch', 'localtime')",
    "notebook": "notebook",
    "project": "project",
    "outcome": "COALESCE(outcome, kind)",
    "policy": "COALESCE(policy, '')",
    "baseline": "COALESCE(baseline, '')",
}
_RECENT = 50
"""Calls of a model that its measured speed is the median of."""
_LOOK_BACK = 5_000
"""Entries that are searched for them."""
_ROUNDS = 50


def usage(db: sqlite3.Connection, by: str, since: float | None) -> list[dict[str, Any]]:
    """Calls, tokens and money, grouped; an orphan that nobody corrected is `unconfirmed`.

    `by` may be several groupings joined by commas; each row then also names each by itself.

    Raises `UsageError` for an unknown grouping.
    """
    names = by.split(",")
    for name in names:
        if name not in _KEYS:
            hint = did_you_mean(name, _KEYS, write=str)
            raise UsageError(f"Unknown grouping {name!r}.", f"{hint}Group by {', '.join(_KEYS)}.")
    # The keys are our own expressions, so nothing foreign reaches the statement.
    keys = ", ".join(f"{_KEYS[name]} AS key{number}" for number, name in enumerate(names))
    order = ", ".join(f"key{number}" for number in range(len(names)))
    rows = db.execute(
        f"""
        WITH corrected AS (SELECT hold FROM entries WHERE kind = 'correction'),
        closed AS (
            SELECT *, kind = 'orphan' AND hold NOT IN corrected AS open_bound
            FROM entries WHERE kind != 'hold' AND opened >= ?
                AND NOT (kind = 'settle' AND outcome IS NULL)
        )
        SELECT {keys},
            SUM(kind = 'settle' OR kind = 'orphan') AS calls,
            SUM(kind = 'settle' AND outcome NOT IN ('ok', 'cancelled')) AS failed,
            SUM(input_tokens) AS input_tokens,
            SUM(output_tokens) AS output_tokens,
            SUM(cached_tokens) AS cached_tokens,
            SUM(reasoning_tokens) AS reasoning_tokens,
            SUM(CASE WHEN open_bound THEN 0 ELSE spent END) AS cost,
            SUM(CASE WHEN open_bound THEN spent ELSE 0 END) AS unconfirmed,
            SUM(CASE WHEN price_known AND baseline_nanos IS NOT NULL THEN baseline_nanos END)
                AS baseline,
            SUM(CASE WHEN price_known AND baseline_nanos IS NOT NULL THEN spent END) AS compared,
            SUM(NOT price_known) AS unknown_cost_calls
        FROM closed GROUP BY {order} ORDER BY cost DESC, calls DESC, {order}
        """,  # noqa: S608  # nosec B608
        (since or 0.0,),
    ).fetchall()
    return [_usage_row(row, names) for row in rows]


def _usage_row(row: sqlite3.Row, names: list[str]) -> dict[str, Any]:
    told = {"key": row["key0"]} | {
        name: row[name]
        for name in (
            "calls",
            "failed",
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "reasoning_tokens",
            "unknown_cost_calls",
        )
    }
    if len(names) > 1:
        told |= {name: row[f"key{number}"] for number, name in enumerate(names)}
    baseline = row["baseline"]
    return {
        **told,
        "cost": f"{dollars(row['cost']):f}",
        "unconfirmed": f"{dollars(row['unconfirmed']):f}",
        "baseline_cost": None if baseline is None else f"{dollars(baseline):f}",
        "saved": None if baseline is None else f"{dollars(baseline - row['compared']):f}",
    }


def unconfirmed(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Orphans without a correction, newest first; `nanos` is the bound that is booked."""
    rows = db.execute(
        "SELECT run, model, spent, opened FROM entries AS o WHERE kind = 'orphan' AND spent > 0 "
        "AND NOT EXISTS (SELECT 1 FROM entries WHERE kind = 'correction' AND hold = o.hold) "
        "ORDER BY opened DESC"
    )
    return [
        {
            "run": row["run"],
            "model": row["model"],
            "nanos": row["spent"],
            "at": datetime.fromtimestamp(row["opened"]).isoformat(" ", "minutes"),  # noqa: DTZ006
        }
        for row in rows
    ]


def leaderboard(
    contestants: Mapping[str, list[str]], models: Mapping[str, str], votes: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Wins, losses, ties and a Bradley-Terry rating a model, best first.

    `contestants` are the labels of each battle, `models` the model of each label, `votes` the last
    vote of each battle: a label, `tie` or `none`.
    """
    table: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"battles": 0, "wins": 0, "losses": 0, "ties": 0}
    )
    pairs: dict[tuple[str, str], float] = defaultdict(float)
    for battle, winner in votes.items():
        labels = contestants.get(battle, [])
        for label in labels:
            row = table[models.get(label, label)]
            row["battles"] += 1
            row["ties"] += winner == "tie"
            row["wins"] += label == winner
            row["losses"] += winner not in ("tie", "none", label) or winner == "none"
        _count_pairs(pairs, [(label, models.get(label, label)) for label in labels], winner)
    strengths = bradley_terry(pairs)
    rows = [
        {
            "model": model,
            **row,
            "win_rate": (row["wins"] + 0.5 * row["ties"]) / row["battles"],
            "rating": round(1_000 + 400 * math.log10(strengths.get(model, 1.0))),
        }
        for model, row in table.items()
    ]
    return sorted(rows, key=lambda row: (-row["rating"], -row["wins"], row["model"]))


def _count_pairs(
    pairs: dict[tuple[str, str], float], labels: list[tuple[str, str]], winner: str
) -> None:
    """Add a battle's comparisons between different models: half a win each way for a tie."""
    for label, model in labels:
        for other_label, other in labels:
            if model == other:
                continue
            if winner == "tie":
                pairs[model, other] += 0.5
            elif label == winner and other_label != winner:
                pairs[model, other] += 1.0


def bradley_terry(wins: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """Strengths with a geometric mean of 1, by Zermelo's iteration (Hunter 2004, eq. 3).

    Every pair that met starts with half a win each way, so that nobody's strength is infinite.
    """
    met = {frozenset(pair) for pair in wins}
    models = sorted({model for pair in met for model in pair})
    smoothed = {
        (a, b): wins.get((a, b), 0.0) + 0.5
        for pair in met
        for a, b in (tuple(pair), tuple(pair)[::-1])
    }
    strength = dict.fromkeys(models, 1.0)
    if not models:
        return strength
    for _ in range(_ROUNDS):
        for model in models:
            rivals = [b for a, b in smoothed if a == model]
            won = sum(smoothed[model, b] for b in rivals)
            games = sum(
                (smoothed[model, b] + smoothed[b, model]) / (strength[model] + strength[b])
                for b in rivals
            )
            strength[model] = won / games
        mean = math.exp(sum(math.log(s) for s in strength.values()) / len(models))
        strength = {model: s / mean for model, s in strength.items()}
    return strength


def speeds(db: sqlite3.Connection) -> dict[str, Speed]:
    """Medians over each model's last calls that were answered or failed."""
    rows = db.execute(
        "SELECT model, outcome, latency, first_token, output_tokens FROM entries "
        "WHERE kind = 'settle' AND outcome != 'cancelled' "
        "AND id > (SELECT COALESCE(MAX(id), 0) FROM entries) - ? ORDER BY id DESC",
        (_LOOK_BACK,),
    )
    recent: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        if len(recent[row["model"]]) < _RECENT:
            recent[row["model"]].append(row)
    return {model: _speed(calls) for model, calls in recent.items()}


def _speed(calls: list[sqlite3.Row]) -> Speed:
    good = [c for c in calls if c["outcome"] == "ok" and c["first_token"] is not None]
    rates = [
        c["output_tokens"] / (c["latency"] - c["first_token"])
        for c in good
        if c["output_tokens"] > 1 and c["latency"] > c["first_token"]
    ]
    return Speed(
        calls=len(calls),
        failures=sum(c["outcome"] != "ok" for c in calls),
        first_token=median(c["first_token"] for c in good) if good else None,
        tokens_per_second=median(rates) if rates else None,
        output_tokens=median(c["output_tokens"] for c in good) if good else None,
    )
