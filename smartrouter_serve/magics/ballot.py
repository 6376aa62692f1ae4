"""The vote on a battle that a cell shows: buttons while they can be clicked, then a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from smartrouter_serve.calls import Decided, Event, Failed, ReasoningDelta, TextDelta
from smartrouter_serve.errors import Problem
from smartrouter_serve.magics.screen import Page, Terminal
from smartrouter_serve.magics.session import Session
from smartrouter_serve.widgets.battle import BattleView
from smartrouter_serve.widgets.bundle import Bundle
from smartrouter_serve.widgets.vote import VoteBox, status


def clickable(shell: Any) -> bool:
    """Whether someone may sit before this cell.

    Whoever lets a cell ask for input can also be clicked at: JupyterLab, Notebook and VS Code do,
    nbclient, nbconvert and papermill do not.
    """
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))


class Ballot:
    """One battle on the screen, its buttons, and what is redrawn after the vote."""

    def __init__(
        self, run: str, session: Session, view: BattleView, place: Page | Terminal, *, heard: bool
    ) -> None:
        """Where clicks are not heard while the cell runs, the buttons come at its end."""
        self._run = run
        self._session = session
        self._view = view
        self._place = place
        self._box: VoteBox | None = None
        self._handle: Any = None
        self._chosen = ""
        self._live = heard and clickable(session.shell)

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Leave no buttons under a battle that failed or was stopped."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def take(self, event: Event | None) -> None:
        """Keep the buttons up to date; they come once all contestants are announced."""
        if event is None or not self._live or isinstance(event, TextDelta | ReasoningDelta):
            return
        announced = bool(event.lane) and not isinstance(event, Decided | Failed)
        if self._box is None and announced:
            self._open()
        self._refresh()

    def ended(self) -> None:
        """The battle is over: ask for the vote, or show the one that ended it."""
        self._session.remember(self._run, self)
        if self._chosen:
            self.voted(self._chosen)
        elif clickable(self._session.shell):
            if self._box is None:
                self._open()
            self._refresh()

    def _refresh(self) -> None:
        if self._box is not None and not self._chosen:
            asks = ". Which is best?" if self._view.over else ""
            self._box.show(self._view.contestants, over=self._view.over)
            self._box.say(self._view.progress() + asks)

    def _open(self) -> None:
        from IPython.display import display

        self._box = VoteBox(len(self._view.contestants), self.cast, self.stop)
        self._handle = display(self._box.mime(), raw=True, display_id=True)

    def cast(self, choice: str) -> None:
        """A click on a vote."""
        if self._chosen or self._box is None:
            return
        try:
            told = self._session.router.vote(self._run, choice)
        except Exception as error:  # noqa: BLE001 - a click has no cell to fail
            self._tell(error)
            return
        self._chosen = told["winner"]
        self._box.lock()
        if self._view.over:
            self.voted(self._chosen)
        else:
            self._box.say(f"You voted for {self._view.called(self._chosen)}; stopping the others …")

    def stop(self, number: int) -> None:
        """A click on `Stop n`."""
        try:
            self._session.router.stop(self._run, [number])
        except Exception as error:  # noqa: BLE001 - a click has no cell to fail
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        problem = Problem.of(error)
        if self._box is not None:
            self._box.say(f"{problem.message} {problem.remedy}".strip())

    def voted(self, choice: str) -> None:
        """A vote was counted: mark the winner, and leave nothing that needs a kernel."""
        self._view.vote(choice)
        self._place.update(self._view, final=True)
        self.close(status(f"You voted for {self._view.called(choice)}; it counts in %leaderboard."))

    def close(self, left: Bundle | None = None) -> None:
        """Take the buttons away; `left` stays in their place."""
        if self._handle is not None:
            shown = left or Bundle("", "")
            # The view leaves the page before its models close, or the page shows an error.
            self._handle.update(shown.mime(), raw=True)
        if self._box is not None:
            self._box.close()
        self._box = None
