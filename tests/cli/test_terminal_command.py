"""The command on a real terminal: what stands on the screen, and what is never echoed."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from smartrouter_serve.config import load
from smartrouter_serve.security.vault import Vault
from tests.cli.lab_server import Script


class Screen:
    """The lines of a terminal that knows newline, return, backspace and erasing to the end."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = [[]]
        self.column = 0

    def feed(self, text: str) -> None:
        for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", text, re.DOTALL):
            self._put(token)

    def _put(self, token: str) -> None:
        row = self.rows[-1]
        if token == "\n":
            self.rows.append([])
            self.column = 0
        elif token == "\r":
            self.column = 0
        elif token == "\b":
            self.column = max(self.column - 1, 0)
        elif token in ("\x1b[K", "\x1b[0K"):
            del row[self.column :]
        elif not token.startswith("\x1b"):
            row.extend(" " * (self.column - len(row)))
            row[self.column : self.column + 1] = [token]
            self.column += 1

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.rows]


_OWN_IT = (
    "python",
    "-c",
    """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
""",
)
"""Makes the terminal the process's own, so that Ctrl-C reaches it."""


class Terminal:
    """A process on a pseudo-terminal."""

    def __init__(self, spawn: Callable) -> None:
        self._master, self._slave = pty.openpty()
        self._spawn = spawn
        self.raw = ""

    def start(self, *arguments: str) -> Terminal:
        ends = dict.fromkeys(("stdin", "stdout", "stderr"), self._slave)
        self.process = self._spawn(
            *arguments, executable=sys.executable, prefix=_OWN_IT, start_new_session=True, **ends
        )
        os.close(self._slave)
        return self

    def until(self, text: str) -> None:
        while text not in self.raw and self._read():
            pass
        assert text in self.raw

    def write(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> tuple[int, list[str]]:
        """Read to the end; the exit status and the lines on the screen."""
        while self._read():
            pass
        status = self.process.wait(20)
        screen = Screen()
        screen.feed(self.raw)
        return status, screen.lines

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 30)
        assert ready, f"nothing came; so far: {self.raw!r}"
        try:
            data = os.read(self._master, 4096)
        except OSError:  # Linux says so when the other side has closed
            return False
        self.raw += data.decode("utf-8", "replace")
        return bool(data)

    def close(self) -> None:
        os.close(self._master)


@pytest.fixture
def terminal(spawn) -> Iterator[Terminal]:
    """A terminal to start the command on."""
    found = Terminal(spawn)
    yield found
    found.close()


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
    assert "kept" in lines[-2]
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
