"""Replies and battles as they are drawn, from hand-made events."""

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
    Waiting,
)
from smartrouter_serve.errors import Problem
from smartrouter_serve.types import (
    Battle,
    Candidate,
    Contestant,
    Decision,
    Reply,
    ToolCall,
    Usage,
)
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.costline import cost_line
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.tables import (
    budgets_table,
    decision_table,
    usage_heading,
    usage_rows,
)

EVIL = "<img src=x onerror=alert(1)>\x1b[2J\u202e"
GLM, OPUS = "zhipu/glm-5", "openrouter/anthropic/claude-opus-4.6"
DECISION = Decision(
    model=GLM,
    reason=f"{GLM} is the cheapest of 2 that reach 0.70.",
    intent="code",
    bar=0.7,
    candidates=(
        Candidate(model=GLM, quality=0.8, cost_nanos=2_600_000, latency=2.1, verdict="chosen"),
        Candidate(model=OPUS, quality=0.9, excluded=f"no key {EVIL}", verdict=f"no key {EVIL}"),
    ),
)
REPLY = Reply(
    id="abcdefgh",
    text="**done**",
    model=GLM,
    usage=Usage(input_tokens=12, output_tokens=48),
    cost_nanos=2_600_000,
    decision=DECISION,
    baseline=OPUS,
    baseline_nanos=17_500_000,
    latency=2.1,
    first_token=0.4,
)


def active(markup: str) -> bool:
    """Whether anything in it could run, load or drive a terminal."""
    return bool(
        re.search(r"<(img|script|iframe|svg)|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", markup)
    )


def test_the_cost_line_has_everything():
    """Model, why, tokens, times, cost, and savings against the named baseline."""
    line = cost_line(REPLY)
    for part in (GLM, "cheapest", "0.70 for code", "12 → 48 tokens", "0.40 s", "2.10 s", "$0.0026"):
        assert part in line
    assert "saved $0.0149" in line
    assert "claude-opus-4.6" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline_nanos": 600_000}, "$0.0020 dearer than claude-opus-4.6"),
        ({"cost_nanos": None}, "price unknown"),
        ({"cost_nanos": 0, "cached": True}, "cached"),
        ({"switched_from": ("minimax/M2.5",)}, "switched from minimax/M2.5"),
        ({"usage": Usage(input_tokens=12, output_tokens=48, reasoning_tokens=30)}, "30 thinking"),
        ({"usage": Usage(input_tokens=12, output_tokens=48, estimated=True)}, "about 12"),
    ],
)
def test_the_cost_line_is_honest(changes, said):
    """A loss, an unknown price, a cached answer, a switch, thinking, an estimate are all said."""
    assert said in cost_line(replace(REPLY, **changes))


def test_unknown_prices_claim_no_savings():
    """Where the cost or the baseline's is unknown nothing is said to be saved."""
    assert "saved" not in cost_line(replace(REPLY, cost_nanos=None))
    assert "saved" not in cost_line(replace(REPLY, baseline_nanos=None))


def test_the_line_names_the_model_that_stepped_in_and_not_the_others_reason():
    """After a switch the reason of the model that failed is not given for the one that served."""
    line = cost_line(replace(REPLY, model="minimax/M2.5", switched_from=(GLM,)))
    assert "cheapest that reaches" not in line


def test_a_cut_answer_says_so():
    """An answer that ended at its limit is marked, or the person takes it for whole."""
    view = ReplyView()
    view.apply(Finished(result=replace(REPLY, finish="length")))
    assert re.search(r"cut|limit|max-tokens", view.draw().text)


def test_everything_untrusted_is_harmless_in_every_state():
    """Text, thinking, states, switches, tools, notes and errors come from outside."""
    view = ReplyView()
    for event in (
        Decided(decision=DECISION),
        Waiting(reason=EVIL),
        ReasoningDelta(text=EVIL),
        TextDelta(text=EVIL),
        Switched(from_model=EVIL, to_model=EVIL, reason=EVIL),
        TextDelta(text=f"`{EVIL}` ![x](http://evil.example)"),
        Finished(
            result=replace(
                REPLY,
                text=EVIL,
                reasoning=EVIL,
                notes=(EVIL,),
                tool_calls=(ToolCall(id="1", name=EVIL, arguments=EVIL),),
            )
        ),
    ):
        view.apply(event)
        drawn = view.draw()
        assert not active(drawn.html)
        assert not active(re.sub("<img|\n", "", drawn.text))
    assert not active(decision_table(DECISION).html)


@pytest.mark.parametrize("shape", ["md", "text", "json", "code"])
def test_no_format_lets_markup_through(shape):
    """Every way of showing escapes."""
    view = ReplyView(format=shape)
    view.apply(TextDelta(text=f"```\n{EVIL}\n```"))
    assert not active(view.draw().html)
    view.apply(Finished(result=replace(REPLY, text=f"```\n{EVIL}\n```")))
    assert not active(view.draw().html)


def test_a_switch_takes_the_text_back():
    """What the first model wrote is gone, and the switch is told."""
    view = ReplyView()
    for event in (
        TextDelta(text="half an ans"),
        Switched(from_model="a/x", to_model="b/y", reason="stream cut"),
        TextDelta(text="whole"),
    ):
        view.apply(event)
    assert "half" not in view.draw().text
    assert "whole" in view.draw().text
    assert "b/y" in view.draw().text


def test_growth_is_kept_from_mathjax_and_the_end_is_not():
    """The class is there until the answer is over, also where it failed or was stopped."""
    view = ReplyView()
    view.apply(TextDelta(text="$x$"))
    assert 'class="mathjax_ignore"' in view.draw().html
    view.stop()
    assert "mathjax_ignore" not in view.draw().html


BATTLE = Battle(
    id="k3j9x2ab",
    prompt="q",
    contestants=(
        Contestant(label=GLM, model=GLM, reply=REPLY),
        Contestant(label=OPUS, model=OPUS, error="no key"),
    ),
    cost_nanos=2_600_000,
)


def fought(*, blind: bool) -> BattleView:
    """A battle with one answer and one failure."""
    view = BattleView(blind=blind)
    for event in (
        Decided(lane=GLM, decision=DECISION),
        Waiting(lane=GLM, reason=f"waiting for {GLM}"),
        TextDelta(lane=GLM, text="**done**"),
        Finished(lane=GLM, result=REPLY),
        Failed(lane=OPUS, problem=Problem(kind="NoCandidate", message=f"{OPUS}: {EVIL}")),
        Finished(result=replace(BATTLE, blind=blind)),
    ):
        view.apply(event)
    return view


def test_a_battle_shows_columns_cost_and_vote():
    """Both lanes, the answer, the failure, cost and the line that votes."""
    drawn = fought(blind=False).draw()
    for part in (GLM, OPUS, "$0.0026", "%smartrouter vote k3j9x2ab 1|2|tie|none"):
        assert part in drawn.text
    assert "<strong>done</strong>" in drawn.html
    assert not active(drawn.html)


def test_a_blind_battle_names_nobody_at_any_moment():
    """Neither while it runs nor in an error, and no cost that gives a model away."""
    view = BattleView(blind=True)
    for event in (
        Decided(lane=GLM, decision=DECISION),
        Waiting(lane=GLM, reason=f"waiting for {GLM}"),
        Switched(lane=GLM, from_model=GLM, to_model=OPUS, reason="x"),
        TextDelta(lane=GLM, text="hi"),
        Failed(lane=OPUS, problem=Problem(kind="AuthError", message=f"{OPUS}: no key")),
    ):
        view.apply(event)
        assert "glm" not in view.draw().html
        assert "opus" not in view.draw().html


def test_contestants_keep_their_numbers():
    """The number in the column is the one that votes, whichever lane spoke first."""
    view = BattleView()
    for lane in (GLM, OPUS):
        view.apply(Decided(lane=lane, decision=DECISION))
    view.apply(TextDelta(lane=OPUS, text="first"))
    drawn = view.draw().text
    assert drawn.index(f"1  {GLM}") < drawn.index(f"2  {OPUS}")


def test_a_contestant_without_a_decision_does_not_shift_the_numbers():
    """One that cannot be called is decided late, but has the place it was named at."""
    view = BattleView()
    battle = replace(BATTLE, contestants=BATTLE.contestants[::-1])  # opus was named first
    view.apply(Decided(lane=GLM, decision=DECISION))
    view.apply(Failed(lane=OPUS, problem=Problem(kind="NoCandidate", message="no key")))
    view.apply(Finished(lane=GLM, result=REPLY))
    view.apply(Finished(result=battle))
    drawn = view.draw().text
    assert f"1  {OPUS}" in drawn
    assert f"2  {GLM}" in drawn


USAGE = {
    "key": "zhipu/glm-5", "calls": 3, "failed": 1, "input_tokens": 1200, "output_tokens": 300, "cached_tokens": 0,
    "reasoning_tokens": 0, "cost": "0.0120", "baseline_cost": "0.0100", "saved": "-0.0020",
    "unknown_cost_calls": 2, "unconfirmed": "0.5",
}  # fmt: skip


def test_costs_are_honest():
    """A loss is a loss, unknown prices and open holds are told apart."""
    drawn = (usage_heading([USAGE], OPUS) + usage_rows([USAGE], "model")).text
    assert "$0.0120 spent" in drawn
    assert "dearer" in drawn
    assert "2 call" in drawn
    assert "$0.50" in drawn


def test_a_budget_shows_what_is_left_and_what_is_on_hold():
    """Limit, spent, on hold, left."""
    row = {
        "name": "daily", "limit": "5.00", "window": "day", "hard": True, "spent": "1.5", "on_hold": "0.25",
        "left": "3.25", "resets_at": "2026-11-25T00:00:00+00:00", "worst_overshoot": None,
    }  # fmt: skip
    drawn = budgets_table([row]).text
    assert "$3.25" in drawn
    assert "$0.25" in drawn
    assert "2026-11-25" in drawn
