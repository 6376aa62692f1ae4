"""Where `ask` writes an answer: into a pipe, on a terminal, or nowhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from smartrouter_serve.calls import Event, ReasoningDelta, Switched, TextDelta
from smartrouter_serve.cli.common import note
from smartrouter_serve.types import Format
from smartrouter_serve.widgets.formats import code_of, json_of
from smartrouter_serve.widgets.reply import ReplyView
from smartrouter_serve.widgets.terminal import Cleaner, clean

if TYPE_CHECKING:
    from smartrouter_serve.widgets.prose import Prose

_RATE = 0.05
"""Seconds between two writings: quicker is not seen, and costs."""


class Writer:
    """Writes nothing: for those who want the reply itself."""

    def show(self, view: ReplyView, event: Event | None) -> None:
        """Write what an event, or a pause, adds to the view."""

    def finish(self, view: ReplyView) -> None:
        """Write the rest; after a failure or an interrupt too, since it was paid for."""


class Pipe(Writer):
    """The answer's plain text, and nothing else.

    It comes whole unless it `streams`: another model may have to start anew, and a pipe cannot be
    told to forget.
    """

    def __init__(self, *, streams: bool, thinking: bool) -> None:
        self._streams = streams
        self._thinking = thinking
        self._begun = False
        self._cleaner, self._thoughts = Cleaner(), Cleaner()

    def show(self, view: ReplyView, event: Event | None) -> None:
        """Write a delta at once."""
        if isinstance(event, TextDelta) and self._streams:
            self._begun = True
            click.echo(self._cleaner.feed(event.text), nl=False)
        elif isinstance(event, ReasoningDelta) and self._thinking:
            click.echo(self._thoughts.feed(event.text), nl=False, err=True)
        elif isinstance(event, Switched):
            if self._begun:
                click.echo()
            self._cleaner, self._begun = Cleaner(), False
            note(view.switched[-1])

    def finish(self, view: ReplyView) -> None:
        """Write the answer, or end its last line."""
        if self._thinking and view.reasoning:
            click.echo(err=True)
        if view.text or view.reply is not None:
            click.echo("" if self._streams else clean(shown(view)))


def shown(view: ReplyView) -> str:
    """The answer in the form that was asked for."""
    if view.format == "code":
        return code_of(view.text)
    return (view.format == "json" and json_of(view.text)) or view.text


class Screen(Writer):
    """A terminal: what is waited for, the thinking in one line, the answer as it grows."""

    def __init__(self, form: Format, *, thinking: bool) -> None:
        from smartrouter_serve.widgets.prose import console

        self._console = console()
        self._form = form
        self._thinking = thinking
        self._thoughts: Prose | None = None
        self._prose: Prose | None = None
        self._pending = ""
        self._last = 0.0
        self._thought_from: float | None = None
        self._state, self._state_from = "", time.monotonic()
        self._state_line = ""

    def show(self, view: ReplyView, event: Event | None) -> None:
        """Write what has come, or say what is waited for."""
        if isinstance(event, TextDelta) and self._form in ("md", "text"):
            self._pending += event.text
        elif isinstance(event, ReasoningDelta):
            self._think(event.text)
        elif isinstance(event, Switched):
            self._end_answer()
            self._thought_from = None
            note(view.switched[-1])
        now = time.monotonic()
        if event is not None and now - self._last < _RATE:
            return
        self._last = now
        if self._pending:
            self._write(view)
        elif self._prose is None and self._thoughts is None and not view.done:
            self._tell(view.state or "answering")

    def finish(self, view: ReplyView) -> None:
        """Write the rest, and leave nothing of what was waited for."""
        self._erase()
        if self._pending:
            self._write(view)
        elif self._prose is None:
            self._fold(view)
            if view.text:
                click.echo(clean(shown(view)))
        self._end_answer()

    def _write(self, view: ReplyView) -> None:
        from smartrouter_serve.widgets.prose import Prose

        self._erase()
        if self._prose is None:
            self._fold(view)
            self._prose = Prose(self._console, markdown=self._form == "md")
        self._prose.feed(self._pending)
        self._pending = ""

    def _end_answer(self) -> None:
        self._erase()
        for prose in (self._thoughts, self._prose):
            if prose is not None:
                prose.finish()
        self._thoughts = self._prose = None
        self._pending = ""

    def _think(self, text: str) -> None:
        if self._thought_from is None:
            self._thought_from = time.monotonic()
        if self._thinking:
            from smartrouter_serve.widgets.prose import DIM, Prose

            self._erase()
            if self._thoughts is None:
                self._thoughts = Prose(self._console, markdown=False, style=DIM)
            self._thoughts.feed(text)

    def _fold(self, view: ReplyView) -> None:
        """One line in the place of the thinking, before the answer."""
        if self._thoughts is not None:
            self._thoughts.finish()
            self._thoughts = None
        if self._thought_from is None:
            return
        took = time.monotonic() - self._thought_from
        self._thought_from = None
        self._console.print(f"thought for {took:.0f} s, {view.thought()}", style="dim")

    def _tell(self, state: str) -> None:
        """Say on a line that is taken back what is waited for, and since when."""
        now = time.monotonic()
        if state != self._state:
            self._state, self._state_from = state, now
        waited = int(now - self._state_from)
        text = clean(f"{state} …" + (f" {waited} s" if waited else "")).replace("\n", " ")
        if text != self._state_line:
            self._erase()
            self._state_line = text
            self._console.print(
                text, style="dim", end="", no_wrap=True, overflow="ellipsis", width=self._room
            )

    @property
    def _room(self) -> int:
        """A line that filled the last column might count as two."""
        return max(self._console.width - 1, 1)

    def _erase(self) -> None:
        if self._state_line:
            self._state_line = ""
            self._console.file.write("\r\x1b[K")
            self._console.file.flush()
