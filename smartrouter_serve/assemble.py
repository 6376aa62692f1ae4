"""The only place where concrete classes meet the engine's ports."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from smartrouter_serve.config import Settings
from smartrouter_serve.context.memory import MemoryContext
from smartrouter_serve.engine.core import Engine
from smartrouter_serve.engine.health import Health
from smartrouter_serve.engine.lane import Ports
from smartrouter_serve.engine.ports import ContextStore, Provider
from smartrouter_serve.ledger.pricebook import TablePrices
from smartrouter_serve.ledger.sqlite import SqliteLedger
from smartrouter_serve.providers import registry
from smartrouter_serve.providers.catalog import load_catalog, refresh
from smartrouter_serve.security.vault import Key, resolve
from smartrouter_serve.types import Model

_KEYLESS = ("local", "ollama")


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def find_keys(settings: Settings) -> dict[str, Key]:
    """The key of every provider, and where it came from."""
    return {
        name: resolve(name, registry.row(name, settings).key_env, settings)
        for name in registry.names(settings)
    }


def key_sources(settings: Settings) -> dict[str, str]:
    """Where the key of each provider came from, of those that take one."""
    found = find_keys(settings)
    return {name: key.source for name, key in found.items() if name not in _KEYLESS}


def build_providers(settings: Settings) -> dict[str, Provider]:
    """Every known and configured provider that is not switched off, with its key."""
    keys = find_keys(settings)
    return {
        name: registry.build(name, settings, keys[name].value) for name in registry.names(settings)
    }


def build_ledger(settings: Settings) -> SqliteLedger:
    """The user's ledger."""
    return SqliteLedger(settings.home / "ledger.sqlite", settings.budgets, SystemClock())


async def refresh_models(settings: Settings) -> dict[str, Any]:
    """Ask every provider that can be called for its models, and keep the lists.

    Answers, by provider, the number of models or the error.
    """
    providers = build_providers(settings)
    some_model = Model(id="any/any", context=1, max_output=1)
    ready = {
        name: provider
        for name, provider in providers.items()
        if name != "local" and (name == "openrouter" or not provider.missing(some_model))
    }
    try:
        return await refresh(ready, settings.home)
    finally:
        for provider in providers.values():
            await provider.aclose()


def successor(context: ContextStore) -> ContextStore:
    """The sessions of `context` for an engine under other settings; answers are asked anew."""
    return context.successor() if isinstance(context, MemoryContext) else context


def build_engine(settings: Settings, context: ContextStore | None = None) -> Engine:
    """The embedded engine: its own providers, the user's ledger, no server.

    Raises `ConfigError`. Opens no connection and no file of the user's but the model list.
    """
    clock = SystemClock()
    if not settings.project:
        settings = settings.model_copy(update={"project": Path.cwd().name})
    return Engine(
        Ports(
            providers=build_providers(settings),
            catalog=load_catalog().with_settings(settings),
            prices=TablePrices(settings, clock),
            ledger=build_ledger(settings),
            context=context or MemoryContext(),
            clock=clock,
            settings=settings,
            health=Health(clock, settings.resilience),
        )
    )
