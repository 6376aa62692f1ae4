"""A configured command line: one provider behind a local server, and ways to run the command."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smartrouter_serve.cli.main import main
from tests.cli.lab_server import Upstream
from tests.cli.pseudo import Terminal

KEY = "9f8e7d6c5b4a.Zq81LmN0pR"
"""Of no vendor's pattern: whoever wants to hide it must know it."""
CONFIG = """
baseline = "lab/large"
policy = "cheap"
[providers.ollama]
enabled = false
[providers.local]
enabled = false
[providers.lab]
kind = "openai-compatible"
base_url = "{address}"
api_key = "{key}"
models = ["lab/small", "lab/large"]
[prices."lab/small"]
input = 1
output = 2
[prices."lab/large"]
input = 2
output = 4
[groups.pair]
models = ["lab/small", "lab/large"]
"""
COMMAND = str(Path(sys.executable).with_name("smartrouter"))


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A server for the provider `lab`."""
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def configure(home, upstream) -> Callable[..., Path]:
    """Write `smartrouter.toml` into the working folder, with more tables behind it."""

    def write(more: str = "") -> Path:
        path = Path("smartrouter.toml").absolute()
        path.write_text(CONFIG.format(address=upstream.address, key=KEY) + more, "utf-8")
        return path

    write()
    return write


@pytest.fixture
def cli(home, monkeypatch, capfd) -> Callable[..., Ran]:
    """Run the command in this process, as its console script does; standard input is a pipe."""

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "argv", ["smartrouter", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capfd.readouterr()
        try:
            main()
            status: Any = 0
        except SystemExit as ended:
            status = ended.code or 0
        captured = capfd.readouterr()
        return Ran(status, captured.out, captured.err)

    return run


@pytest.fixture
def spawn(home) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the installed command as a process of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        *arguments: str | bytes, prefix: tuple[str, ...] = (), **options: Any
    ) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [*prefix, COMMAND, *arguments]
        started.append(subprocess.Popen(command, **{**pipes, **options}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def terminal_of(spawn) -> Iterator[Callable[..., Terminal]]:
    """Make terminals of a size to start the command on."""
    opened: list[Terminal] = []

    def make(columns: int = 80, rows: int = 24) -> Terminal:
        opened.append(Terminal(spawn, columns, rows))
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(terminal_of) -> Terminal:
    """A terminal of the usual size."""
    return terminal_of()
