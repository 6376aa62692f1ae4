"""What the magics of one shell share: a router on the notebook's engine, and the last battle."""

from __future__ import annotations

from typing import Any

from smartrouter_serve import config, shared
from smartrouter_serve.client import Router, SyncRouter
from smartrouter_serve.types import Battle


class Session:
    """One shell's router and its last battle."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.last_battle: Battle | None = None
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

    @property
    def notebook(self) -> str:
        """The notebook's name, as far as the front end tells it."""
        names = self.shell.user_ns
        path = names.get("__vsc_ipynb_file__") or config.notebook_path()
        return str(path).replace("\\", "/").rpartition("/")[2]
