"""Where a cell draws: one output that is updated in a notebook, increments on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Protocol

from smartrouter_serve.widgets.battle import BattleView, vote_command
from smartrouter_serve.widgets.bundle import Bundle
from smartrouter_serve.widgets.terminal import Cleaner
from smartrouter_serve.widgets.tty import on_terminal

if TYPE_CHECKING:
    from smartrouter_serve.widgets.columns import Stage

_RATE = 0.1
"""Seconds between two drawings: JupyterLab drops none, so more would pile up."""
_SHARE = 0.2
"""Of the kernel's time that drawing may take; a long answer is drawn less often."""
_FLOW = 500_000
"""Characters of HTML a second that a front end is sent at the most."""


class View(Protocol):
    """What can be drawn."""

    def draw(self) -> Bundle:
        """As it stands."""
        ...


class Page:
    """One display handle of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = ""
        self._next = 0.0

    def update(self, view: View, delta: str = "", *, final: bool = False) -> None:  # noqa: ARG002
        """Draw the view, at most ten times a second but for the last time."""
        from IPython.display import display

        started = time.monotonic()
        if not final and started < self._next:
            return
        bundle = view.draw()
        self._next = started + _RATE
        if bundle.html == self._shown:
            return
        self._shown = bundle.html
        if self._handle is None:
            self._handle = display(bundle.mime(), raw=True, display_id=True)
        else:
            self._handle.update(bundle.mime(), raw=True)
        took = time.monotonic() - started
        self._next = started + max(_RATE, took / _SHARE, len(bundle.html) / _FLOW)

    def clear(self) -> None:
        """Leave nothing of a drawing that said what was waited for."""
        if self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def show(self, bundle: Bundle) -> None:
        """Draw something of its own under it."""
        from IPython.display import display

        display(bundle.mime(), raw=True)


class Terminal:
    """Increments of the answer as they come, then the lines under it; a battle in live columns."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._cleaner = Cleaner()
        self._written = ""
        self._stage: Stage | None = None

    def update(self, view: View, delta: str = "", *, final: bool = False) -> None:
        """Write what is new; at the end what the increments did not hold."""
        if isinstance(view, BattleView) and on_terminal(sys.stdout):
            self._battle(view, final=final)
            return
        if delta:
            self._write(self._cleaner.feed(delta))
        if final:
            text = view.draw().text
            rest = text[len(self._written) :] if text.startswith(self._written) else f"\n{text}"
            self._write(rest.rstrip("\n") + "\n")

    def _battle(self, view: BattleView, *, final: bool) -> None:
        from smartrouter_serve.widgets.columns import Stage, write_result
        from smartrouter_serve.widgets.prose import console

        if self._stage is None:
            self._stage = Stage(console(), view)
            self._shell.events.register("post_run_cell", self._leave)
        if not final:
            self._stage.update()
            return
        self._leave()
        write_result(console(), view)
        if view.battle is not None:
            self._write(f"Vote: %{vote_command(view.battle)}\n")

    def _leave(self, *_: object) -> None:
        """Give the terminal back; whatever ends the cell, IPython calls this at its end."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None
            self._shell.events.unregister("post_run_cell", self._leave)

    def clear(self) -> None:
        """Has nothing to take back."""

    def show(self, bundle: Bundle) -> None:
        """Write something of its own."""
        self._write(bundle.text + "\n")

    def _write(self, text: str) -> None:
        self._written += text
        sys.stdout.write(text)
        sys.stdout.flush()


def screen(shell: Any) -> Page | Terminal:
    """The screen of this shell."""
    return Terminal(shell) if getattr(shell, "kernel", None) is None else Page()
