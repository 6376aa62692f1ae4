"""The commands of a remedy as lines to paste into a cell."""

from __future__ import annotations

import re
import shutil
import sys

from smartrouter_serve.providers.registry import ROWS

_COMMAND = re.compile(
    r"`((?:smartrouter|pip install) [\w '@:./=\[\]-]+(?:&& smartrouter [\w .-]+)?)`"
)
_SET_KEY = "smartrouter keys set "
_MOST = 3


def to_paste(said: str) -> list[str]:
    """The commands that a remedy names in backticks, as a notebook takes them.

    Not for messages: those may hold a provider's words, and what it says is not to be run.
    """
    lines = dict.fromkeys(_line(command) for command in _COMMAND.findall(said))
    return [line for line in lines if line][:_MOST]


def _line(command: str) -> str:
    """One command; empty where a cell cannot give it what it asks for."""
    if command.startswith(_SET_KEY):
        row = ROWS.get(command.removeprefix(_SET_KEY))
        return ask_for_key(row.name, row.key_env[0]) if row and row.key_env else ""
    if command == "smartrouter init":
        command += " --yes"
    if command.startswith("pip "):
        return f"%{command}"
    return "!" + command.replace("smartrouter ", f"{_program()} ")


def _program() -> str:
    """How a cell calls the `smartrouter` of this kernel's environment."""
    if shutil.which("smartrouter"):
        return "smartrouter"
    return f'"{sys.executable}" -m smartrouter_serve'


def ask_for_key(provider: str, variable: str) -> str:
    """Python that asks for a key: it is then in this kernel, and not in the saved notebook.

    `!smartrouter keys set` cannot be typed into from a cell.
    """
    return f'import os, getpass; os.environ["{variable}"] = getpass.getpass("Key for {provider}: ")'
