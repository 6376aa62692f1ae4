"""What a cell waits for, with the seconds that it took so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smartrouter_serve.widgets.bundle import QUIET, Bundle
from smartrouter_serve.widgets.markdown import plain
from smartrouter_serve.widgets.terminal import clean

_SILENCE = 2.0
"""Seconds without a piece of an answer after which it is told."""


@dataclass(slots=True)
class Progress:
    """The state of a lane, and since when it holds."""

    clock: Callable[[], float] = time.monotonic
    state: str = "deciding"
    """What is waited for; empty while pieces of the answer come."""
    since: float = field(init=False)
    until: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.since = self.clock()

    def begin(self, state: str, seconds: float | None = None) -> None:
        """Enter a state, which lasts for so many seconds where that is known.

        An empty one begins anew with every piece of the answer.
        """
        now = self.clock()
        if not state or state != self.state or seconds is not None:
            self.since = now
        self.state = state
        self.until = None if seconds is None else now + seconds

    def words(self) -> tuple[str, str]:
        """The state, and its seconds; both empty while an answer comes in a steady stream."""
        now = self.clock()
        waited = now - self.since
        if not self.state:
            return ("no new text", f"for {waited:.0f} s") if waited >= _SILENCE else ("", "")
        if self.until is not None:
            left = self.until - now
            return clean(self.state), f"{left:.0f} s left" if left >= 0.5 else "now"
        return clean(self.state), f"{waited:.0f} s" if waited >= 1 else ""

    def draw(self) -> Bundle:
        """One line; a screen reader is told the state, and not every second of it."""
        state, seconds = self.words()
        if not state:
            return Bundle("", "")
        html = (
            f'<div style="{QUIET}"><span role="status" aria-live="polite">{plain(state)} …</span>'
            f'<span aria-hidden="true"> {seconds}</span></div>'
        )
        return Bundle(html, f"{state} … {seconds}".rstrip())
