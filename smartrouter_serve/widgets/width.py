"""How much room text takes on a terminal, and how it is made to fit."""

from __future__ import annotations

import textwrap
import unicodedata
from dataclasses import replace

from smartrouter_serve.widgets.bundle import Bundle

NARROWEST = 20
"""Columns under which nothing is laid out any more, only cut."""


def cells(text: str) -> int:
    """Columns that `text` takes: an East Asian wide character two, a combining one none."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The beginning of `text` that fits, with an ellipsis where something is missing."""
    if cells(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += character
    return f"{kept}…"


def fitted(bundle: Bundle, width: int | None) -> Bundle:
    """The same with its text wrapped to `width`; None leaves it as it is."""
    if width is None:
        return bundle
    lines = [
        cut(part, width)
        for line in bundle.text.split("\n")
        for part in textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    ]
    return replace(bundle, text="\n".join(lines))
