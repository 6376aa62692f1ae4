"""A battle as a person sees it: contestants side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smartrouter_serve.calls import NO_WINNER, Event, Failed, Finished, TextDelta, Waiting
from smartrouter_serve.errors import Problem
from smartrouter_serve.money import priced, show
from smartrouter_serve.types import Battle
from smartrouter_serve.widgets.bundle import Bundle, heading, line, table
from smartrouter_serve.widgets.contestant import Column
from smartrouter_serve.widgets.markdown import plain, to_html
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.terminal import clean

_GRID = "display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr))"
_PLAIN = 2_000
"""Characters of all answers in the plain form of a saved battle, whose page form has them whole."""


@dataclass(slots=True)
class BattleView:
    """A battle under way: apply events, then draw."""

    blind: bool = False
    """Hide the names, and what would tell them, until the vote."""
    brief: bool = False
    """Shorten the answers in the plain form."""
    clock: Callable[[], float] = time.monotonic
    lanes: dict[str, ReplyView] = field(default_factory=dict)
    text: str = ""
    """The converged answer, where it is written anew."""
    state: str = "deciding"
    battle: Battle | None = None
    problem: Problem | None = None
    """Why the whole battle failed."""
    stopped: bool = False
    voted: str = ""
    """The label that the person voted for, or one of `NO_WINNER`."""
    _columns: dict[str, Column] = field(default_factory=dict)
    _answer: tuple[str, Bundle] = ("", Bundle("", ""))
    """The converged answer as it was drawn last."""

    def apply(self, event: Event) -> None:
        """Take in one event of any lane."""
        if event.lane:
            self.state = ""
            self._column(event.lane).apply(event)
        elif isinstance(event, TextDelta):
            self.text += event.text
        elif isinstance(event, Waiting):
            self.state = event.reason
        elif isinstance(event, Finished) and isinstance(event.result, Battle):
            self.battle, self.state = event.result, ""
        elif isinstance(event, Failed):
            self.problem, self.state = event.problem, ""

    def stop(self) -> None:
        """Mark what still runs as stopped."""
        self.stopped, self.state = True, ""
        for column in self._columns.values():
            if not column.reply.done:
                column.stop()

    def vote(self, choice: str) -> None:
        """Mark the winner by the person's vote, and tell the names."""
        self.voted = choice

    @property
    def contestants(self) -> list[Column]:
        """The columns as votes number them: in the order of the battle, once that is known."""
        if self.battle is None:
            return list(self._columns.values())
        return [self._column(contestant.label) for contestant in self.battle.contestants]

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.battle is not None or self.stopped or self.problem is not None

    def _column(self, label: str) -> Column:
        if label not in self._columns:
            lane = self.lanes[label] = ReplyView(lane=label, clock=self.clock)
            self._columns[label] = Column(lane, self.clock)
        return self._columns[label]

    @property
    def hidden(self) -> bool:
        """Whether nothing may tell yet who is who."""
        return self.blind and not self.voted

    def name(self, number: int, label: str) -> str:
        """What a contestant is called; nameless in a blind battle until it was voted on."""
        return f"{number}" if self.hidden else f"{number}  {clean(label)}"

    def progress(self) -> str:
        """How far the battle is, in one short line."""
        columns = self.contestants
        done = sum(column.reply.done for column in columns)
        failed = sum(column.failed for column in columns)
        return f"{done} of {len(columns)} done" + (f", {failed} failed" if failed else "")

    def estimate(self) -> str:
        """What the decisions expect the contestants to cost together."""
        total = self._expected("cost_nanos")
        tail = "" if total[1] else ", and one price is unknown"
        return f"expected to cost about {show(total[0])} together{tail}"

    def _expected(self, figure: str) -> tuple[int, bool]:
        """The sum of a figure of the decisions, and whether all of them have it."""
        decisions = [lane.decision for lane in self.lanes.values() if lane.decision]
        found = [getattr(d.candidate(d.model), figure, None) for d in decisions]
        known = [figure for figure in found if figure is not None]
        return sum(known), len(known) == len(found)

    def prices(self) -> Bundle:
        """Before anything is spent: every contestant's expected cost and time."""
        rows = []
        for label, lane in self.lanes.items():
            row = lane.decision.candidate(lane.decision.model) if lane.decision else None
            if row is not None:
                cost, most = show(row.cost_nanos), show(row.cost_p90_nanos)
                rows.append((label, f"{row.quality:.2f}", cost, most, f"{row.latency:.1f} s"))
            elif lane.problem is not None:
                rows.append((label, "", "", "", lane.problem.message))
        columns = ("contestant", "quality", "cost", "cost p90", "time")
        most = f"; {show(self._expected('cost_p90_nanos')[0])} if all answers are long"
        return table(columns, rows) + line(self.estimate() + most)

    def draw(self) -> Bundle:
        """All of it, as it stands."""
        shown = self._grid()
        if self.battle is not None:
            shown += self._verdict(self.battle)
        elif self.text:
            shown += self._one_answer(self.text)
        if not self.over:
            waits = [f"{self.state} …"] if self.state else []
            lanes = [self.progress(), self.estimate()] if self.lanes else []
            shown += line(" · ".join([*waits, *lanes]))
        if self.stopped:
            shown += line("stopped; what was used up to then is in %costs")
        # MathJax is slow enough to build up a backlog: it works on the last drawing only.
        html = shown.html if self.over else f'<div class="mathjax_ignore">{shown.html}</div>'
        return Bundle(html, shown.text)

    def _grid(self) -> Bundle:
        columns = self.contestants
        winner = self.voted or (self.battle.winner if self.battle else "")
        length = _PLAIN // max(1, len(columns)) if self.brief else None
        drawn = [
            column.draw(
                number,
                self.name(number, column.reply.lane),
                hidden=self.hidden,
                won=not self.hidden and column.reply.lane == winner,
                length=length,
            )
            for number, column in enumerate(columns, 1)
        ]
        grid = "".join(column.html for column in drawn)
        return Bundle(
            f'<div style="{_GRID}">{grid}</div>', "\n\n".join(column.text for column in drawn)
        )

    def _one_answer(self, text: str) -> Bundle:
        if self._answer[0] != text:
            self._answer = text, Bundle(to_html(text), clean(text))
        return self._answer[1]

    def _verdict(self, battle: Battle) -> Bundle:
        shown = Bundle("", "")
        if battle.reply is not None and not battle.winner and not self.voted:
            shown += heading("The one answer") + self._one_answer(battle.reply.text)
        cost = priced(battle.cost)
        said = [self._said(battle), f"cost of the battle: {cost}", self.spared()]
        shown += line(" · ".join(part for part in said if part))
        command = f"%{vote_command(battle)}"
        ask = "To change the vote:" if self.voted else "Which is best?"
        return shown + Bundle(
            f"<div>{ask} <code>{plain(command)}</code></div>",
            f"{'Change the vote' if self.voted else 'Vote'}: {command}",
        )

    def _said(self, battle: Battle) -> str:
        if self.voted:
            return f"your vote: {self.called(self.voted)}"
        return "" if self.hidden else battle.verdict

    def called(self, choice: str) -> str:
        """A contestant with its number, or the word itself."""
        labels = [column.reply.lane for column in self.contestants]
        return f"{labels.index(choice) + 1}  {choice}" if choice in labels else choice

    def spared(self) -> str:
        """What was saved by stopping contestants early; empty where nothing was."""
        stopped = [column for column in self.contestants if column.stopped]
        saved = sum(column.spared_nanos for column in stopped)
        return f"stopping {len(stopped)} early saved about {show(saved)}" if saved else ""


def vote_command(battle: Battle) -> str:
    """The command that votes on a battle."""
    numbers = [str(n) for n in range(1, len(battle.contestants) + 1)]
    return f"smartrouter vote {battle.id} {'|'.join([*numbers, *NO_WINNER])}"
