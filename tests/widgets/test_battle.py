"""The grid of a battle: columns, states, figures, marks, and what drawing costs."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import nbformat
import pytest

from smartrouter_serve.calls import Decided, Failed, Finished, ReasoningDelta, TextDelta
from smartrouter_serve.errors import Problem
from smartrouter_serve.types import Battle, Candidate, Contestant, Decision, Reply, Usage
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.contestant import Column
from smartrouter_serve.widgets.reply import ReplyView

EVIL = '"><script>alert(1)</script>'


def decision(model: str) -> Decision:
    """200 tokens out for 1,100 micro-dollars, 440 for 2,300: five a token, 100 for the prompt."""
    row = Candidate(model=model, cost_nanos=1_100_000, cost_p90_nanos=2_300_000, latency=2.0)
    return Decision(model=model, output_tokens=200, output_tokens_p90=440, candidates=(row,))


def reply(model: str, **changes: object) -> Reply:
    """120 tokens in 2.5 s, the first after 0.5."""
    made = Reply(
        id="r", text="**done**", model=model, usage=Usage(input_tokens=10, output_tokens=120),
        cost_nanos=700_000, decision=decision(model), latency=2.5, first_token=0.5,
    )  # fmt: skip
    return replace(made, **changes)


def names(count: int) -> list[str]:
    return [f"lab/m{n}" for n in range(1, count + 1)]


def begun(count: int = 2, **options: object) -> BattleView:
    """Everybody is announced."""
    view = BattleView(**options)
    for name in names(count):
        view.apply(Decided(lane=name, decision=decision(name)))
    return view


def finished(view: BattleView, **changes: object) -> BattleView:
    """Every lane that still runs ends well, and the battle with them."""
    for name, lane in view.lanes.items():
        if not lane.done:
            view.apply(Finished(lane=name, result=reply(name)))
    rows = tuple(
        Contestant(label=name, model=name, reply=lane.reply, cost_nanos=700_000)
        for name, lane in view.lanes.items()
    )
    battle = Battle(id="k3j9x2ab", prompt="q", contestants=rows, cost_nanos=1_400_000)
    view.apply(Finished(result=replace(battle, **changes)))
    return view


class Regions(HTMLParser):
    """The labels of a page's regions, and how often each other role is used."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.labels: list[str] = []
        self.depth = 0
        self.focusable = 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if found.get("role") == "region":
            self.labels.append(found["aria-label"])
        self.focusable += found.get("tabindex") == "0"
        self.depth += tag == "div"

    def handle_endtag(self, tag):
        self.depth -= tag == "div"


@pytest.mark.parametrize("count", range(2, 9))
def test_every_contestant_has_a_labelled_region_in_a_grid_that_wraps(count):
    """Columns are as many as fit; no position, which an untrusted notebook would drop."""
    view = begun(count)
    for drawn in (view.draw(), finished(view).draw()):
        page = Regions(drawn.html)
        assert page.labels == [f"Contestant {n}  lab/m{n}" for n in range(1, count + 1)]
        assert page.focusable == count
        assert page.depth == 0
        assert "repeat(auto-fit,minmax(min(100%,260px),1fr))" in drawn.html
        assert "position" not in drawn.html


def test_the_states_of_a_column():
    """Asking, thinking, answering, done, failed and stopped are words."""
    view = begun(4)
    first, second, third, fourth = view.contestants
    assert first.state() == "asking lab/m1 …"
    view.apply(ReasoningDelta(lane="lab/m1", text="hm"))
    assert first.state() == "thinking …"
    view.apply(TextDelta(lane="lab/m1", text="so"))
    assert first.state() == "answering …"
    view.apply(Finished(lane="lab/m2", result=reply("lab/m2")))
    view.apply(Failed(lane="lab/m3", problem=Problem(kind="Overloaded", message="503 from lab.")))
    view.apply(Failed(lane="lab/m4", problem=Problem(kind="Stopped", message="stopped."), text="a"))
    assert [c.state() for c in (second, third, fourth)] == [
        "done",
        "failed: 503 from lab.",
        "stopped",
    ]
    assert view.progress() == "3 of 4 done, 1 failed"
    assert "503 from lab." in view.draw().html


def test_the_figures_grow_by_the_text_and_are_exact_at_the_end():
    """400 characters in the two seconds after the first: 50 tokens a second, $0.0006 so far."""
    now = [10.0]
    column = Column(ReplyView(lane="lab/m1"), clock=lambda: now[0])
    column.apply(Decided(lane="lab/m1", decision=decision("lab/m1")))
    for later, text in ((0.5, "x" * 200), (2.0, "y" * 200)):
        now[0] += later
        column.apply(TextDelta(lane="lab/m1", text=text))
    # 100 tokens at 5 micro-dollars and 100 micro-dollars for the prompt.
    assert column.figures() == "first 0.50 s · about 50 tokens/s · about $0.00060"
    column.apply(Finished(lane="lab/m1", result=reply("lab/m1")))
    assert column.figures() == "first 0.50 s · 2.50 s · 60 tokens/s · 120 tokens · $0.00070"


def test_only_the_columns_that_changed_are_drawn_anew():
    """The others are the very same value."""
    view = begun(8)
    before = [c.draw(n, str(n), hidden=False, won=False) for n, c in enumerate(view.contestants, 1)]
    view.apply(TextDelta(lane="lab/m3", text="new"))
    after = [c.draw(n, str(n), hidden=False, won=False) for n, c in enumerate(view.contestants, 1)]
    assert [a is b for a, b in zip(before, after, strict=True)] == [n != 3 for n in range(1, 9)]


def test_the_winner_is_marked_by_a_word_a_sign_and_a_border():
    """Not by colour alone; the other is not marked."""
    view = finished(begun())
    assert "★" not in view.draw().html
    view.vote("lab/m2")
    drawn = view.draw()
    assert "2  lab/m2 ★ winner" in drawn.html
    assert drawn.html.count("★ winner</strong>") == 1
    assert drawn.html.count("border:3px") == 1
    assert "your vote: 2  lab/m2" in drawn.text
    assert "Change the vote: %smartrouter vote k3j9x2ab 1|2|tie|none" in drawn.text


def test_a_vote_wins_over_the_judge():
    """The person has the last word."""
    view = finished(begun(), winner="lab/m1", verdict="the judge chose lab/m1")
    assert "1  lab/m1 ★ winner" in view.draw().text
    view.vote("lab/m2")
    assert "★" not in view.draw().text.split("[2")[0]
    view.vote("tie")
    assert "★" not in view.draw().text


def test_stopping_early_tells_what_it_saved():
    """Two were expected at 1,100 micro-dollars each and had used 100 and 300: 1,800 are saved."""
    view = begun(3)
    problem = Problem(kind="Stopped", message="stopped.")
    view.apply(Failed(lane="lab/m1", problem=problem, text="a", cost_nanos=100_000))
    view.apply(Failed(lane="lab/m2", problem=problem, text="b", cost_nanos=300_000))
    assert "stopping 2 early saved about $0.0018" in finished(view).draw().text


def test_a_blind_battle_tells_nothing_that_would_tell_who():
    """No name, speed, price, thinking or failure until the vote; then all of it."""
    view = begun(blind=True)
    view.apply(ReasoningDelta(lane="lab/m1", text="secret thoughts"))
    view.apply(Failed(lane="lab/m2", problem=Problem(kind="AuthError", message="lab/m2: no key")))
    finished(view)
    drawn = view.draw()
    for told in ("lab/", "thought", "tokens", "0.50 s", "$0.00070"):
        assert told not in drawn.text + drawn.html
    view.vote("lab/m1")
    drawn = view.draw()
    for told in ("1  lab/m1 ★ winner", "120 tokens", "failed: lab/m2: no key"):
        assert told in drawn.text


def test_names_and_errors_are_not_markup():
    """A label and a provider's message come from outside."""
    view = BattleView()
    view.apply(Decided(lane=EVIL, decision=decision("lab/m1")))
    view.apply(Failed(lane=EVIL, problem=Problem(kind="Overloaded", message=EVIL)))
    view.apply(TextDelta(lane="b", text=EVIL))
    assert "<script" not in view.draw().html


def test_ten_battles_of_eight_stay_under_300_kilobytes():
    """Answers of 2 kB each, page form and plain form as a file holds them; the page has them whole."""
    view = begun(8, brief=True)
    text = ("Words of an answer that goes on. " * 5 + "One **bold** word and `code`.\n\n") * 10
    for name in names(8):
        view.apply(Finished(lane=name, result=reply(name, text=text)))
    drawn = finished(view).draw()
    assert drawn.html.count("goes on") == 8 * 50
    output = nbformat.v4.new_output("display_data", drawn.mime())
    cells = [nbformat.v4.new_code_cell("%%arena\nWhat?", outputs=[output]) for _ in range(10)]
    assert len(nbformat.writes(nbformat.v4.new_notebook(cells=cells))) < 300_000


def test_a_stopped_battle_marks_what_still_ran():
    """What was done stays done."""
    view = begun()
    view.apply(Finished(lane="lab/m1", result=reply("lab/m1")))
    view.apply(TextDelta(lane="lab/m2", text="half"))
    view.stop()
    assert [column.state() for column in view.contestants] == ["done", "stopped"]
    drawn = view.draw()
    assert "half" in drawn.text
    assert "vote" not in drawn.text
    assert "mathjax_ignore" not in drawn.html
