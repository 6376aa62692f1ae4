"""What the magics of one shell share: the router, built on first use and anew when keys change."""

from __future__ import annotations

from typing import Any

from smartrouter_serve import config
from smartrouter_serve.client import Router, SyncRouter
from smartrouter_serve.types import Battle, Reply


class Session:
    """One shell's router, its last reply and its last battle."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.last_reply: Reply | None = None
        self.last_battle: Battle | None = None
        self._router: Router | None = None
        self._built_from: tuple[Any, ...] = ()

    @property
    def router(self) -> SyncRouter:
        """The router; the configuration or a key that changed since is read anew."""
        now = config.fingerprint()
        if self._router is None or now != self._built_from:
            self.close()
            self._router, self._built_from = Router(), now
        return self._router.sync

    def close(self) -> None:
        """Close the router, if there is one."""
        router, self._router = self._router, None
        if router is not None:
            router.sync.close()

    @property
    def notebook(self) -> str:
        """The notebook's name, as far as the front end tells it."""
        names = self.shell.user_ns
        path = names.get("__vsc_ipynb_file__") or config.notebook_path()
        return str(path).replace("\\", "/").rpartition("/")[2]
