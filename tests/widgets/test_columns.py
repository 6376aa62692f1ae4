"""A battle on a terminal, from hand-made events."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from smartrouter_serve.calls import Decided, Failed, Finished, ReasoningDelta, TextDelta
from smartrouter_serve.errors import Problem
from smartrouter_serve.types import Battle, Candidate, Contestant, Decision, Reply, Usage
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.columns import Columns, across, write_result

EVIL = "[red]a[/red]\x1b[2J\x1b]0;t\x07\u202e"


def decision(name: str) -> Decision:
    """100 tokens out cost 210 nano-dollars with the input, 300 cost 610: 2 a token, 10 before."""
    row = Candidate(model=name, cost_nanos=210, cost_p90_nanos=610)
    return Decision(model=name, output_tokens=100, output_tokens_p90=300, candidates=(row,))


def reply(name: str, text: str) -> Reply:
    return Reply(
        id="r", text=text, model=name, usage=Usage(input_tokens=5, output_tokens=60), cost_nanos=2_600_000,
        decision=decision(name), latency=2.4, first_token=0.4,
    )  # fmt: skip


def battle_of(count: int, *, blind: bool = False, text: str = EVIL) -> BattleView:
    view = BattleView(blind=blind)
    for number in range(count):
        view.apply(Decided(lane=f"lab/m{number}", decision=decision(f"lab/m{number}")))
    for number in range(count):
        view.apply(TextDelta(lane=f"lab/m{number}", text=text))
    return view


def drawn(columns: Columns, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    options = console.options.update_dimensions(width, height)
    return ["".join(part.text for part in line) for line in console.render_lines(columns, options)]


@given(st.integers(2, 8), st.integers(1, 400))
def test_rows_are_balanced_and_columns_readable(count, width):
    """No column is narrower than 34 cells where more than one stands in a row; no row is spare."""
    per_row = across(count, width)
    assert 1 <= per_row <= count
    assert per_row == 1 or width // per_row >= 34
    rows = -(-count // per_row)
    assert rows * per_row - count < per_row


@given(st.integers(2, 8), st.integers(10, 200), st.integers(2, 60), st.text(max_size=400))
def test_the_picture_fills_the_screen_exactly(count, width, height, text):
    """Whatever is said, of whatever script: as many lines as the screen has, each as wide."""
    columns = Columns(battle_of(count, text=text))
    lines = drawn(columns, width, height)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


def test_a_contestants_line_says_cost_first_token_and_speed():
    """Half a second to the first token; 40 tokens in the 2 seconds after; 10 + 40 × 2 nano-dollars."""
    now = [10.0]
    view = BattleView(clock=lambda: now[0])
    columns = Columns(view)
    view.apply(Decided(lane="lab/a", decision=decision("lab/a")))
    now[0] = 10.5
    view.apply(TextDelta(lane="lab/a", text="x" * 160))
    now[0] = 12.5
    assert columns.state(view.contestants[0]) == "~$0.000000090 · first 0.50 s · 20 tok/s"
    view.apply(Finished(lane="lab/a", result=reply("lab/a", "done")))
    assert (
        columns.state(view.contestants[0])
        == "$0.0026 · first 0.40 s · 2.40 s · 60 tokens · 30 tok/s"
    )


def test_a_wait_and_a_thought_are_told():
    """Before the first token: what is waited for and since when; while it thinks: that it does."""
    now = [0.0]
    view = BattleView(clock=lambda: now[0])
    columns = Columns(view)
    view.apply(Decided(lane="lab/a", decision=decision("lab/a")))
    now[0] = 3.0
    assert columns.state(view.contestants[0]) == "asking lab/a … 3 s"
    view.apply(ReasoningDelta(lane="lab/a", text="hmm " * 10))
    assert columns.state(view.contestants[0]).startswith("thinking · ~$")


@pytest.mark.parametrize(
    ("row", "p90_tokens", "cost"),
    [
        (Candidate(model="m", cost_nanos=0, cost_p90_nanos=0), 300, 0),
        (Candidate(model="m"), 300, None),
        (Candidate(model="m", cost_nanos=5, cost_p90_nanos=5), 100, None),
    ],
)
def test_a_cost_that_cannot_be_known_is_not_guessed(row, p90_tokens, cost):
    """Free is 0, an unknown price is None, and so is one estimate instead of two."""
    told = Decision(model="m", output_tokens=100, output_tokens_p90=p90_tokens, candidates=(row,))
    view = BattleView()
    view.apply(Decided(lane="m", decision=told))
    assert view.lanes["m"].so_far(50) == cost


def test_blind_columns_tell_neither_names_nor_figures():
    """Numbers and answers only."""
    view = battle_of(2, blind=True, text="hello")
    view.apply(Finished(lane="lab/m0", result=reply("lab/m0", "hello")))
    view.apply(
        Failed(lane="lab/m1", problem=Problem(kind="X", message="lab/m1 is down", remedy=""))
    )
    columns = Columns(view)
    text = "\n".join(drawn(columns, 100, 12))
    assert "hello" in text
    for secret in ("lab/", "$", "tok/s", "first", "down"):
        assert secret not in text


def test_the_result_marks_the_winner_and_has_the_exact_cost():
    """Answers one under the other, the failed one with its whole reason, then the verdict."""
    view = battle_of(2)
    view.apply(Finished(lane="lab/m0", result=reply("lab/m0", EVIL)))
    view.apply(
        Failed(lane="lab/m1", problem=Problem(kind="X", message="no balance " * 20, remedy=""))
    )
    contestants = (
        Contestant(label="lab/m0", model="lab/m0", reply=reply("lab/m0", EVIL)),
        Contestant(label="lab/m1", model="lab/m1", error="no balance"),
    )
    view.apply(
        Finished(
            result=Battle(id="b", prompt="p", contestants=contestants, winner="lab/m0", verdict="m0 by 2 of 2.", cost_nanos=2_600_000)
        )
    )  # fmt: skip
    file = io.StringIO()
    write_result(Console(file=file, width=60, force_terminal=True, color_system=None), view)
    out = file.getvalue()
    assert "── 1  lab/m0 ★ winner\n[red]a[/red]\n$0.0026 · " in out
    assert out.split().count("balance") == 20
    said = "m0 by 2 of 2. cost of the battle: $0.0026, expected to cost about $0.00000042 together"
    assert " ".join(out.split()).endswith(said)
    assert "\x1b" not in out
    assert max(cell_len(line) for line in out.split("\n")) <= 60
