"""A reply while it grows: its states, their seconds, its thinking, and how it ends early."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from smartrouter_serve.calls import (
    Decided,
    Failed,
    Finished,
    ReasoningDelta,
    Switched,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from smartrouter_serve.errors import Problem
from smartrouter_serve.types import ToolCall, Usage
from smartrouter_serve.widgets.reply import ReplyView
from tests.widgets.test_costline import DAILY
from tests.widgets.test_views import DECISION, GLM, REPLY


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    """The view's clock."""
    return Clock()


@pytest.fixture
def view(clock):
    """A view on that clock."""
    return ReplyView(clock=clock)


def spoken(html: str) -> list[str]:
    """What a screen reader is told."""
    return re.findall(r'<span role="status" aria-live="polite">(.*?)</span>', html)


def test_a_wait_counts_its_seconds(view, clock):
    """Deciding, asking, waiting: each with its own seconds, so that no cell looks frozen."""
    assert view.draw().text == "deciding …"
    clock.now += 1.2
    assert view.draw().text == "deciding … 1 s"
    view.apply(Decided(decision=DECISION))
    assert view.draw().text == f"asking {GLM} …"
    view.apply(Waiting(reason=f"waiting for {GLM}"))
    clock.now += 7.6
    assert view.draw().text == f"waiting for {GLM} … 8 s"


def test_a_retry_counts_down(view, clock):
    """What went wrong, and how long it still waits."""
    view.apply(Waiting(reason=f"retrying {GLM} in 2.0 s: overloaded", seconds=2.0))
    shown = []
    for _ in range(3):
        shown.append(view.draw().text.rpartition("… ")[2])
        clock.now += 1.0
    assert shown == ["2 s left", "1 s left", "now"]


def test_a_screen_reader_hears_states_and_no_seconds(view, clock):
    """The live part stays the same while the seconds count; the answer is not in it."""
    view.apply(Waiting(reason=f"waiting for {GLM}"))
    first = view.draw().html
    clock.now += 3
    later = view.draw().html
    assert first != later
    assert spoken(first) == spoken(later) == [f"waiting for {GLM} …"]
    view.apply(TextDelta(text="words"))
    assert spoken(view.draw().html) == []
    assert '<div aria-busy="true">' in view.draw().html
    view.apply(Finished(result=REPLY))
    assert "aria-busy" not in view.draw().html
    assert "aria-live" not in view.draw().html


def test_a_stream_that_falls_silent_says_so(view, clock):
    """After two seconds without a piece; not before."""
    view.apply(TextDelta(text="half"))
    clock.now += 1.9
    assert view.draw().text == "half"
    clock.now += 2.2
    assert view.draw().text == "half\nno new text … for 4 s"
    view.apply(TextDelta(text=" whole"))
    assert view.draw().text == "half whole"


def test_a_view_that_only_waits_is_drawn_once_a_second(view, clock):
    """Ten ticks a second, one new picture."""
    view.apply(Waiting(reason="waiting for a/x"))
    pictures = set()
    for _ in range(30):
        pictures.add(view.draw().html)
        clock.now += 0.1
    assert len(pictures) <= 4


def test_thinking_is_one_line_with_seconds_and_tokens(view, clock):
    """While it thinks the seconds count; then from its first to its last piece."""
    view.apply(ReasoningDelta(text="a" * 800))
    clock.now += 3.0
    assert view.draw().text == "thinking … 3 s"
    assert "aaa" not in view.draw().html
    view.apply(ReasoningDelta(text="b" * 848))
    clock.now += 5.0  # a pause before the answer is no thinking
    view.apply(TextDelta(text="answer"))
    assert "thought for 3 s, about 412 tokens" in view.draw().html
    usage = Usage(input_tokens=1, output_tokens=500, reasoning_tokens=409)
    view.apply(Finished(result=replace(REPLY, reasoning="a<b", usage=usage)))
    drawn = view.draw()
    assert "<details><summary>thought for 3 s, 409 tokens</summary>" in drawn.html
    assert "a&lt;b" in drawn.html
    assert "[thought for 3 s, 409 tokens]" in drawn.text


def test_the_text_form_begins_with_the_answer(view):
    """A terminal has written it already, and goes on from there."""
    for event in (ReasoningDelta(text="hm"), TextDelta(text="**done**")):
        view.apply(event)
    view.apply(Finished(result=replace(REPLY, reasoning="hm")))
    assert view.draw().text.startswith("**done**\n[thought ")


def test_thinking_out_of_the_cache_has_no_seconds(view):
    """Nobody thought just now."""
    view.apply(Finished(result=replace(REPLY, reasoning="x" * 40, cached=True)))
    assert "<summary>thought, about 10 tokens</summary>" in view.draw().html


def test_a_switch_begins_anew(view, clock):
    """Text, thinking and its time are the new model's alone; what happened stays written."""
    view.apply(ReasoningDelta(text="x"))
    view.apply(TextDelta(text="12345"))
    view.draw()
    clock.now += 60
    view.apply(Switched(from_model="a/x", to_model="b/y", reason="cut"))
    assert "12345" not in view.draw().text
    assert view.draw().text.endswith("a/x failed, b/y took over: cut\nswitched to b/y …")
    view.apply(TextDelta(text="54321"))
    assert view.draw().text.startswith("54321")
    assert "thought" not in view.draw().html


def test_tool_calls_are_told_and_shown(view):
    """Their name while they come; name and arguments at the end, also of a stopped answer."""
    view.apply(ToolCallDelta(index=0, id="c", name="weather", arguments='{"in":'))
    view.apply(ToolCallDelta(index=0, arguments='"Paris"}'))
    assert view.draw().text == "calling weather …"
    view.stop()
    assert 'weather({"in": "Paris"})' in view.draw().text
    call = ToolCall(id="c", name="weather", arguments='{"in":"Rome"}')
    view.apply(Finished(result=replace(REPLY, text="", tool_calls=(call,))))
    assert 'weather({"in": "Rome"})' in view.draw().text


def test_what_a_stopped_call_used_is_named_where_it_is_known(clock):
    """Else where to look for it."""
    for used, said in (
        ("12 → 4 tokens, $0.0002", "stopped; 12 → 4 tokens, $0.0002 used, as %costs has it"),
        ("", "stopped; what was used is in %costs"),
    ):
        view = ReplyView(clock=clock, used=lambda used=used: used)
        view.apply(TextDelta(text="a start"))
        view.stop()
        assert view.draw().text == f"a start\n{said}"


def test_an_answer_that_broke_off_says_so(view):
    """What had arrived stays; without any text there is nothing to say here."""
    view.apply(TextDelta(text="a start"))
    view.apply(Failed(problem=Problem(kind="TruncatedStream", message="cut")))
    assert view.draw().text == "a start\nbroke off; what was used is in %costs"


def test_the_budget_is_told_once(view):
    """By the cost line, as it is after the answer; the engine's note from before is left out."""
    note = "budget 'daily': $4.20 of $5.00 used, $0 on hold"
    view.apply(Finished(result=replace(REPLY, notes=(note, "another note"))))
    assert note in view.draw().text
    view.budgets = [DAILY]
    assert note not in view.draw().text
    assert "12 % of budget daily left: $0.6000" in view.draw().text
    assert "another note" in view.draw().text


def test_json_is_checked_and_code_stands_alone():
    """A pretty object, or the raw text and why it is none; the code, and how to take it over."""
    view = ReplyView(format="json")
    view.apply(Finished(result=replace(REPLY, text='{"a":1}')))
    assert view.draw().text.startswith('{\n  "a": 1\n}\n')
    view = ReplyView(format="json")
    view.apply(Finished(result=replace(REPLY, text="sorry $x$")))
    assert view.draw().text.startswith("sorry $x$\n")
    assert "the answer is not valid JSON: Expecting value in line 1, column 1" in view.draw().text
    view = ReplyView(format="code")
    view.apply(Finished(result=replace(REPLY, text="Sure!\n```python\nx = 1\n```\nBye")))
    assert view.draw().text.startswith("x = 1\n")
    assert "Sure" not in view.draw().html
    assert "user-select: all" in view.draw().html
    assert "%smartrouter insert" in view.draw().text
    assert not re.search(r"<script|<button|onclick", view.draw().html)
