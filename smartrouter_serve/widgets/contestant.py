"""One contestant's column of a battle."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

from smartrouter_serve.calls import Decided, Event, Failed, ReasoningDelta, TextDelta
from smartrouter_serve.money import priced, show
from smartrouter_serve.types import Reply
from smartrouter_serve.widgets.bundle import Bundle, heading
from smartrouter_serve.widgets.costline import seconds
from smartrouter_serve.widgets.markdown import plain
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.terminal import clean

_BOX = "border:{}px solid gray;padding:6px 10px"
"""Short, like all of the styles here: a saved battle has them once a column."""
_QUIET = "font-size:90%;opacity:.8"
_ANSWER = "max-height:28em;overflow:auto"
_END_FIRST = "display:flex;flex-direction:column-reverse"
"""Keeps a box that is drawn anew scrolled to its end."""
_MEASURABLE = 0.1
"""Seconds of an answer from which its speed can be told."""


@dataclass(slots=True)
class Column:
    """A contestant under way: apply its events, then draw; what has not changed is not redrawn."""

    reply: ReplyView
    clock: Callable[[], float] = time.monotonic
    used_nanos: int | None = None
    """What it had used when it was stopped or failed."""
    asked: float = field(init=False)
    first: float | None = field(default=None, init=False)
    """When its first token came."""
    _latest: float = field(default=0.0, init=False)
    _version: int = field(default=0, init=False)
    _drawn: tuple[tuple[object, ...], Bundle] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.asked = self.clock()

    def apply(self, event: Event) -> None:
        """Take in one event of the lane."""
        self._version += 1
        self.reply.apply(event)
        if isinstance(event, TextDelta | ReasoningDelta):
            self._latest = self.clock()
            self.first = self._latest if self.first is None else self.first
        elif isinstance(event, Decided):
            self.asked = self.clock()
        elif isinstance(event, Failed):
            self.used_nanos = event.cost_nanos

    def stop(self) -> None:
        """Mark it as stopped with its battle."""
        self._version += 1
        self.reply.stop()

    @property
    def stopped(self) -> bool:
        """Whether the person ended it before its end."""
        problem = self.reply.problem
        return self.reply.stopped or (problem is not None and problem.kind == "Stopped")

    @property
    def failed(self) -> bool:
        """Whether it ended without an answer, and not by the person's will."""
        return self.reply.problem is not None and not self.stopped

    @property
    def expected_nanos(self) -> int | None:
        """What the decision expects it to cost."""
        decision = self.reply.decision
        row = decision.candidate(decision.model) if decision else None
        return row.cost_nanos if row else None

    @property
    def spared_nanos(self) -> int:
        """What stopping it has saved, as far as that can be told."""
        if not self.stopped or self.expected_nanos is None or self.used_nanos is None:
            return 0
        return max(0, self.expected_nanos - self.used_nanos)

    def draw(
        self, number: int, name: str, *, hidden: bool, won: bool, length: int | None = None
    ) -> Bundle:
        """The column, headed by `name`; `hidden` says nothing that would tell who it is.

        On a terminal it holds the first `length` characters of the answer.
        """
        key = (self._version, number, name, hidden, won, length)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = key, self._draw(number, name, hidden=hidden, won=won, length=length)
        return self._drawn[1]

    def _draw(
        self, number: int, name: str, *, hidden: bool, won: bool, length: int | None
    ) -> Bundle:
        head = heading(name + (" ★ winner" if won else ""))
        parts = [self.state(hidden=hidden), "" if hidden else self.figures()]
        facts = " · ".join(part for part in parts if part)
        thought = Bundle("", "") if hidden or not self.reply.done else self.reply.thinking()
        body = self.reply.body()
        style, inside = _ANSWER, body.html
        if not self.reply.done:
            style, inside = f"{_ANSWER};{_END_FIRST}", f"<div>{body.html}</div>"
        html = (
            f'<div role="region" aria-label="Contestant {escape(name)}" '
            f'style="{_BOX.format(3 if won else 1)}">{head.html}'
            f'<div style="{_QUIET}">{plain(facts)}</div>{thought.html}'
            f'<div role="group" aria-label="Answer {number}" tabindex="0" style="{style}">'
            f"{inside}</div></div>"
        )
        text = (f"[{head.text}]", thought.text, _cut(body.text, length), clean(facts))
        return Bundle(html, "\n".join(part for part in text if part))

    def state(self, *, hidden: bool = False) -> str:
        """How far it is, in a few words."""
        reply = self.reply
        if self.stopped:
            return "stopped"
        if reply.problem is not None:
            said = "the vote tells why" if hidden else reply.problem.message
            return f"failed: {said}"
        if reply.done:
            return "done"
        return f"{'answering' if hidden or not reply.state else reply.state} …"

    def figures(self) -> str:
        """First token, time, speed, tokens and cost: exact at the end, estimated before."""
        if self.reply.reply is not None:
            return _exact(self.reply.reply)
        parts = []
        if self.first is not None:
            parts.append(f"first {seconds(self.first - self.asked)}")
            streamed = self._latest - self.first
            if streamed > _MEASURABLE:
                parts.append(f"about {self.reply.tokens / streamed:.0f} tokens/s")
        cost = self.used_nanos if self.reply.done else self.reply.so_far(self.reply.tokens)
        if cost is not None:
            parts.append(show(cost) if self.reply.done else f"about {show(cost)}")
        return " · ".join(parts)


def _exact(reply: Reply) -> str:
    usage, first = reply.usage, reply.first_token or 0.0
    streamed = reply.latency - first
    speed = usage.output_tokens / streamed if streamed > _MEASURABLE else None
    parts = [
        "cached" if reply.cached else "",
        "" if reply.first_token is None or reply.cached else f"first {seconds(first)}",
        "" if reply.cached else seconds(reply.latency),
        "" if speed is None or reply.cached else f"{speed:,.0f} tokens/s",
        f"{usage.output_tokens:,} tokens",
        priced(reply.cost),
    ]
    return " · ".join(part for part in parts if part)


def _cut(text: str, length: int | None) -> str:
    if length is None or len(text) <= length:
        return text
    return f"{text[:length]} … ({len(text) - length:,} more characters)"
