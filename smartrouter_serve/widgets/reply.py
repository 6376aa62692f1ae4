"""A reply as a person sees it, while it grows and when it is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smartrouter_serve.calls import (
    Decided,
    Event,
    Failed,
    Finished,
    ReasoningDelta,
    Switched,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from smartrouter_serve.calls import tool_calls as joined
from smartrouter_serve.errors import Problem
from smartrouter_serve.types import Decision, Format, Reply, ToolCall
from smartrouter_serve.widgets.bundle import Bundle, Rows, line
from smartrouter_serve.widgets.costline import (
    cost_note,
)
from smartrouter_serve.widgets.formats import (
    code_block,
    code_of,
    json_fault,
    json_of,
    language_of,
    tool_calls,
)
from smartrouter_serve.widgets.markdown import GrowingMarkdown, plain
from smartrouter_serve.widgets.progress import Progress
from smartrouter_serve.widgets.terminal import clean

_WRAP = "white-space: pre-wrap"
_ONE_CLICK = "user-select: all"
"""One click selects the whole code: a button to copy it would need a script."""
_CHARACTERS = 4
"""Of a text, to a token, where nobody counted."""
_INTO_NEXT = "%smartrouter insert puts it into the next cell"


@dataclass(slots=True)
class ReplyView:
    """A reply under way: apply events, then draw."""

    format: Format = "md"
    lane: str = ""
    clock: Callable[[], float] = time.monotonic
    used: Callable[[], str] = lambda: ""
    """Asked where it ends early: what it had used, in a few words."""
    budgets: Rows = ()
    """The budgets as they stand after the reply."""
    decision: Decision | None = None
    text: str = ""
    reasoning: str = ""
    switched: list[str] = field(default_factory=list)
    reply: Reply | None = None
    problem: Problem | None = None
    stopped: bool = False
    ending: str = ""
    """How it ended early."""
    progress: Progress = field(init=False)
    _thought: tuple[float, float] | None = None
    """When the first and the last piece of the thinking came."""
    _tools: list[ToolCallDelta] = field(default_factory=list)
    _markdown: GrowingMarkdown = field(default_factory=GrowingMarkdown)
    _drawn: tuple[tuple[int, bool], Bundle] | None = None
    """The body as it was drawn last, how long its text was, and whether it had ended."""

    def __post_init__(self) -> None:
        self.progress = Progress(self.clock)

    @property
    def state(self) -> str:
        """What is waited for; empty while the answer comes and when it is over."""
        return self.progress.state

    def apply(self, event: Event) -> None:
        """Take in one event of the lane."""
        match event:
            case Decided(decision=decision):
                self.decision = decision
                self.progress.begin(f"asking {decision.model}")
            case Waiting(reason=reason, seconds=pause):
                self.progress.begin(reason, pause)
            case TextDelta(text=text):
                self.text += text
                self.progress.begin("")
            case ReasoningDelta(text=text):
                now = self.clock()
                self._thought = (self._thought[0] if self._thought else now, now)
                self.reasoning += text
                self.progress.begin("thinking")
            case ToolCallDelta(name=name):
                self._tools.append(event)
                name = name or joined(self._tools)[-1].name
                self.progress.begin(f"calling {name}")
            case Switched(from_model=old, to_model=new, reason=reason):
                self._forget()
                self.progress.begin(f"switched to {new}")
                self.switched.append(f"{old} failed, {new} took over: {reason}")
            case Finished(result=Reply() as reply):
                self.reply, self.text, self.reasoning = reply, reply.text, reply.reasoning
                self.progress.begin("")
            case Failed(problem=problem):
                self.problem = problem
                self._end("broke off" if self.text else "")

    @property
    def tokens(self) -> float:
        """About how many tokens have come so far."""
        return (len(self.text) + len(self.reasoning)) / _CHARACTERS

    def so_far(self, tokens: float) -> int | None:
        """Nano-dollars at so many tokens of output, while nobody has counted.

        The decision's two estimates, median and p90, are two points of the line of its price. None
        where a price is unknown, or where another model has taken over.
        """
        decision = self.decision
        row = decision.candidate(decision.model) if decision else None
        if decision is None or row is None or self.switched:
            return None
        cost, p90 = row.cost_nanos, row.cost_p90_nanos
        span = decision.output_tokens_p90 - decision.output_tokens
        if cost is None or p90 is None or span <= 0:
            return 0 if cost == 0 else None
        each = (p90 - cost) / span
        return max(0, round(cost + each * (tokens - decision.output_tokens)))

    def _forget(self) -> None:
        """Another model begins anew."""
        self.text = self.reasoning = ""
        self._thought, self._drawn = None, None
        self._tools = []
        self._markdown = GrowingMarkdown()

    @property
    def done(self) -> bool:
        """Whether the lane has ended."""
        return self.reply is not None or self.problem is not None or self.stopped

    @property
    def tools(self) -> tuple[ToolCall, ...]:
        """What the model wants to be called, as far as it has come."""
        return self.reply.tool_calls if self.reply else joined(self._tools)

    def stop(self) -> None:
        """Mark it as stopped by the person; what arrived stays."""
        self.stopped = True
        self._end("stopped")

    def _end(self, word: str) -> None:
        self.progress.begin("")
        used = self.used() if word else ""
        said = f"{used} used, as %costs has it" if used else "what was used is in %costs"
        self.ending = f"{word}; {said}" if word else ""

    def body(self) -> Bundle:
        """The answer alone."""
        as_it_is = len(self.text), self.done
        if self._drawn is None or self._drawn[0] != as_it_is:
            self._drawn = as_it_is, self._body()
        return self._drawn[1]

    def _body(self) -> Bundle:
        if self.format == "md":
            html = self._markdown.render(self.text, final=self.done)
            return Bundle(html, clean(self.text))
        if self.format == "code":
            code = code_of(self.text)
            block = code_block(code, language_of(self.text)) if self.done else _plain(code)
            return Bundle(f'<div style="{_ONE_CLICK}">{block.html}</div>', block.text)
        pretty = json_of(self.text) if self.format == "json" and self.done else None
        return _plain(self.text) if pretty is None else code_block(pretty, "json")

    def draw(self) -> Bundle:
        """All of it, as it stands."""
        return self._whole() if self.done else self._growing()

    def _growing(self) -> Bundle:
        """The answer so far. A screen reader is told the states and not every piece of it."""
        shown, under = self.body(), Bundle("", "")
        if self.reasoning and self.state != "thinking":
            shown = line(self._thinking()) + shown
        for switch in self.switched:
            under += line(switch)
        under += self.progress.draw()
        # MathJax is slow enough to build up a backlog: it works on the last drawing only.
        html = f'<div aria-busy="true">{shown.html}</div>{under.html}'
        text = Bundle("", shown.text) + Bundle("", under.text)
        return Bundle(f'<div class="mathjax_ignore">{html}</div>', text.text)

    def _whole(self) -> Bundle:
        """The answer at its end; on a terminal it stands first, as it was written while it came."""
        body, thought = self.body(), self.thinking()
        shown = Bundle(thought.html + body.html, body.text) + tool_calls(self.tools)
        shown += Bundle("", thought.text)
        if self.reply is not None:
            shown += cost_note(self.reply, self.budgets)
        for note in [self.ending, *self._notes(), *self.switched]:
            shown += line(note) if note else Bundle("", "")
        return shown

    def _notes(self) -> list[str]:
        """What the person should know."""
        if self.reply is None:
            return []
        # The cost line tells of budgets as they are now; the engine did before the call.
        notes = [n for n in self.reply.notes if not (self.budgets and n.startswith("budget "))]
        if self.reply.finish == "length" and not any("cut at" in note for note in notes):
            notes.append("cut at the limit of its length; raise --max-tokens for more")
        if self.format == "json":
            notes.append(json_fault(self.text))
        if self.format == "code" and self.text.strip():
            notes.append(_INTO_NEXT)
        return notes

    def thinking(self) -> Bundle:
        """The thinking, folded away."""
        if not self.reasoning:
            return Bundle("", "")
        summary = self._thinking()
        html = (
            f"<details><summary>{summary}</summary>"
            f'<div style="{_WRAP}">{plain(self.reasoning)}</div></details>'
        )
        return Bundle(html, f"[{summary}]")

    def thought(self) -> str:
        """How much it thought: the provider's count, else about so much."""
        counted = self.reply.usage.reasoning_tokens if self.reply else 0
        tokens = counted or math.ceil(len(self.reasoning) / _CHARACTERS)
        return f"{'' if counted else 'about '}{tokens:,} tokens"

    def _thinking(self) -> str:
        """How long it thought, and how much."""
        amount = self.thought()
        if self._thought is None:
            return f"thought, {amount}"
        took = self._thought[1] - self._thought[0]
        long = f"{took:.0f} s" if took >= 1 else f"{took:.1f} s" if took >= 0.1 else "under 0.1 s"
        return f"thought for {long}, {amount}"


def _plain(text: str) -> Bundle:
    """Text as it is, which no typesetting touches."""
    return Bundle(f'<pre style="{_WRAP}">{plain(text)}</pre>', clean(text))
