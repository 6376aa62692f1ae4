"""The buttons under a battle: vote for a contestant, or stop one.

Plain ipywidgets, which every notebook front end draws. They have no key events; a text field that
has the focus takes one key instead, and JupyterLab keeps its own shortcuts out of text fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from smartrouter_serve.calls import NO_WINNER
from smartrouter_serve.widgets.bundle import Bundle
from smartrouter_serve.widgets.contestant import Column
from smartrouter_serve.widgets.markdown import plain

_KEYS = {"t": "tie", "x": "none"}


class VoteBox:
    """Buttons and the field for one key; ipywidgets is imported when it is built."""

    def __init__(
        self, contestants: int, vote: Callable[[str], None], stop: Callable[[int], None]
    ) -> None:
        import ipywidgets as w

        self._vote = vote
        small, style = w.Layout(width="auto"), w.ButtonStyle()

        def button(description: str, tooltip: str, act: Callable[[], None]) -> Any:
            made = w.Button(description=description, tooltip=tooltip, layout=small, style=style)
            made.on_click(lambda _: act())
            return made

        def voting(choice: str, description: str, tooltip: str) -> Any:
            return button(description, tooltip, lambda: vote(choice))

        def stopping(number: int) -> Any:
            return button(f"Stop {number}", f"Stop contestant {number}", lambda: stop(number))

        numbers = range(1, contestants + 1)
        self._status = w.HTML()
        self._key = w.Text(
            description="Vote by key",
            placeholder=f"1–{contestants}, t or x",
            style={"description_width": "initial"},
            layout=w.Layout(width="16em"),
        )
        self._key.observe(self._pressed, "value")
        self._numbers = [voting(str(n), str(n), f"Vote for contestant {n}") for n in numbers]
        self._words = [
            voting("tie", "Tie", "Vote: equally good"),
            voting("none", "None", "Vote: none is good"),
        ]
        self._stops = [stopping(n) for n in numbers]
        row = w.Layout(flex_flow="row wrap", align_items="center")
        self._rows = [
            w.HBox([*self._numbers, *self._words, self._key], layout=row),
            w.HBox(self._stops, layout=row),
        ]
        self._box = w.VBox([self._status, *self._rows])
        self._said = ""

    def mime(self) -> dict[str, Any]:
        """As Jupyter's display data; where widgets are missing only the status is seen."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self._box.model_id}
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "text/html": "",
            "text/plain": "",
        }

    def show(self, columns: Sequence[Column], *, over: bool) -> None:
        """Offer what can be done now."""
        for column, vote, stop in zip(columns, self._numbers, self._stops, strict=False):
            _set(vote, "disabled", column.reply.done and column.reply.reply is None)
            _set(stop, "disabled", column.reply.done)
        if over:
            _set(self._box, "children", self._box.children[:2])

    def say(self, text: str) -> None:
        """One line for the eye and the screen reader, sent where it has changed."""
        if text != self._said:
            self._said = text
            self._status.value = status(text).html

    def lock(self) -> None:
        """Take no more clicks."""
        for button in [*self._numbers, *self._words, *self._stops, self._key]:
            _set(button, "disabled", value=True)

    def close(self) -> None:
        """Close every widget; its view must have left the page before."""
        rows = [child for row in self._rows for child in row.children]
        parts = [*rows, *self._rows, self._status, self._box]
        # Layouts and styles are models of their own, shared between the buttons.
        shared = {id(m): m for p in parts for m in (p.layout, getattr(p, "style", None)) if m}
        for model in [*parts, *shared.values()]:
            model.close()

    def _pressed(self, change: dict[str, Any]) -> None:
        key = str(change["new"]).strip().lower()[-1:]
        if not key:
            return
        choice = _KEYS.get(key, key)
        known = [str(n) for n, b in enumerate(self._numbers, 1) if not b.disabled]
        if choice in known or choice in NO_WINNER:
            self._vote(choice)
        else:
            self._key.value = ""
            self.say(f"The keys are {', '.join([*known, *_KEYS])}.")


def status(text: str) -> Bundle:
    """A line that a screen reader says when it changes, politely."""
    return Bundle(f'<div role="status" aria-live="polite">{plain(text)}</div>', text)


def _set(widget: Any, name: str, value: Any) -> None:
    """Send a trait where it has changed."""
    if getattr(widget, name) != value:
        setattr(widget, name, value)
