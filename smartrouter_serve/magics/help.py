"""What `%%route?` prints: grouped options with unit, default and example, 79 columns wide."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Iterable
from typing import Any, NamedTuple

_EXAMPLE = re.compile(r"(.*?)\s*`([^`]+)`", re.DOTALL)
_WIDTH = 79
_BESIDE = 34
"""The column of the examples."""


class Described(NamedTuple):
    """One option, in words."""

    option: str
    """As it is typed: `-m, --model MODEL`."""
    text: str
    example: str


def describe(action: argparse.Action) -> Described:
    """An option's three parts; what stands last in backticks in its help is the example."""
    said = (action.help or "") % {"default": action.default}
    found = _EXAMPLE.fullmatch(said)
    text, example = (found[1], found[2]) if found else (said, "")
    value = action.metavar or "|".join(action.choices or ()) or action.dest.upper()
    if not action.option_strings:
        return Described(str(value), text, example)
    flags = ", ".join(action.option_strings)
    return Described(flags if action.nargs == 0 else f"{flags} {value}", text, example)


def beside(left: str, right: str) -> str:
    """Two columns, the right one wrapped."""
    indent = " " * (_BESIDE + 2)
    lines = textwrap.fill(right, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return f"  {left}".ljust(_BESIDE) + lines[_BESIDE:]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows what to type first, then each option with its example beside it and its text below."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, width=_WIDTH)

    def _format_usage(self, _usage: str | None, actions: Iterable[argparse.Action], *_: Any) -> str:
        line = f"%{self._prog} [options]"
        if all(action.option_strings for action in actions):
            return f"{line}\n\n"
        return f"%{line}, the prompt on the lines below\n{line} PROMPT\n\n"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = inspect.cleandoc(text).splitlines()
        return indent + "\n".join(textwrap.fill(line, width) for line in lines)

    def _format_action(self, action: argparse.Action) -> str:
        told = describe(action)
        head = f"  {told.option}".ljust(_BESIDE)
        beside = f"{head}  {told.example}" if told.example else head.rstrip()
        return f"{beside}\n{textwrap.indent(textwrap.fill(told.text, _WIDTH - 6), ' ' * 6)}\n"
