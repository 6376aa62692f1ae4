"""The supervised llama.cpp process of one model, shared by all processes of a user."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from filelock import FileLock

from smartrouter_serve.config import LocalSettings
from smartrouter_serve.errors import LocalModelError
from smartrouter_serve.processes import lives, owner_id

_PATIENCE = 180.0
"""Seconds that a model may take to load."""
_LOOK = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Where a model listens; the key does not show."""

    address: str
    key: str
    owner: str
    context: int

    def __repr__(self) -> str:
        return f"Running({self.address!r}, {self.owner!r})"


class LlamaServer:
    """Starts the process of `model` on first use; the process itself knows when to go."""

    def __init__(self, home: Path, model: Path, context: int, settings: LocalSettings) -> None:
        self._model = model
        self._context = context
        self._settings = settings
        self._folder = home / "local"
        self._state = self._folder / f"{model.stem}.json"
        self._leases = self._folder / f"{model.stem}.leases"
        self._token = secrets.token_hex(4)
        self._log = self._folder / f"{model.stem}.log"

    def running(self) -> Running | None:
        """Where it listens, if its process lives."""
        try:
            told = json.loads(self._state.read_text("utf-8"))
            running = Running(**told)
            return running if lives(running.owner) else None
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    async def ensure(self) -> Running:
        """Start it if need be, and take a lease.

        Raises `LocalModelError` with the log's last line where it does not come up.
        """
        self._take_lease()
        found = self.running()
        if found is not None:
            return found
        return await anyio.to_thread.run_sync(self._start, abandon_on_cancel=True)

    def _take_lease(self) -> None:
        lease = self._lease()
        if not lease.exists():
            lease.parent.mkdir(parents=True, exist_ok=True)
            lease.write_text(owner_id(), "utf-8")

    def drop_lease(self) -> None:
        """Say that this user needs it no longer."""
        self._lease().unlink(missing_ok=True)

    def _lease(self) -> Path:
        """One file a user: a process may hold several providers, and may fork."""
        return self._leases / f"{os.getpid()}-{self._token}"

    def stop(self) -> bool:
        """End the process now; False where none runs."""
        found = self.running()
        if found is None:
            return False
        import psutil

        process = psutil.Process(int(found.owner.partition(":")[0]))
        process.terminate()
        process.wait(timeout=10)
        self._state.unlink(missing_ok=True)
        return True

    def _start(self) -> Running:
        with FileLock(self._folder / f"{self._model.stem}.lock"):
            found = self.running()
            if found is not None:
                return found
            self._state.unlink(missing_ok=True)
            with self._log.open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "smartrouter_serve.providers.local.serve"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._orders()).encode() + b"\n")
            process.stdin.close()
            return self._wait_for(process)

    def _orders(self) -> dict[str, Any]:
        return {
            "name": self._model.stem,
            "model": str(self._model),
            "context": self._context,
            "threads": self._settings.threads or _cores(),
            "key": secrets.token_urlsafe(24),
            "state": str(self._state),
            "leases": str(self._leases),
            "keep_alive": self._settings.keep_alive,
        }

    def _wait_for(self, process: subprocess.Popen[bytes]) -> Running:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            found = self.running()
            if found is not None:
                return found
            if process.poll() is not None:
                raise LocalModelError(
                    f"{self._model.stem} did not start: {self._last_words()}.",
                    f"The whole log: {self._log}. `smartrouter doctor` looks at the rest.",
                )
            time.sleep(_LOOK)
        process.kill()
        raise LocalModelError(
            f"{self._model.stem} was not ready after {_PATIENCE:g} s.",
            "Free memory with `smartrouter local stop`, or use a smaller model: "
            "-m local/smollm2-135m.",
        )

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        told = [line.strip() for line in lines if line.strip()]
        wrong = [line for line in told if "rror" in line or "failed" in line]
        return (wrong or told or ["it said nothing"])[-1].rstrip(".")[:200]


def _cores() -> int:
    """Physical cores: llama.cpp gains nothing from the others."""
    import psutil

    return psutil.cpu_count(logical=False) or os.cpu_count() or 1
