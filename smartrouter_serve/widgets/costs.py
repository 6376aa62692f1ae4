"""`%costs` and `smartrouter usage`: a picture of the money, the table under it, and ways out."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smartrouter_serve.client import SyncRouter
from smartrouter_serve.errors import UsageError
from smartrouter_serve.money import show
from smartrouter_serve.spans import seconds
from smartrouter_serve.widgets import chart
from smartrouter_serve.widgets.bundle import Bundle, Rows, line
from smartrouter_serve.widgets.markdown import plain
from smartrouter_serve.widgets.spending import ORIGINS, ZERO, Spending, spending
from smartrouter_serve.widgets.tables import usage_heading, usage_rows
from smartrouter_serve.widgets.terminal import clean
from smartrouter_serve.widgets.width import NARROWEST, cut, fitted

_AND = " and "
_COLUMNS = 90
"""The most columns of the picture."""
_PLAIN_WIDTH = 72
"""Of the text form where no terminal says how wide it is."""
_CELL = "text-align: left; white-space: nowrap; font-weight: normal"
_MONEY = ("cost", "baseline_cost", "saved", "unconfirmed")
_FIELDS = (
    *("calls", "failed", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("cost", "baseline_cost", "saved", "unconfirmed", "unknown_cost_calls"),
)
_HEADER = tuple(f"{name}_usd" if name in _MONEY else name for name in _FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the ledger says of a span of time, and how it is shown."""

    by: str
    rows: Rows
    """Of the query `usage`."""
    days: Rows
    """Of the query `spending`."""
    baseline: str
    """What was compared with at the time, else what is configured."""
    first: date | None
    """None where no span was asked for."""
    last: date

    @classmethod
    def ask(cls, router: SyncRouter, by: str, span: str) -> Costs:
        """Read them; `span` is empty, or as `spans.seconds` takes it.

        Raises `UsageError` for an unknown grouping or span.
        """
        now = time.time()
        since = max(now - seconds(span), 0.0) if span else None
        rows = router.query("usage", by=by, since=since)
        days = router.query("spending", since=since)
        named = sorted({row["baseline"] for row in days if row["saved"] is not None})
        return cls(
            by=by,
            rows=rows,
            days=days,
            baseline=_AND.join(named) or router.query("status")["baseline"],
            first=None if since is None else date.fromtimestamp(since),  # noqa: DTZ012
            last=date.fromtimestamp(now),  # noqa: DTZ012
        )

    def spending(self, most: int) -> Spending:
        """The sums, over at most `most` columns."""
        return spending(self.days, most=most, first=self.first, last=self.last)

    def draw(self, first_step: str, width: int | None = None) -> Bundle:
        """The picture, then the table; text lines are at most `width` columns wide.

        `first_step` is the line that a person without any spend yet may paste.
        """
        if not self.rows:
            span = "" if self.first is None else f" since {self.first}"
            return fitted(line(f"Nothing was spent{span} yet. Try: {first_step}"), width)
        return self.picture(width) + self.table(width)

    def picture(self, width: int | None = None) -> Bundle:
        """Spend and savings over time, and the share of each origin."""
        heading = fitted(usage_heading(self.rows, self.baseline), width)
        if not self.days:
            return heading
        room = max(_PLAIN_WIDTH if width is None else width, NARROWEST)
        return heading + Bundle(
            _page(self.spending(_COLUMNS), self.baseline),
            _plain(self.spending(min(room, _PLAIN_WIDTH)), self.baseline, width, room),
        )

    def table(self, width: int | None = None) -> Bundle:
        """The groups, and what is not certain."""
        return usage_rows(self.rows, self.by, width)

    def figure(self) -> dict[str, Any]:
        """The picture as a plotly figure, in MIME parts for a notebook.

        Raises `UsageError` where plotly is missing.
        """
        try:
            from plotly import graph_objects
            from plotly.subplots import make_subplots
        except ImportError as error:
            raise UsageError(
                "--interactive needs plotly, which is not installed.",
                'Paste: %pip install "smartrouter-serve[lab]"',
            ) from error
        sums, saved = self.spending(_COLUMNS * 4), f"saved against {escape(clean(self.baseline))}"
        titles = ("spent, in dollars", f"{saved}, in dollars")
        plot = make_subplots(rows=2, shared_xaxes=True, subplot_titles=titles)
        names = [bucket.name for bucket in sums.buckets]
        for origin, pattern in zip(ORIGINS, ("", "/", ".", "x"), strict=True):
            if origin in sums.spent:
                amounts = [float(bucket.spent.get(origin, ZERO)) for bucket in sums.buckets]
                marker = {"color": chart.INKS[origin].colour, "pattern": {"shape": pattern}}
                trace = graph_objects.Bar(x=names, y=amounts, name=ORIGINS[origin], marker=marker)
                plot.add_trace(trace, row=1, col=1)
        amounts = [float(bucket.saved or ZERO) for bucket in sums.buckets]
        marker = {"color": chart.INKS["saved"].colour}
        plot.add_trace(graph_objects.Bar(x=names, y=amounts, name="saved", marker=marker), 2, 1)
        plot.update_layout(barmode="relative", height=420, margin={"t": 40, "b": 30})
        plot.update_xaxes(type="category")
        return {"application/vnd.plotly.v1+json": json.loads(plot.to_json())}

    def frame(self) -> Any:
        """The groups as a pandas DataFrame with amounts as floats, or as they are without pandas.

        A float holds every nano-dollar of up to four million dollars; the list and the CSV hold
        the amounts as exact decimals.
        """
        if find_spec("pandas") is None:
            return self.rows
        import pandas as pd

        table = pd.DataFrame(list(self.rows), columns=["key", *_FIELDS])
        return table.astype(dict.fromkeys(_MONEY, float))

    def write_csv(self, path: Path) -> None:
        """Write the groups, amounts as exact decimal dollars; a CSV of ours is replaced.

        Raises `UsageError` where the file is something else, or cannot be written.
        """
        path = path.expanduser().absolute()
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow((self.by, *_HEADER))
        writer.writerows(
            (_inert(row["key"]), *(row[name] for name in _FIELDS)) for row in self.rows
        )
        draft = path.with_name(f"{path.name}.tmp")
        try:
            if path.exists() and not _is_ours(path):
                raise UsageError(
                    f"{path} exists and was not written by %costs.", "Give another name."
                )
            draft.write_text(text.getvalue(), "utf-8", newline="")
            draft.replace(path)
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}.", "Give a path in a folder of yours."
            ) from error


def _inert(key: str) -> str:
    """The key so that no spreadsheet takes it for a formula."""
    return f"'{key}" if key.startswith(("=", "+", "-", "@", "\t", "\r")) else key


def _is_ours(path: Path) -> bool:
    """Whether the file begins as every CSV of ours does, or is empty."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        head = file.readline(1_000).rstrip("\r\n")
    return not head or tuple(head.split(",")[1:]) == _HEADER


def _facts(sums: Spending, baseline: str) -> tuple[str, str]:
    """The captions of the two pictures over time: the figures in words."""
    baseline = _AND.join(name.rpartition("/")[2] for name in baseline.split(_AND))
    pace = "a day" if sums.days == 1 else f"per {sums.days} days"
    top = max(sums.buckets, key=lambda bucket: bucket.total)
    spent = f"Spent {pace}, most {show(top.total)} on {top.name}"
    known = [(bucket.saved, bucket) for bucket in sums.buckets if bucket.saved is not None]
    if sums.saved is None:
        return spent, "Savings are unknown: no call has a figure for the baseline"
    best, when = max(known, key=lambda pair: pair[0])
    worst, bad = min(known, key=lambda pair: pair[0])
    saved = f"Saved {pace} against {baseline}, most {show(best)} on {when.name}"
    if best <= 0:
        saved = f"Nothing was saved against {baseline}"
    if worst < 0:
        saved += f"; {show(-worst)} dearer on {bad.name}"
    if sums.uncompared:
        saved += f"; unknown for {_counted(sums.uncompared)}"
    return spent, saved


def _counted(calls: int) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{calls:,} call{'' if calls == 1 else 's'}"


def _share_caption(sums: Spending) -> str:
    return f"Share of the {'spend' if sums.total else 'calls'}"


def _shares(sums: Spending) -> list[tuple[str, float, str]]:
    """Each origin's share, and the figures that stand at it."""
    return [
        (
            origin,
            sums.share(origin),
            f"{sums.share(origin):.0%} · {show(spent)} · {_counted(sums.calls[origin])}",
        )
        for origin, spent in sums.spent.items()
    ]


def _page(sums: Spending, baseline: str) -> str:
    """Captions in the page's own text, pictures as images."""
    html = ""
    if len(sums.buckets) > 1:
        span = f"{sums.buckets[0].first} to {sums.buckets[-1].last}"
        spent, saved = _facts(sums, baseline)
        stacks: Sequence[Mapping[str, Decimal]] = [bucket.spent for bucket in sums.buckets]
        html += _columns(f"Spend, {span}", f"{spent}; {show(sums.total)} in all.", spent, stacks)
        stacks = [{"saved": bucket.saved or ZERO} for bucket in sums.buckets]
        if sums.saved is None:
            html += line(f"{saved}.").html
        else:
            words = f"{saved}; {show(sums.saved)} in all."
            html += _columns(f"Savings, {span}", words, saved, stacks)
        html += line(span).html
    return html + _legend(sums)


def _columns(title: str, words: str, caption: str, stacks: Sequence[Mapping[str, Decimal]]) -> str:
    picture = chart.image(chart.columns(title, words, stacks), f"{title}. {words}")
    return f"{line(caption).html}<div>{picture}</div>"


def _legend(sums: Spending) -> str:
    rows, caption = [], _share_caption(sums)
    for origin, share, words in _shares(sums):
        name = ORIGINS[origin]
        patch = chart.image(chart.swatch(origin), "")
        told = f"{name} models: {words}"
        strip = chart.image(chart.bar(caption, told, origin, share), told)
        named = f'<th scope="row" style="{_CELL}">{patch} {name}</th>'
        figures = "".join(f'<td style="{_CELL}">{part}</td>' for part in (strip, plain(words)))
        rows.append(f"<tr>{named}{figures}</tr>")
    return f"{line(caption).html}<table>{''.join(rows)}</table>"


def _plain(sums: Spending, baseline: str, width: int | None, room: int) -> str:
    """The same in block characters."""
    text = ""
    if len(sums.buckets) > 1:
        spent, saved = _facts(sums, baseline)
        parts = [
            fitted(line(spent), width).text,
            chart.spark([bucket.total for bucket in sums.buckets]).rstrip(),
            fitted(line(saved), width).text,
            chart.spark([bucket.saved for bucket in sums.buckets]).rstrip(),
            fitted(line(f"{sums.buckets[0].first} … {sums.buckets[-1].last}"), width).text,
        ]
        text = "\n".join(part for part in parts if part) + "\n"
    strip = min(20, room // 6)
    shares = [_share_caption(sums)] + [
        f"{ORIGINS[origin]:<7} {chart.blocks(share, strip)} {words}"
        for origin, share, words in _shares(sums)
    ]
    return text + "\n".join(shares if width is None else [cut(row, room) for row in shares])
