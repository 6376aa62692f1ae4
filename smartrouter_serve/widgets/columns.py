"""A battle on a terminal: live columns while it runs, then every answer whole.

The live picture is drawn on the terminal's second screen, as an editor is: no resize can break it,
and the scrollback holds each answer once, when it is complete.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from smartrouter_serve.money import priced, show
from smartrouter_serve.types import Battle
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.contestant import Column
from smartrouter_serve.widgets.costline import seconds
from smartrouter_serve.widgets.prose import Prose
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.terminal import clean

_LEAST = 34
"""Cells under which a column is no longer pleasant to read."""
_RULED = 4
"""Lines of a column from which on a rule is drawn between the rows."""
_STEP = 1024
"""The start of what is looked at of a growing answer moves in steps, so that its lines stand."""
_RATE = 0.1
"""Seconds between two pictures."""


def across(count: int, width: int) -> int:
    """How many of `count` columns stand in a row, so that all rows are about as full."""
    most = max(1, min(count, width // _LEAST))
    rows = -(-count // most)
    return -(-count // rows)


@dataclass(slots=True)
class Columns:
    """Contestants side by side, as they stand: a renderable that fills what it is given."""

    view: BattleView

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        lanes = self.view.contestants
        height = (options.height or console.height) - 1
        if lanes:
            per_row = across(len(lanes), options.max_width)
            rows = [lanes[at : at + per_row] for at in range(0, len(lanes), per_row)]
            ruled = (height - len(rows) + 1) // len(rows) >= _RULED
            each = max(1, (height - (len(rows) - 1) * ruled) // len(rows))
            for number, row in enumerate(rows):
                if number and ruled:
                    rule = "-" if options.ascii_only else "─"
                    yield Text(rule * options.max_width, "dim")
                yield self._row(row, number * per_row + 1, per_row, options.update(height=each))
        yield _cut(self._foot(), options.max_width, "dim")

    def _row(self, lanes: list[Column], first: int, per_row: int, options: ConsoleOptions) -> Table:
        grid = Table.grid(padding=0)
        inner = (options.max_width - 3 * (per_row - 1)) // per_row
        height = options.height or 1
        bar = " | " if options.ascii_only else " │ "
        cells: list[RenderableType] = []
        for number, lane in enumerate(lanes, first):
            if cells:
                grid.add_column(width=3)
                cells.append(Text("\n".join([bar] * height), "dim"))
            grid.add_column(width=inner)
            cells.append(self._column(number, lane, inner, height))
        grid.add_row(*cells)
        return grid

    def _column(self, number: int, column: Column, width: int, height: int) -> Group:
        lane = column.reply
        name = _cut(self.view.name(number, lane.lane), width, "bold")
        style = "red" if lane.problem else "green" if lane.reply else "dim"
        lines = [name, _cut(self.state(column), width, style)]
        if height > 2:
            why = lane.problem.message if lane.problem and not self.view.blind else ""
            tail = _tail(lane.text or why or lane.reasoning, width, height - 2)
            lines += [Text(line, "" if lane.text else "dim") for line in tail]
        lines += [Text()] * (height - len(lines))
        return Group(*lines[:height])

    def state(self, column: Column) -> str:
        """First token, speed and cost, or what is waited for, in one line."""
        lane, now = column.reply, self.view.clock()
        if lane.problem is not None:
            return "failed"
        if self.view.blind:
            return "done" if lane.reply else "stopped" if lane.stopped else "answering …"
        if lane.reply is not None:
            return facts(lane)
        if column.first is None:
            waited = now - column.asked
            return f"{lane.state or 'waiting'} …" + (f" {waited:.0f} s" if waited >= 1 else "")
        spent = lane.so_far(lane.tokens)
        parts = [
            "stopped" if lane.stopped else "thinking" if not lane.text else "",
            "" if spent is None else f"~{show(spent)}",
            f"first {seconds(column.first - column.asked)}",
            speed(lane.tokens, now - column.first),
        ]
        return " · ".join(part for part in parts if part)

    def _foot(self) -> str:
        if self.view.state:
            return f"{self.view.state} … · Ctrl-C stops"
        if self.view.blind:
            return "Ctrl-C stops"
        return f"{self.view.estimate()} · Ctrl-C stops"


def facts(lane: ReplyView) -> str:
    """A finished answer's first token, time, speed and exact cost."""
    reply = lane.reply
    if reply is None:
        return ""
    first = reply.first_token
    parts = [
        priced(reply.cost),
        "cached" if reply.cached else "" if first is None else f"first {seconds(first)}",
        "" if reply.cached else seconds(reply.latency),
        f"{reply.usage.output_tokens:,} tokens",
        "" if reply.cached else speed(reply.usage.output_tokens, reply.latency - (first or 0.0)),
    ]
    return " · ".join(part for part in parts if part)


def speed(tokens: float, elapsed: float) -> str:
    """Tokens a second; nothing while there is too little to go by."""
    return f"{tokens / elapsed:.0f} tok/s" if elapsed >= 0.05 and tokens >= 1 else ""


def _cut(text: str, width: int, style: str) -> Text:
    """One line that is never longer than `width`."""
    line = Text(clean(text).replace("\n", " ").expandtabs(1), style, no_wrap=True)
    line.truncate(width, overflow="ellipsis")
    return line


def _tail(text: str, width: int, height: int) -> list[str]:
    """The last lines of a growing text, wrapped; only as much of it is read as they can hold."""
    step = max(_STEP, width * height)
    start = max(0, (len(text) // step - 1) * step)
    last = clean(text[start:]).rstrip("\n").split("\n")[-height:]
    console = Console(width=width, color_system=None)
    wrapped = Text("\n".join(last)).wrap(console, width, tab_size=4, overflow="fold")
    return [line.plain for line in wrapped[-height:]]


class Stage:
    """The terminal's second screen, on which a battle is drawn until it is over."""

    def __init__(self, console: Console, view: BattleView) -> None:
        self._console = console
        self._columns = Columns(view)
        self._last = 0.0
        self._entered = self._suspend = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self) -> None:
        """Draw, at most ten times a second."""
        now = time.monotonic()
        if now - self._last < _RATE or not self._columns.view.lanes:
            return
        self._last = now
        if self._suspend:  # Ctrl-Z: the shell's prompt belongs on the first screen
            self.close()
            os.kill(os.getpid(), signal.SIGTSTP)
        if not self._entered:
            self._enter()
        self._console.update_screen(self._columns)

    def _enter(self) -> None:
        self._entered, self._suspend = True, False
        if hasattr(signal, "SIGTSTP") and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._on_suspend)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def _on_suspend(self, *_: object) -> None:
        self._suspend = True

    def close(self) -> None:
        """Give the terminal back as it was."""
        if not self._entered:
            return
        self._entered = False
        self._console.set_alt_screen(False)
        self._console.show_cursor(True)
        if hasattr(signal, "SIGTSTP") and signal.getsignal(signal.SIGTSTP) == self._on_suspend:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def write_result(console: Console, view: BattleView) -> None:
    """Every answer whole, one under the other, then the verdict and what it all cost."""
    battle = view.battle
    order = [c.label for c in battle.contestants] if battle else list(view.lanes)
    for number, label in enumerate(order, 1):
        lane = view.lanes.get(label, ReplyView(lane=label))
        won = bool(battle and battle.winner == label and not view.blind)
        console.print(_head(console, view.name(number, label), won=won))
        _write(console, lane.text)
        console.print(Text(clean(_ending(view, lane)), "red" if lane.problem else "dim"))
    if battle is None:
        return
    if battle.reply is not None and not battle.winner:
        console.print(_head(console, "The one answer", won=False))
        _write(console, battle.reply.text)
    for line in verdict(view, battle):
        console.print(Text(clean(line), "dim"))


def _head(console: Console, name: str, *, won: bool) -> Text:
    star = "" if not won else " ★ winner" if console.encoding.startswith("utf") else " * winner"
    line = _cut(name, console.width - len(star) - 4, "bold")
    return Text.assemble(("── ", "dim"), line, (star, Style(color="green", bold=True)))


def _write(console: Console, text: str) -> None:
    if text:
        prose = Prose(console)
        prose.feed(text)
        prose.finish()


def _ending(view: BattleView, lane: ReplyView) -> str:
    if lane.problem is not None:
        return "failed" if view.blind else f"failed: {lane.problem.message}"
    if lane.reply is None:
        return "stopped"
    return f"{lane.reply.usage.output_tokens:,} tokens" if view.blind else facts(lane)


def verdict(view: BattleView, battle: Battle) -> list[str]:
    """Who won and by what, and the exact cost beside what was expected."""
    cost = priced(battle.cost)
    said = [battle.verdict] if battle.verdict and not view.blind else []
    return [*said, f"cost of the battle: {cost}, {view.estimate()}"]
