"""The command on a real terminal: what stands on the screen, and what is never echoed."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from smartrouter_serve.config import load
from smartrouter_serve.security.vault import Vault
from tests.cli.lab_server import Script


@pytest.mark.usefixtures("configure")
def test_the_answer_streams_and_the_cost_line_follows(terminal, upstream):
    """The first words show while the rest has not come yet."""
    upstream.scripts["small"] = Script(["One "], hang=True)
    terminal.start("ask", "-m", "lab/small", "Count")
    terminal.until("One")
    assert not upstream.left.is_set()
    terminal.write("\x03")
    status, lines = terminal.end()
    assert status == 130
    assert upstream.left.wait(10)
    assert any("stopped" in line for line in lines)


@pytest.mark.usefixtures("configure")
def test_nothing_of_the_waiting_line_is_left_behind(terminal):
    """The line that says who is waited for is gone before the answer begins."""
    status, lines = terminal.start("ask", "-m", "lab/small", "Hi").end()
    assert status == 0
    assert lines[0] == "Hello there friend"
    assert "lab/small" in lines[1]
    assert "waiting" not in "\n".join(lines)


def test_a_key_is_asked_for_without_an_echo(terminal, cli):
    """The key is on no line of the screen, and in the vault afterwards."""
    terminal.start("keys", "set", "openrouter")
    terminal.until("Key for openrouter")
    terminal.write("sk-or-v1-secret\n")
    status, lines = terminal.end()
    assert status == 0
    assert "sk-or-v1-secret" not in terminal.raw
    assert "kept" in lines[-1]
    listed = cli("keys", "list")
    assert re.search(r"openrouter +vault", listed.out)
    assert "secret" not in listed.out


def test_an_interrupt_at_a_question_ends_with_130(terminal, home):
    """Ctrl-C while a key is asked for stores nothing."""
    terminal.start("keys", "set", "openrouter")
    terminal.until("Key for openrouter")
    terminal.write("\x03")
    status, _ = terminal.end()
    assert status == 130
    assert "Traceback" not in terminal.raw
    assert not (home / "keys.json").exists()


def test_init_asks_and_writes_what_was_answered(terminal, home):
    """Policy, budget and a key; the file loads and says so, the key is not in it."""
    terminal.start("init")
    terminal.until("Policy")
    terminal.write("best\n")
    terminal.until("udget")
    terminal.write("2.50\n")
    for title in ("Z.ai", "MiniMax", "DashScope"):
        terminal.until(f"key for {title}")
        terminal.write("n\n")
    terminal.until("key for OpenRouter")
    terminal.write("y\n")
    terminal.until("Key: ")
    terminal.write("sk-or-v1-secret\n")
    status, _ = terminal.end()
    assert status == 0
    assert "secret" not in terminal.raw
    settings = load(Path("smartrouter.toml"))
    assert settings.policy == "best"
    assert settings.budgets["daily"].limit == Decimal("2.50")
    assert settings.budgets["daily"].hard
    assert Vault(settings).get("openrouter") == "sk-or-v1-secret"
    assert "secret" not in Path("smartrouter.toml").read_text("utf-8")


def test_init_does_not_overwrite_without_asking(terminal):
    """`n` keeps the old file to the byte."""
    Path("smartrouter.toml").write_text('policy = "fast"  # mine\n', "utf-8")
    terminal.start("init")
    terminal.until("Replace it?")
    terminal.write("n\n")
    status, _ = terminal.end()
    assert status != 0
    assert Path("smartrouter.toml").read_text("utf-8") == 'policy = "fast"  # mine\n'


@pytest.mark.usefixtures("configure")
def test_an_empty_prompt_on_a_terminal_does_not_wait(terminal):
    """Without a prompt and without a pipe there is nothing to wait for."""
    status, lines = terminal.start("ask").end()
    assert status == 2
    assert "prompt is empty" in lines[0]


@pytest.mark.usefixtures("configure")
def test_usage_keeps_to_a_narrow_terminal(terminal, cli, monkeypatch):
    """The picture in block characters, then the table; a pipe gets whole names."""
    assert cli("ask", "-m", "lab/small", "Hi").status == 0
    monkeypatch.setenv("COLUMNS", "30")
    status, lines = terminal.start("usage").end()
    assert status == 0
    assert max(map(len, lines)) <= 30
    assert any(line.startswith("other   █████ 100%") for line in lines)
    assert "\x1b" not in terminal.raw
    assert "$0.000016 spent, $0.000016 saved against lab/large" in cli("usage").out


def test_usage_of_nothing_says_what_to_try(cli):
    """One line with a command to paste."""
    ran = cli("usage")
    assert (
        ran.out == 'Nothing was spent yet. Try: smartrouter ask "What is the capital of France?"\n'
    )
