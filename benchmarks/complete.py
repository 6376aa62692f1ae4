"""How long Tab takes in a real kernel, from the key to the list, beside Tab on a plain name."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from benchmarks.bench import Figure, settings

ROUNDS = 30
POSITIONS = (
    "%%route ",
    "%%route --max",
    "%%route --policy ba",
    "%%route -m zhipu/glm",
    "%%route -m zhipu/glm-5@te",
    "%%arena -m zhipu/glm-5,minimax/",
    "%%arena -g fr",
    "%%route --session ",
    "%smartrouter vote ",
    "%%route\nSummarise {frame['names'].up",
)
PLAIN = "frame['names'].up"


def _tab(client: BlockingKernelClient, code: str) -> float:
    """Seconds from the request to the answer."""
    start = time.perf_counter()
    reply = client.complete(code, reply=True, timeout=30)
    taken = time.perf_counter() - start
    assert reply["content"]["status"] == "ok"
    return taken


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1] * 1000


def run() -> list[Figure]:
    """Every position in every round; the first Tab, which reads catalog and prices, apart."""
    home = Path(settings("http://127.0.0.1:9/v1").file).parent
    environment = {
        "SMARTROUTER_CONFIG": str(home / "smartrouter.toml"),
        "SMARTROUTER_HOME": str(home),
    }
    manager, client = start_new_kernel(env={**os.environ, **environment})
    try:
        client.execute_interactive(
            "%load_ext smartrouter_serve\nframe = {'names': 'text'}", timeout=60
        )
        first = _tab(client, "%%route -m ") * 1000
        taken = [_tab(client, code) for _ in range(ROUNDS) for code in POSITIONS]
        plain = [_tab(client, PLAIN) for _ in range(ROUNDS)]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    peer = f"plain Tab {_p95(plain):.1f}, median ours {statistics.median(taken) * 1000:.1f}"
    return [
        Figure(name="Tab at ten positions, p95", value=_p95(taken), unit="ms", limit=20, peer=peer),
        Figure(name="The first Tab on a model", value=first, unit="ms", limit=100),
    ]
