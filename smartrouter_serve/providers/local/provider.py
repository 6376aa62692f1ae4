"""`LocalProvider`: the models of this machine as a provider like any other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from smartrouter_serve.config import Settings
from smartrouter_serve.engine.ports import Chunk, Listed, Request
from smartrouter_serve.errors import LocalModelError, Overloaded
from smartrouter_serve.providers.local import store
from smartrouter_serve.providers.local.server import LlamaServer, Running
from smartrouter_serve.providers.openai_compatible import Account, OpenAICompatible
from smartrouter_serve.types import Model

_LOOK_AGAIN = 2.0
"""Seconds that a look at the disk holds for."""


class LlamaCpp(OpenAICompatible):
    """One llama.cpp server; its first answer may wait for the prompt to be read."""

    first_token_timeout = 300.0

    def adjust(self, body: dict[str, Any], request: Request) -> None:  # noqa: ARG002
        """Reuse what the slot has read already, and tell how far it has read the rest.

        Telling is also when llama.cpp notices that nobody listens any more (its issue 15232).
        """
        body["cache_prompt"] = True
        body["return_progress"] = True


class LocalProvider:
    """Every GGUF file in the models' folder; a process is started when one is first asked."""

    name = "local"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers: dict[str, LlamaServer] = {}
        self._engines: dict[str, tuple[Running, LlamaCpp]] = {}
        self._looked = float("-inf")
        self._installed = False
        self._there: frozenset[str] = frozenset()

    def missing(self, model: Model) -> str:
        """Not installed, or not downloaded."""
        now = time.monotonic()
        if now - self._looked > _LOOK_AGAIN:
            self._looked = now
            self._installed = find_spec("xllamacpp") is not None
            self._there = frozenset(p.stem for p in store.pulled(self._settings.home))
        if not self._installed:
            return "llama.cpp is not installed: pip install 'smartrouter-serve[local]'"
        if model.name in self._there:
            return ""
        known = store.offers().get(model.name)
        amount = f" ({store.size(known.bytes)})" if known else ""
        return f"not downloaded: `smartrouter local pull {model.name}`{amount}"

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open the answer; the time that loading took is told, and not counted as latency."""
        started = time.monotonic()
        engine = await self._engine(request.model)
        loading = time.monotonic() - started
        async with engine.stream(request) as chunks:
            yield _with_load(chunks, loading)

    async def _engine(self, model: Model) -> LlamaCpp:
        server = self._server(model)
        try:
            running = await server.ensure()
        except LocalModelError as error:
            raise Overloaded(error.message, error.remedy) from error
        known = self._engines.get(model.id)
        if known is not None and known[0] == running:
            return known[1]
        engine = LlamaCpp(
            Account(
                name=self.name,
                title=f"The local model {model.name}",
                base_url=f"{running.address}/v1",
                key=running.key,
                key_hint="",
                patience=self._settings.resilience,
                headers={"connection": "close"},  # llama.cpp hangs up after a stream in any case
            )
        )
        self._engines[model.id] = (running, engine)
        if known is not None:
            await known[1].aclose()
        return engine

    def _server(self, model: Model) -> LlamaServer:
        if model.name not in self._servers:
            local = self._settings.local
            self._servers[model.name] = LlamaServer(
                self._settings.home,
                store.path(self._settings.home, model.name),
                min(local.context, model.context),
                local,
            )
        return self._servers[model.name]

    async def models(self) -> tuple[Listed, ...]:
        """What was pulled."""
        return tuple(Listed(name=p.stem) for p in store.pulled(self._settings.home))

    async def probe(self) -> None:
        """Is well if llama.cpp and a model are there."""
        if find_spec("xllamacpp") is None or not store.pulled(self._settings.home):
            raise Overloaded(
                "There is no local model.", "Get one with `smartrouter local pull smollm2`."
            )

    async def aclose(self) -> None:
        """Give the leases back; each process goes when nobody else uses it."""
        for _, engine in self._engines.values():
            await engine.aclose()
        for server in self._servers.values():
            server.drop_lease()


async def _with_load(chunks: AsyncIterator[Chunk], loading: float) -> AsyncIterator[Chunk]:
    first = True
    async for chunk in chunks:
        yield replace(chunk, load_seconds=loading) if first else chunk
        first = False
