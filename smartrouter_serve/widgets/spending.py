"""What was spent and saved, summed by time and by where the models are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from smartrouter_serve.widgets.bundle import Rows

ORIGINS = {"chinese": "Chinese", "western": "western", "local": "local", "other": "other"}
"""Origins of the catalog in the order of every picture, with the word for each."""
_LONGEST = 92
"""Days of an asked span that are drawn though the first of them are empty."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One column of a picture: a day, or a few."""

    first: date
    last: date
    spent: Mapping[str, Decimal]
    """Dollars by origin, in the order of `ORIGINS`."""
    saved: Decimal | None
    """None where nothing can be compared."""

    @property
    def total(self) -> Decimal:
        """Dollars of all origins."""
        return sum(self.spent.values(), ZERO)

    @property
    def name(self) -> str:
        """The day, or the first and the last of them."""
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Exact sums of the rows of the query `spending`."""

    buckets: tuple[Bucket, ...]
    days: int
    """Days of a bucket."""
    spent: Mapping[str, Decimal]
    """Dollars by origin, of those that were called."""
    calls: Mapping[str, int]
    saved: Decimal | None
    uncompared: int
    """Calls of which nobody knows what the baseline would have cost."""

    @property
    def total(self) -> Decimal:
        """Dollars spent."""
        return sum(self.spent.values(), ZERO)

    def share(self, origin: str) -> float:
        """The origin's part of the dollars, or of the calls where none was spent."""
        if self.total:
            return float(self.spent[origin] / self.total)
        return self.calls[origin] / (sum(self.calls.values()) or 1)


def spending(
    rows: Rows, *, most: int, first: date | None = None, last: date | None = None
) -> Spending:
    """Sum the rows over at most `most` buckets, from `first` (or the first call) to `last`."""
    days = [date.fromisoformat(row["day"]) for row in rows]
    if last is not None:
        days.append(last)
        if first is not None and (last - first).days < _LONGEST:
            days.append(first)
    start, end = min(days), max(days)
    step = -(-((end - start).days + 1) // most)
    grouped: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[(date.fromisoformat(row["day"]) - start).days // step].append(row)
    spent = _by_origin(rows)
    return Spending(
        buckets=tuple(
            Bucket(
                first=start + timedelta(number * step),
                last=min(start + timedelta((number + 1) * step - 1), end),
                spent=_by_origin(grouped[number]),
                saved=_saved(grouped[number]),
            )
            for number in range((end - start).days // step + 1)
        ),
        days=step,
        spent=spent,
        calls={o: sum(row["calls"] for row in rows if _origin(row) == o) for o in spent},
        saved=_saved(rows),
        uncompared=sum(row["calls"] for row in rows if row["saved"] is None),
    )


def _origin(row: Mapping[str, Any]) -> str:
    return row["origin"] if row["origin"] in ORIGINS else "other"


def _by_origin(rows: Rows) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for row in rows:
        sums[_origin(row)] += Decimal(row["cost"])
    return {origin: sums[origin] for origin in ORIGINS if origin in sums}


def _saved(rows: Rows) -> Decimal | None:
    known = [Decimal(row["saved"]) for row in rows if row["saved"] is not None]
    return sum(known, ZERO) if known else None
