"""A reply as a person sees it, while it grows and when it is done."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape

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
from smartrouter_serve.errors import Problem
from smartrouter_serve.money import show
from smartrouter_serve.types import Decision, Format, Reply, ToolCall
from smartrouter_serve.widgets.bundle import Bundle, line
from smartrouter_serve.widgets.markdown import GrowingMarkdown, plain
from smartrouter_serve.widgets.terminal import clean

_CODE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_WRAP = "white-space: pre-wrap"


def code_of(text: str) -> str:
    """The code of an answer: its fenced blocks joined, or all of it where there is none."""
    blocks = _CODE.findall(text)
    return "\n".join(block.rstrip("\n") for block in blocks) if blocks else text


def json_of(text: str) -> str | None:
    """The JSON of an answer, indented; None where it holds none."""
    for candidate in (text, code_of(text)):
        try:
            return json.dumps(json.loads(candidate), indent=2, ensure_ascii=False)
        except ValueError:
            continue
    return None


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


def cost_line(reply: Reply) -> str:
    """Who answered and why, tokens, times, cost and savings, in one line."""
    usage = reply.usage
    thinking = f" ({usage.reasoning_tokens:,} thinking)" if usage.reasoning_tokens else ""
    about = "about " if usage.estimated else ""
    cost = "price unknown" if reply.cost is None else show(reply.cost)
    parts = [
        reply.model,
        "cached" if reply.cached else short_reason(reply),
        f"{about}{usage.input_tokens:,} → {usage.output_tokens:,} tokens{thinking}",
        "" if reply.first_token is None or reply.cached else f"first {seconds(reply.first_token)}",
        "" if reply.cached else seconds(reply.latency),
        "free" if reply.cost == 0 and not reply.cached else cost,
        savings(reply),
        f"switched from {', '.join(reply.switched_from)}" if reply.switched_from else "",
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


@dataclass(slots=True)
class ReplyView:
    """A reply under way: apply events, then draw."""

    format: Format = "md"
    lane: str = ""
    decision: Decision | None = None
    text: str = ""
    reasoning: str = ""
    state: str = "deciding"
    switched: list[str] = field(default_factory=list)
    reply: Reply | None = None
    problem: Problem | None = None
    stopped: bool = False
    _markdown: GrowingMarkdown = field(default_factory=GrowingMarkdown)

    def apply(self, event: Event) -> None:
        """Take in one event of the lane."""
        match event:
            case Decided(decision=decision):
                self.decision, self.state = decision, f"asking {decision.model}"
            case Waiting(reason=reason):
                self.state = reason
            case TextDelta(text=text):
                self.text += text
                self.state = ""
            case ReasoningDelta(text=text):
                self.reasoning += text
                self.state = "thinking"
            case ToolCallDelta():
                self.state = "calling a tool"
            case Switched(from_model=old, to_model=new, reason=reason):
                self.text = self.reasoning = ""
                self._markdown = GrowingMarkdown()
                self.state = f"switched to {new}"
                self.switched.append(f"{old} failed, {new} took over: {reason}")
            case Finished(result=Reply() as reply):
                self.reply, self.text, self.state = reply, reply.text, ""
                self.reasoning = reply.reasoning
            case Failed(problem=problem):
                self.problem, self.state = problem, ""

    @property
    def done(self) -> bool:
        """Whether the lane has ended."""
        return self.reply is not None or self.problem is not None or self.stopped

    def stop(self) -> None:
        """Mark it as stopped by the person; what arrived stays."""
        self.stopped, self.state = True, ""

    def body(self) -> Bundle:
        """The answer alone."""
        if self.format == "code":
            code = code_of(self.text)
            return Bundle(f"<pre><code>{escape(clean(code))}</code></pre>", clean(code))
        if self.format == "json" and self.done:
            shown = json_of(self.text) or self.text
            return Bundle(f"<pre><code>{escape(clean(shown))}</code></pre>", clean(shown))
        if self.format == "text":
            return Bundle(f'<div style="{_WRAP}">{plain(self.text)}</div>', clean(self.text))
        html = self._markdown.render(self.text, final=self.done)
        return Bundle(html, clean(self.text))

    def draw(self) -> Bundle:
        """All of it, as it stands."""
        shown = self.thinking() + self.body()
        if self.reply is not None:
            shown += tool_lines(self.reply.tool_calls) + line(
                cost_line(self.reply), title=self.reply.decision.reason
            )
            notes = [*self.reply.notes]
            if self.reply.finish == "length" and not any("cut at" in note for note in notes):
                notes.append("cut at the limit of its length; raise --max-tokens for more")
            if self.format == "json" and json_of(self.text) is None:
                notes.append("the answer is not valid JSON")
            for note in notes:
                shown += line(note)
        if self.stopped:
            shown += line("stopped; what was used up to then is in %costs")
        for switch in self.switched:
            shown += line(switch)
        if self.state:
            shown += line(f"{self.state} …")
        # MathJax is slow enough to build up a backlog: it works on the last drawing only.
        return shown if self.done else Bundle(_unmathed(shown.html), shown.text)

    def thinking(self) -> Bundle:
        """The thinking, folded away."""
        if not self.reasoning:
            return Bundle("", "")
        words = f"thought, {len(self.reasoning.split()):,} words"
        html = (
            f"<details><summary>{words}</summary>"
            f'<div style="{_WRAP}">{plain(self.reasoning)}</div></details>'
        )
        return Bundle(html, f"[{words}]")


def tool_lines(calls: tuple[ToolCall, ...]) -> Bundle:
    """The tool calls of a reply, a line each."""
    shown = Bundle("", "")
    for call in calls:
        shown += line(f"→ {call.name}({call.arguments})")
    return shown


def _unmathed(html: str) -> str:
    return f'<div class="mathjax_ignore">{html}</div>'
