"""Spans of time as a person writes them."""

from __future__ import annotations

import re

from smartrouter_serve.errors import UsageError

_NUMBER = re.compile("[0-9]{1,6}")
_NEAR = re.compile(r"\s*([0-9]{1,6})\s*(?:([hdwHDW])\w*)?\s*\Z")
_UNITS = {"h": 3_600, "d": 86_400, "w": 604_800}


def seconds(span: str) -> float:
    """Seconds of `12h`, `7d` or `4w`.

    Raises `UsageError`.
    """
    number, unit = span[:-1], span[-1:]
    if not _NUMBER.fullmatch(number) or unit not in _UNITS:
        near = _NEAR.match(span)
        hint = f"Did you mean {near[1]}{(near[2] or 'd').lower()}? " if near else ""
        raise UsageError(f"{span!r} is not a span of time.", f"{hint}Write 12h, 7d or 4w.")
    return int(number) * _UNITS[unit]
