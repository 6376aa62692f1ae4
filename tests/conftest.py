"""What every test shares: a home of its own and an environment without the developer's keys."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

_KEYS = (
    "OPENROUTER_API_KEY",
    "ZAI_API_KEY",
    "ZHIPU_API_KEY",
    "MINIMAX_API_KEY",
    "DASHSCOPE_API_KEY",
    "OLLAMA_HOST",
    "SMARTROUTER_CONFIG",
    "SMARTROUTER_POLICY",
    "SMARTROUTER_BASELINE",
)


def pytest_configure() -> None:
    """A shell starts its background jobs deaf to Ctrl-C, and their children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """The HTTP transport is asyncio's."""
    return "asyncio"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, and a working folder without a configuration file."""
    for name in _KEYS:
        monkeypatch.delenv(name, raising=False)
    state = tmp_path / "home"
    state.mkdir()
    monkeypatch.setenv("SMARTROUTER_HOME", str(state))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return state
