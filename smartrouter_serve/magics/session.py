"""What the magics of one shell share: a router on the notebook's engine, and the last battle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from smartrouter_serve import config, shared
from smartrouter_serve.client import Router, SyncRouter
from smartrouter_serve.types import Battle, Reply

if TYPE_CHECKING:
    from smartrouter_serve.magics.ballot import Ballot

_SHOWN = 50
"""Battles whose buttons are kept."""


class Session:
    """One shell's router, its last reply and its last battle."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.last_reply: Reply | None = None
        self.last_battle: Battle | None = None
        self._ballots: dict[str, Ballot] = {}
        self._router = Router(backend=shared.Share())

    @property
    def router(self) -> SyncRouter:
        """The router; a configuration or a key that changed holds from the next call on."""
        return self._router.sync

    @property
    def live(self) -> SyncRouter | None:
        """The router, where an engine is open that can be asked at once."""
        return self._router.sync if shared.is_open() else None

    def close(self) -> None:
        """Close the notebook's engine; whoever else uses it opens it again by the next call."""
        shared.close()

    def remember(self, run: str, ballot: Ballot) -> None:
        """Remember a battle that a cell shows; of many, the last ones."""
        self._ballots[run] = ballot
        while len(self._ballots) > _SHOWN:
            self._ballots.pop(next(iter(self._ballots))).close()

    def voted(self, run: str, choice: str) -> None:
        """Redraw a battle with its winner, where a cell of this kernel shows it."""
        if run in self._ballots:
            self._ballots[run].voted(choice)

    def forget(self) -> None:
        """Take all buttons away."""
        while self._ballots:
            self._ballots.popitem()[1].close()

    @property
    def notebook(self) -> str:
        """The notebook's name, as far as the front end tells it."""
        names = self.shell.user_ns
        path = names.get("__vsc_ipynb_file__") or config.notebook_path()
        return str(path).replace("\\", "/").rpartition("/")[2]
