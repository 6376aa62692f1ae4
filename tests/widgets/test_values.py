"""What a variable shows that holds a reply or a battle."""

from __future__ import annotations

from dataclasses import replace

from smartrouter_serve.types import Battle, Contestant, Decision, Reply, Usage
from smartrouter_serve.widgets.values import battle_value, reply_value

REPLY = Reply(
    id="r1",
    text="**Paris** <script>x</script> \x1b[2J",
    model="lab/x",
    usage=Usage(input_tokens=5, output_tokens=7),
    cost_nanos=22_000,
    decision=Decision(model="lab/x"),
    latency=1.5,
)
BATTLE = Battle(
    id="b1",
    prompt="secret",
    contestants=(
        Contestant(label="lab/x", model="lab/x", reply=REPLY, cost_nanos=22_000),
        Contestant(label="lab/y", model="lab/y", error="The key is wrong.", cost_nanos=0),
    ),
    verdict="lab/x won by the judge",
    winner="lab/x",
    cost_nanos=22_000,
)


def test_a_reply_is_its_answer_and_its_cost_line():
    """Rendered by the sanitiser."""
    shown = reply_value(REPLY)
    assert "<strong>Paris</strong>" in shown.html
    assert "5 → 7 tokens · 1.50 s · $0.000022" in shown.text
    assert "<script" not in shown.html
    assert "\x1b" not in shown.html + shown.text


def test_a_battle_is_a_table_with_the_winner():
    """A row a contestant, with the words of one that failed; the prompt is not shown."""
    shown = battle_value(BATTLE)
    head, _, first, second, foot = shown.text.splitlines()
    assert head.split() == ["contestant", "answer", "tokens", "time", "cost"]
    assert first.split()[:3] == ["★", "1", "lab/x"]
    assert first.endswith("7       1.50 s  $0.000022")
    assert second.split(maxsplit=2)[:2] == ["2", "lab/y"]
    assert "failed: The key is wrong." in second
    assert foot == "lab/x won by the judge · cost of the battle: $0.000022 · b1"
    assert "secret" not in shown.html + shown.text
    assert "<script" not in shown.html


def test_the_one_answer_stands_under_the_table():
    """Where no contestant won but an answer was written from all."""
    shown = battle_value(replace(BATTLE, winner="", reply=REPLY, verdict="synthesis"))
    assert "The one answer" in shown.text
    assert "<strong>Paris</strong>" in shown.html


def test_a_blind_battle_keeps_the_names():
    """And what would tell them: time, cost, errors, the verdict."""
    shown = battle_value(replace(BATTLE, blind=True))
    for told in ("lab/", "key", "0.000022 ·", "1.50 s", "★"):
        assert told not in shown.text.rpartition("\n")[0], told
    assert "lab/" not in shown.html
