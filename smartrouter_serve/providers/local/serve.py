"""The child process: llama.cpp behind a port and a key of its own, for as long as it has users.

Started by `server.py` with its orders as one JSON line on standard input. Every process that uses
it keeps a file in the folder of leases; when none of their owners lives any more, however it
ended, this process ends after `keep_alive` seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from smartrouter_serve.processes import lives, owner_id

_LOOK = 0.5
"""Seconds between looks at the leases."""
_SLOTS = 2
"""Answers at once; more wait in llama.cpp's own queue."""

_READ_AT_ONCE = 256
"""Tokens of a prompt read between two looks at who still listens; more is hardly faster."""


def parameters(orders: dict[str, Any]) -> Any:
    """llama.cpp's parameters: a whole window for each of the slots."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = orders["model"]
    params.model_alias = {orders["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [orders["key"]]
    params.n_ctx = orders["context"] * _SLOTS
    params.n_parallel = _SLOTS
    params.kv_unified = False
    params.cpuparams.n_threads = orders["threads"]
    params.cpuparams_batch.n_threads = orders["threads"]
    params.n_batch = _READ_AT_ONCE
    params.ui = False
    return params


def used(leases: Path) -> bool:
    """Whether a process that holds a lease still lives; the leases of others are removed."""
    for lease in leases.glob("*"):
        if lives(lease.read_text("utf-8")):
            return True
        lease.unlink(missing_ok=True)
    return False


def main() -> None:
    """Load the model, say where it listens, and stay while it is used."""
    import xllamacpp

    orders = json.loads(sys.stdin.readline())
    state, leases = Path(orders["state"]), Path(orders["leases"])
    server = xllamacpp.Server(parameters(orders))
    told = {
        "owner": owner_id(),
        "address": server.listening_address,
        "key": orders["key"],
        "context": orders["context"],
    }
    draft = state.with_suffix(".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(told, file)
    draft.replace(state)
    idle_since = time.monotonic()
    while True:
        time.sleep(_LOOK)
        if used(leases):
            idle_since = time.monotonic()
        elif time.monotonic() - idle_since >= orders["keep_alive"]:
            break
    state.unlink(missing_ok=True)
    del server


if __name__ == "__main__":
    main()
