"""What one output holds: a page's form and a terminal's form of the same thing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from smartrouter_serve.widgets.markdown import plain
from smartrouter_serve.widgets.terminal import one_line

QUIET = (
    "color: var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit)); font-size: 90%"
)
"""The style of what stands beside an answer; without a theme it has the text's own colour."""
_CELL = "padding: 2px 10px 2px 0; text-align: left; vertical-align: top"

Rows = Sequence[Mapping[str, Any]]
"""What a query answers."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """HTML for a page and plain text for a terminal."""

    html: str
    text: str

    def mime(self) -> dict[str, str]:
        """As Jupyter's display data."""
        return {"text/html": self.html, "text/plain": self.text}

    def __add__(self, other: Bundle) -> Bundle:
        joint = "\n" if self.text and other.text else ""
        return Bundle(self.html + other.html, self.text + joint + other.text)


def line(text: str, *, title: str = "") -> Bundle:
    """A quiet line under something."""
    hint = f' title="{escape(one_line(title))}"' if title else ""
    text = one_line(text)
    return Bundle(f'<div style="{QUIET}"{hint}>{plain(text)}</div>', text)


def to_paste(lines: Iterable[str]) -> Bundle:
    """Lines to paste into a cell, each by itself."""
    shown = [one_line(text) for text in lines]
    html = "".join(f"<pre><code>{plain(text)}</code></pre>" for text in shown)
    return Bundle(html, "\n".join(f"    {text}" for text in shown))


def heading(text: str) -> Bundle:
    """A line that says what follows."""
    text = one_line(text)
    return Bundle(f"<div><strong>{plain(text)}</strong></div>", text)


def folded(summary: str, inside: Bundle) -> Bundle:
    """Something that a page shows on a click, and a terminal at once."""
    summary = one_line(summary)
    html = f"<details><summary>{plain(summary)}</summary>{inside.html}</details>"
    return Bundle(html, f"{summary}:\n{inside.text}")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Bundle:
    """A small table; numbers and words alike are shown as they are."""
    columns = [one_line(name) for name in columns]
    shown = [[one_line("" if value is None else str(value)) for value in row] for row in rows]
    head = "".join(f'<th style="{_CELL}">{plain(name)}</th>' for name in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{plain(value)}</td>' for value in row) + "</tr>"
        for row in shown
    )
    html = f'<table style="border-collapse: collapse"><tr>{head}</tr>{body}</table>'
    return Bundle(html, _plain_table(columns, shown))


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [
        max([len(name), *(len(row[number]) for row in rows)]) for number, name in enumerate(columns)
    ]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    )
