"""Where a cell magic may stand: on the first line, and one to a cell."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Sequence

from smartrouter_serve.errors import UsageError

_OURS = re.compile(r"^%%(route|arena|agents)\b", re.MULTILINE)
REGISTERED = "get_ipython().magics_manager.registry['SmartRouterMagics']"
"""How the code of a cell finds the magics of its shell."""


def one_magic(body: str) -> None:
    """Raise `UsageError` where another magic of ours begins in a prompt."""
    found = _OURS.search(body)
    if found is not None:
        number = body.count("\n", 0, found.start()) + 2
        raise UsageError(
            f"Line {number} begins a second magic, {found[0]}: a cell holds one.",
            "Split the cell there; to send that line as text, begin it with a space.",
        )


def misplaced(name: str, number: int) -> None:
    """Raise `UsageError` for a magic in the middle of a cell."""
    raise UsageError(
        f"%%{name} stands on line {number}; it has to be the first line of its cell.",
        "Move what is above it into a cell of its own; nothing was run.",
    )


def find_misplaced(lines: list[str]) -> list[str]:
    """Make a cell with one of our magics in its middle say so, instead of a syntax error."""
    if not lines or lines[0].startswith("%%"):
        return lines
    for number, line in enumerate(lines):
        found = _OURS.match(line)
        if found is not None and _whole(lines[:number]):
            return [f"{REGISTERED}.misplaced({found[1]!r}, {number + 1})\n"]
    return lines


def _whole(lines: Sequence[str]) -> bool:
    """Whether Python could end there: inside a string such a line is text."""
    try:
        list(tokenize.generate_tokens(iter(lines).__next__))
    except (tokenize.TokenError, SyntaxError):
        return False
    return True
