"""`arena` on a real terminal, as the person in front of it sees it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.cli.lab_server import Script
from tests.cli.test_live_answer import ERASE, SGR, outcomes

ARENA = ("arena", "-m", "lab/small,lab/large")
SECOND_SCREEN = (r"\x1b\[\?1049[hl]", r"\x1b\[\?25[hl]", r"\x1b\[H", r"\x1b\[\d+;\d+H")


@pytest.fixture(autouse=True)
def many(configure):
    """Eight models that answer, and a group of all."""
    path = configure()
    names = ["small", "large", *(f"m{number}" for number in range(3, 9))]
    models = json.dumps([f"lab/{name}" for name in names])
    text = path.read_text("utf-8").replace(
        '["lab/small", "lab/large"]\n[prices', f"{models}\n[prices"
    )
    prices = "".join(f'[prices."lab/{name}"]\ninput = 1\noutput = 2\n' for name in names[2:])
    path.write_text(f"{text}{prices}[groups.all]\nmodels = {models}\n", "utf-8")
    return names


def ends_well(terminal) -> None:
    """The first screen is back, the cursor is seen."""
    assert not terminal.screen.second
    assert not terminal.screen.cursor.hidden
    assert "Traceback" not in terminal.raw


def test_contestants_stand_side_by_side(terminal, upstream, cli):
    """State, first token, speed and cost so far of each, the estimate under all; then Ctrl-C."""
    upstream.scripts["small"] = Script(["The first ", "answer"], hang=True)
    upstream.scripts["large"] = Script(["The second ", "answer"], hang=True)
    terminal.start(*ARENA, "Who?")
    shown = terminal.until_shown("first answer", "second answer", "tok/s")
    assert terminal.screen.second
    assert re.fullmatch(r"1  lab/small {25,} │ 2  lab/large", shown[0])
    assert shown[1].count("first ") == 2
    assert re.search(r"~\$0\.0\d+ · first \d\.\d\d s · \d+ tok/s", shown[1])
    assert re.fullmatch(r"The first answer +│ The second answer", shown[2])
    assert re.fullmatch(r"expected to cost about \$0\.\d+ together · Ctrl-C stops", shown[-1])
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    ends_well(terminal)
    text = "\n".join(lines)
    assert text.count("The first answer") == text.count("The second answer") == 1
    assert text.count("── ") == 2
    assert lines[-1] == "stopped; what was used is in `smartrouter usage`"
    assert upstream.left.wait(10)
    assert outcomes(cli) == {"cancelled": 2}


@pytest.mark.parametrize(
    ("columns", "count", "heads"),
    [(40, 2, 1), (40, 8, 1), (80, 3, 2), (80, 8, 2), (200, 4, 4), (200, 8, 4)],
)
def test_columns_fit_the_width(terminal_of, upstream, many, columns, count, heads):
    """From 2 to 8 contestants, as many in a row as stay readable, and none of them wraps."""
    for name in many:
        upstream.scripts[name] = Script(["long words " * 40, f"tail-{name}"], hang=True)
    models = ",".join(f"lab/{name}" for name in many[:count])
    terminal = terminal_of(columns, 50).start("arena", "-m", models, "Who?")
    shown = terminal.until_shown(*(f"tail-{name}" for name in many[:count]))
    rows = [line for line in shown if re.search(r"(^|│ )\d  lab/", line)]
    assert [len(re.findall(r"(?:^|│ )\d  lab/", row)) for row in rows] == [heads] * (
        count // heads
    ) + ([count % heads] if count % heads else [])
    places = {
        tuple(m.start() for m in re.finditer("│", line))
        for line in shown
        if line.count("│") == heads - 1
    }
    assert len(places) == 1, "the bars stand under each other"
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    ends_well(terminal)
    assert max(len(line) for line in lines) <= columns
    assert ["\n".join(lines).count(f"tail-{name}") for name in many[:count]] == [1] * count


def test_a_resized_window_is_drawn_anew(terminal, upstream):
    """From wide to narrow and back: the picture fits each time, and nothing of it is left."""
    for name in ("small", "large"):
        upstream.scripts[name] = Script([f"Words of {name}."], hang=True)
    terminal.start(*ARENA, "Who?")
    terminal.until_shown("Words of small.", "Words of large.", "│ 2  lab/large")
    terminal.resize(40, 24)
    shown = terminal.until_shown("\n2  lab/large")
    assert max(len(line) for line in shown) <= 40
    terminal.resize(120, 24)
    terminal.until_shown("│ 2  lab/large")
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    ends_well(terminal)
    assert [sum(f"Words of {name}." in line for line in lines) for name in ("small", "large")] == [
        1,
        1,
    ]


def test_a_suspended_battle_gives_the_screen_back(terminal, upstream):
    """Ctrl-Z leaves the second screen; coming back draws it anew. Here no shell stops it."""
    for name in ("small", "large"):
        upstream.scripts[name] = Script(["Some words."], hang=True)
    terminal.start(*ARENA, "Who?")
    terminal.until_shown("Some words.")
    terminal.write("\x1a")
    terminal.until("\x1b[?1049l\x1b[?25h")
    terminal.until("\x1b[?25h\x1b[?1049h")
    terminal.until_shown("Some words.")
    terminal.write("\x03")
    assert terminal.end()[0] == 130
    ends_well(terminal)


def test_long_answers_are_in_the_scrollback_once(terminal, upstream):
    """While live only the tail is drawn; at the end each line stands once, in order."""
    for name in ("small", "large"):
        upstream.scripts[name] = Script([f"{name} {number}\n" for number in range(200)])
    terminal.start(*ARENA, "Count")
    terminal.until("Which is best?")
    terminal.write("\r")
    status, lines = terminal.end()
    assert status == 0
    ends_well(terminal)
    for name in ("small", "large"):
        found = [line for line in lines if re.fullmatch(rf"{name} \d+", line)]
        assert found == [f"{name} {number}" for number in range(200)]
    assert any(re.match(r"cost of the battle: \$0\.\d+, expected to cost", line) for line in lines)
    assert re.fullmatch(r"Vote later: smartrouter vote \w+ 1\|2\|tie\|none", lines[-1])


def test_a_vote_takes_one_key(terminal, cli):
    """A key that is no choice is passed over; the vote is on the leaderboard."""
    terminal.start(*ARENA, "Who?")
    terminal.until("Which is best? 1, 2, t tie, n none, Enter skips: ")
    terminal.write("72")
    status, lines = terminal.end()
    assert status == 0
    assert lines[-2].endswith("skips: 2")
    assert lines[-1] == "Voted for lab/large."
    rows = json.loads(cli("leaderboard", "--json").out)
    assert [(row["model"], row["wins"]) for row in rows] == [("lab/large", 1), ("lab/small", 0)]


def test_who_failed_cannot_be_voted_for(terminal, upstream):
    """Its column says why; its key is not offered."""
    upstream.scripts["large"] = Script(status=402, error={"message": "empty\x1b[2J"})
    terminal.start(*ARENA, "Who?")
    terminal.until("Which is best? 1, t tie")
    terminal.write("t")
    status, lines = terminal.end()
    assert status == 0
    assert lines[-1] == "Voted for tie."
    assert any(line.startswith("failed: ") for line in lines)


def test_an_interrupt_at_the_vote_is_no_vote(terminal, cli):
    """The battle is over and paid for; the line to vote later is there."""
    terminal.start(*ARENA, "Who?")
    terminal.until("Enter skips: ")
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    assert "Vote later: smartrouter vote" in lines[-2]
    ends_well(terminal)
    assert json.loads(cli("leaderboard", "--json").out) == []


def test_without_a_keyboard_the_vote_is_a_line_to_paste(terminal, upstream):
    """The prompt came through a pipe."""
    terminal.start(*ARENA, "Who?", stdin=subprocess.DEVNULL)
    status, lines = terminal.end()
    assert status == 0
    assert re.fullmatch(r"Vote: smartrouter vote \w+ 1\|2\|tie\|none", lines[-1])


def test_a_blind_battle_names_nobody_on_the_screen(terminal, upstream):
    """Neither while it runs nor at its end, until the vote."""
    terminal.start(*ARENA, "--blind", "Who?")
    terminal.until("Enter skips: ")
    assert "lab/" not in terminal.raw
    terminal.write("1")
    _, lines = terminal.end()
    assert lines[-1] == "Voted for lab/small."


def test_a_battle_cannot_drive_the_terminal(terminal, upstream):
    """Nothing of an answer's sequences reaches it, live or at the end."""
    hostile = "a\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x1b]8;;http://evil.example\x1b\\x\u202e [blink]b[/blink]\x9b5m"
    upstream.scripts["small"] = Script([*hostile, " safe"], pause=len(hostile))
    terminal.start(*ARENA, "Who?")
    terminal.until_shown("ax [blink]b[/blink]")
    upstream.go.set()
    terminal.until("Enter skips: ")
    terminal.write("\r")
    _, lines = terminal.end()
    assert "ax [blink]b[/blink] safe" in lines
    assert "owned" not in terminal.raw
    assert terminal.screen.title == ""
    assert terminal.foreign(SGR, ERASE, *SECOND_SCREEN) == set()


def test_no_color_means_none_in_a_battle(terminal, upstream):
    """The columns stand without one SGR sequence."""
    upstream.scripts["small"] = Script(["a **b**"])
    terminal.start(*ARENA, "Who?", NO_COLOR="1")
    terminal.until("Enter skips: ")
    terminal.write("\r")
    _, lines = terminal.end()
    assert "a **b**" in lines
    assert terminal.foreign(*SECOND_SCREEN) == set()


def test_a_dumb_terminal_gets_plain_sections(terminal):
    """`TERM=dumb`: no live columns, no control sequence, the line to vote."""
    status, lines = terminal.start(*ARENA, "Who?", TERM="dumb").end()
    assert status == 0
    assert terminal.foreign() == set()
    assert "\n".join(lines).count("Hello there friend") == 2
    assert "Vote: smartrouter vote" in "\n".join(lines)


def test_a_pipe_gets_plain_sections(cli):
    """One after another on standard output; the estimate beside it, before the answers."""
    ran = cli(*ARENA, "Who?")
    assert re.match(r"\[1  lab/small\]\nHello there friend\n.*\n\n\[2  lab/large\]\nHello", ran.out)
    assert ran.err.startswith("expected to cost about $0.")
    assert "\x1b" not in ran.out + ran.err


def test_a_reader_that_goes_away_from_a_battle_leaves_no_traceback(spawn):
    """As with `| head -1`."""
    process = spawn(*ARENA, "Who?")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
