"""Small charts: SVG for a page, block characters for a terminal.

The SVG holds shapes and, escaped, `title` and `desc`; every other word stands beside it, where it
takes the page's own colours. It goes into the page as the source of an image: JupyterLab's
sanitiser drops `<svg>` from a notebook that is not trusted, and refuses `image/svg+xml` there, but
keeps such an image.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from urllib.parse import quote

from smartrouter_serve.widgets.terminal import clean


@dataclass(frozen=True, slots=True)
class Ink:
    """A colour of the palette of Okabe and Ito, and dashes that tell it apart without colour."""

    colour: str
    dashes: str = ""


INKS = {
    "chinese": Ink("#d55e00"),
    "western": Ink("#0072b2", "4 1.5"),
    "local": Ink("#009e73", "1.5 1.5"),
    "other": Ink("#808080", "6 1 1.5 1"),
    "saved": Ink("#808080"),
}
WIDTH, HEIGHT = 600, 72
_BAR, _THICK = 200, 12
_LEAST = 0.75
"""A column that is there is never too low to be seen."""
_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_NOT_XML = re.compile("[\ufffe\uffff]")


def columns(title: str, words: str, stacks: Sequence[Mapping[str, Decimal]]) -> str:
    """One column a stack, of amounts by ink; what is negative hangs under the zero line."""
    highest = max((sum(v for v in stack.values() if v > 0) for stack in stacks), default=0)
    lowest = min((sum(v for v in stack.values() if v < 0) for stack in stacks), default=0)
    scale = (HEIGHT - 2) / (float(highest - lowest) or 1.0)
    zero = 1 + float(highest) * scale
    slot = WIDTH / max(len(stacks), 1)
    paths: dict[str, list[str]] = defaultdict(list)
    for number, stack in enumerate(stacks):
        x, up, down = (number + 0.5) * slot, zero, zero
        for ink, value in stack.items():
            length = max(abs(float(value)) * scale, _LEAST)
            if value > 0:
                paths[ink].append(f"M{_short(x)} {_short(up)}V{_short(up - length)}")
                up -= length
            elif value < 0:
                paths[ink].append(f"M{_short(x)} {_short(down)}V{_short(down + length)}")
                down += length
    shapes = [_stroke(ink, "".join(path), slot * 0.8) for ink, path in paths.items()]
    shapes.append(f"<path stroke='#808080' d='M0 {_short(zero)}H{WIDTH}'/>")
    return _svg(title, words, WIDTH, HEIGHT, shapes)


def bar(title: str, words: str, ink: str, share: float) -> str:
    """A bar of one ink, from nothing to the whole width, over a thin line of the whole width."""
    length = _short(min(max(share, 0.0), 1.0) * _BAR)
    shapes = [f"<path stroke='#808080' d='M0 {_THICK - 0.5}H{_BAR}'/>"]
    if share > 0:
        shapes.append(_stroke(ink, f"M0 {_THICK / 2}H{length}", _THICK))
    return _svg(title, words, _BAR, _THICK, shapes)


def swatch(ink: str) -> str:
    """A patch that shows an ink in a legend."""
    return _svg("", "", 24, _THICK, [_stroke(ink, f"M0 {_THICK / 2}H24", _THICK)])


def image(svg: str, words: str) -> str:
    """The SVG as an image of a page; `words` are for who does not see it."""
    source = quote(svg, safe=" ='/:,.;<>()")
    style = "max-width: 100%; height: auto; vertical-align: middle"
    return f'<img src="data:image/svg+xml,{source}" alt="{escape(clean(words))}" style="{style}">'


def spark(values: Sequence[Decimal | None]) -> str:
    """One character a value: blocks up to the highest, `-` for a loss, a space for nothing."""
    highest = max((value for value in values if value is not None), default=Decimal(0))
    return "".join(_level(value, highest) for value in values)


def blocks(share: float, width: int) -> str:
    """A bar of block characters that fills `share` of `width` columns."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def _level(value: Decimal | None, highest: Decimal) -> str:
    if not value:
        return " "
    if value < 0:
        return "-"
    return _LEVELS[math.ceil(value / highest * len(_LEVELS)) - 1]


def _short(number: float) -> str:
    return f"{round(number, 1):g}"


def _stroke(ink: str, path: str, thickness: float) -> str:
    dashes = f" stroke-dasharray='{INKS[ink].dashes}'" if INKS[ink].dashes else ""
    colour = INKS[ink].colour
    return f"<path stroke='{colour}' stroke-width='{_short(thickness)}'{dashes} d='{path}'/>"


def _svg(title: str, words: str, width: int, height: int, shapes: Sequence[str]) -> str:
    told = "".join(
        f"<{tag}>{escape(_NOT_XML.sub('', clean(text)))}</{tag}>"
        for tag, text in (("title", title), ("desc", words))
        if text
    )
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' {size} fill='none'>"
        f"{told}{''.join(shapes)}</svg>"
    )
