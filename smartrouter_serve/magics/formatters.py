"""How a `Reply`, a `Battle` and a `Decision` look as the value of a cell.

No text/markdown: a front end renders that itself, and a model's own Markdown can run scripts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smartrouter_serve.types import Battle, Decision, Reply
from smartrouter_serve.widgets.bundle import Bundle
from smartrouter_serve.widgets.tables import decision_table
from smartrouter_serve.widgets.values import battle_value, reply_value

_LOOKS: dict[type, Callable[[Any], Bundle]] = {
    Reply: reply_value,
    Battle: battle_value,
    Decision: decision_table,
}


def install(shell: Any) -> Callable[[], None]:
    """Register the formatters of a shell; answers how to take them away."""
    formatters = shell.display_formatter.formatters
    html, plain = formatters["text/html"], formatters["text/plain"]
    before = [
        (formatter, kind, formatter.for_type(kind, function))
        for kind, look in _LOOKS.items()
        for formatter, function in ((html, _html(look)), (plain, _plain(look)))
    ]

    def remove() -> None:
        for formatter, kind, function in before:
            formatter.pop(kind, None)
            if function is not None:
                formatter.for_type(kind, function)

    return remove


def _html(look: Callable[[Any], Bundle]) -> Callable[[Any], str]:
    return lambda value: look(value).html


def _plain(look: Callable[[Any], Bundle]) -> Callable[[Any, Any, bool], None]:
    def write(value: Any, printer: Any, _cycle: bool) -> None:
        # In a list or another value the short form is the readable one.
        nested = len(printer.stack) > 1
        printer.text(repr(value) if nested else look(value).text)

    return write
