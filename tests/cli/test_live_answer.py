"""`ask` on a real terminal, as the person in front of it sees it."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest

from tests.cli.lab_server import Script

pytestmark = pytest.mark.usefixtures("configure")
SGR = r"\x1b\[[0-9;]*m"
ERASE = r"\x1b\[K"
ASK = ("ask", "-m", "lab/small")


def outcomes(cli) -> dict[str, int]:
    """Calls in the ledger by how they ended."""
    rows = json.loads(cli("usage", "--by", "outcome", "--json").out)
    return {row["key"]: row["calls"] for row in rows}


def test_a_wait_says_for_whom(terminal, upstream, cli):
    """The line stands until the first word; an interrupt leaves nothing of it, and no traceback."""
    upstream.scripts["small"] = Script([], hang=True)
    terminal.start(*ASK, "Count")
    terminal.until_shown("waiting for lab/small …")
    assert upstream.spoken.wait(10)
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    assert lines == ["stopped; what was used is in `smartrouter usage`"]
    assert upstream.left.wait(10)
    assert outcomes(cli) == {"cancelled": 1}


def test_what_arrived_stays_after_an_interrupt(terminal, upstream, cli):
    """Upstream is cancelled, the words stay, the ledger has the call."""
    upstream.scripts["small"] = Script(["One ", "two "], hang=True)
    terminal.start(*ASK, "Count")
    terminal.until_shown("One")
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    assert lines[0].startswith("One two")
    assert lines[-1] == "stopped; what was used is in `smartrouter usage`"
    assert "Traceback" not in terminal.raw
    assert upstream.left.wait(10)
    assert outcomes(cli) == {"cancelled": 1}


def test_a_second_interrupt_does_not_wait_for_the_ledger(terminal, upstream, home):
    """While another process holds the ledger, the first one waits to write its entry."""
    upstream.scripts["small"] = Script(["One "], hang=True)
    terminal.start(*ASK, "Count")
    terminal.until("One")
    with sqlite3.connect(home / "ledger.sqlite") as ledger:
        ledger.execute("BEGIN EXCLUSIVE")
        terminal.write("\x03")
        assert upstream.left.wait(10)
        terminal.write("\x03")
        status, _ = terminal.end()
    assert status == 130
    assert "Traceback" not in terminal.raw


def test_markdown_is_drawn_as_it_grows(terminal, upstream):
    """Marks become weights, a list gets its bullets, a table its columns; each line once."""
    upstream.scripts["small"] = Script(
        [
            "# Ti",
            "tle\n",
            "A *",
            "*bold** `co",
            "de`\n- it",
            "em\n\n| a | b |\n|---|--:|\n",
            "| 1 | 2 |\n",
            "\nend",
        ],
        pause=6,
    )
    terminal.start(*ASK, "Draw")
    shown = terminal.until_shown("• item")
    assert shown[:3] == ["Title", "A bold code", "• item"]
    upstream.go.set()
    status, lines = terminal.end()
    assert status == 0
    text = "\n".join(lines)
    assert "**" not in text
    assert "|" not in text.partition("lab/small")[0]
    assert re.search(r"\n1 +│ 2\n\nend\nlab/small", text)
    assert [text.count(word) for word in ("Title", "bold", "item", "end")] == [1, 1, 1, 1]
    assert terminal.foreign(SGR, ERASE) == set()


def test_thinking_is_one_line(terminal, upstream):
    """It says for how long and how much; the thoughts themselves are folded away."""
    upstream.scripts["small"] = Script(["42."], thoughts=["Let me ", "see. " * 80])
    status, lines = terminal.start(*ASK, "Think").end()
    assert status == 0
    assert re.fullmatch(r"thought for \d+ s, about 102 tokens", lines[0])
    assert lines[1] == "42."
    assert "see." not in "\n".join(lines)


def test_thinking_can_be_shown(terminal, upstream):
    """`--show-thinking` writes the thoughts before the answer, quietly."""
    upstream.scripts["small"] = Script(["42."], thoughts=["Let me ", "see."])
    status, lines = terminal.start(*ASK, "--show-thinking", "Think").end()
    assert status == 0
    assert lines[0] == "Let me see."
    assert lines[1].startswith("thought for")
    assert lines[2] == "42."


def test_thinking_stays_out_of_a_pipe(cli, upstream):
    """Standard output holds the answer alone, also where the thinking is shown beside it."""
    upstream.scripts["small"] = Script(["42."], thoughts=["Let me see."])
    assert cli(*ASK, "Think").out == "42.\n"
    ran = cli(*ASK, "--show-thinking", "--no-cache", "Think")
    assert ran.out == "42.\n"
    assert "Let me see." in ran.err


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_words_are_not_cut_at_the_edge(terminal_of, upstream, columns):
    """Lines are broken between words, at every width."""
    words = [f"word{number}" for number in range(120)]
    upstream.scripts["small"] = Script([f"{word} " for word in words])
    status, lines = terminal_of(columns).start(*ASK, "--format", "text", "Write").end()
    assert status == 0
    text = " ".join(lines).partition("lab/small")[0]
    assert text.split() == words
    assert max(len(line) for line in lines) <= columns


def test_a_resized_window_breaks_nothing(terminal, upstream):
    """What comes later is broken at the new width; nothing is written twice or lost."""
    words = [f"word{number}" for number in range(60)]
    pieces = [f"{word} " for word in words]
    upstream.scripts["small"] = Script(pieces, pause=20)
    terminal.start(*ASK, "Write")
    terminal.until("word17")
    terminal.resize(100, 24)
    upstream.go.set()
    status, lines = terminal.end()
    assert status == 0
    text = " ".join(lines).partition("lab/small")[0]
    assert text.split() == words
    assert 80 < max(len(line) for line in lines) <= 100


def test_no_color_means_no_color_and_no_weight(terminal, upstream):
    """Not one SGR sequence; the marks stay, so that no emphasis is lost."""
    upstream.scripts["small"] = Script(["a **b**\n```py\nx = 1\n```\n"], thoughts=["Hm."])
    status, lines = terminal.start(*ASK, "Hi", NO_COLOR="1").end()
    assert status == 0
    assert lines[1:5] == ["a **b**", "```py", "x = 1", "```"]
    assert terminal.foreign(ERASE) == set()


def test_a_dumb_terminal_gets_text_alone(terminal, upstream):
    """`TERM=dumb`: no control sequence, and no line that is taken back."""
    upstream.scripts["small"] = Script(["a **b** c"])
    status, lines = terminal.start(*ASK, "Hi", TERM="dumb").end()
    assert status == 0
    assert lines[0] == "a **b** c"
    assert terminal.foreign() == set()
    assert "waiting" not in terminal.raw


def test_an_answer_cannot_drive_the_terminal(terminal, upstream):
    """No title, no clipboard, no link that hides where it goes, no cursor movement of the model's."""
    hostile = (
        "a\x1b]0;owned\x07 \x1b]52;c;b3du\x07\x1b[2J\x1b]8;;http://evil.example\x1b\\x\x1b]8;;\x1b\\ "
        "[red]b[/red] :smile: \x9b31m\x08\x7f\u202e `\x1b[1A`\n```\x1b[5m\n\x1b[6n\n```\n|\x1b[A|\n|-|\n|\x1bc|\n"
    )
    upstream.scripts["small"] = Script(list(hostile))
    status, lines = terminal.start(*ASK, "Hi").end()
    assert status == 0
    assert lines[0].rstrip() == "a x [red]b[/red] :smile:  ``"
    assert "owned" not in terminal.raw
    assert "\u202e" not in terminal.raw
    assert terminal.foreign(SGR, ERASE) == set()
    assert terminal.screen.title == ""


def test_a_switch_is_told_and_the_answer_starts_anew(terminal, upstream):
    """The words of the model that failed stand above the notice, those that count below."""
    upstream.scripts["small"] = Script(["I think ", "that "], cut=True, pause=1)
    upstream.scripts["large"] = Script(["It is 42."])
    terminal.start("ask", "What is it?")
    terminal.until_shown("I think")
    upstream.go.set()
    status, lines = terminal.end()
    assert status == 0
    assert lines[0].startswith("I think")
    assert "lab/large took over" in " ".join(lines[1:3])
    assert "It is 42." in lines


def test_code_is_written_whole(terminal, upstream):
    """`--format code` waits for the end, and leaves nothing of its wait."""
    upstream.scripts["small"] = Script(["Sure:\n```py\nx = ", "1\n```\n"], pause=1)
    terminal.start(*ASK, "--format", "code", "Hi")
    terminal.until_shown("answering …")
    upstream.go.set()
    status, lines = terminal.end()
    assert status == 0
    assert lines[0] == "x = 1"
    assert lines[1].startswith("lab/small")


def test_a_closed_standard_output_is_no_fault(spawn, upstream):
    """As with `>&-`: the cost line still comes, and no traceback."""
    process = spawn(*ASK, "Hi", prefix=("sh", "-c", 'exec "$0" "$@" >&-'))
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err
    assert b"Exception ignored" not in err
    assert b"lab/small" in err
    assert process.returncode == 0


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_without_utf8_loses_letters_only(terminal, upstream, environment):
    """What it cannot show is replaced; nothing fails."""
    upstream.scripts["small"] = Script(["- Gr", "üße 中\n"])
    status, lines = terminal.start(*ASK, "Hi", **environment).end()
    assert status == 0
    assert re.fullmatch(r"[-•] Gr.+e .+", lines[0])
    assert "Traceback" not in terminal.raw
