"""The one base of all providers that speak OpenAI's chat completions, and what they twist."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from smartrouter_serve.config import ResilienceSettings
from smartrouter_serve.engine.ports import Chunk, Listed, Request
from smartrouter_serve.errors import (
    BadRequest,
    BillingError,
    ContentFiltered,
    ContextOverflow,
    Overloaded,
    ProviderError,
)
from smartrouter_serve.providers import faults
from smartrouter_serve.providers.completions import Parser
from smartrouter_serve.providers.faults import Fault, Kind
from smartrouter_serve.providers.http import HttpClient, Response, drain, parse
from smartrouter_serve.providers.sse import DONE, EventReader, frames
from smartrouter_serve.types import Finish, Message, Model

_FINISHES: dict[str, Finish | Kind] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": ContentFiltered,
    "sensitive": ContentFiltered,
    "model_context_window_exceeded": ContextOverflow,
    "network_error": Overloaded,
    "error": Overloaded,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where and as whom a provider is called; the key does not show."""

    name: str
    title: str
    base_url: str
    key: str | None
    key_hint: str
    """How to set a key; empty for a provider that needs none."""
    patience: ResilienceSettings
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.base_url!r}, key={'set' if self.key else 'none'})"


class OpenAICompatible:
    """A provider behind `/chat/completions`; a vendor overrides what it does otherwise."""

    chat_path: ClassVar[str] = "/chat/completions"
    models_path: ClassVar[str] = "/models"
    max_tokens_field: ClassVar[str] = "max_tokens"
    temperature_range: ClassVar[tuple[float, float]] = (0.0, 2.0)
    drops: ClassVar[frozenset[str]] = frozenset()
    """Body fields that the vendor does not know and that only steer sampling."""
    codes: ClassVar[Mapping[str, Kind]] = {
        "insufficient_quota": BillingError,
        "exceeded_current_quota_error": BillingError,
    }
    """The vendor's own error codes; here those of OpenAI and Moonshot."""
    first_token_timeout: ClassVar[float | None] = None

    def __init__(self, account: Account) -> None:
        self.account = account
        self.name = account.name
        headers = dict(account.headers)
        if account.key:
            headers["authorization"] = f"Bearer {account.key}"
        self.http = HttpClient(
            account.title, account.base_url, headers, account.patience, self.first_token_timeout
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.account!r})"

    @property
    def clock_skew(self) -> float | None:
        """Seconds that this machine's clock is ahead of the provider's; None before a reply."""
        return self.http.clock_skew

    def missing(self, model: Model) -> str:  # noqa: ARG002 - the port's signature
        """Why nothing can be called: no key."""
        if self.account.key or not self.account.key_hint:
            return ""
        return f"no key: {self.account.key_hint}"

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open the answer; raises the `ProviderError` of a refused request."""
        body = self.body(request)
        async with self.http.stream("POST", self.chat_path, body) as response:
            if response.status != 200:
                raise self.fault(response.status, response.headers, parse(await response.read()))
            yield self.chunks(response)

    async def chunks(self, response: Response) -> AsyncIterator[Chunk]:
        """The answer's chunks; raises the error that a frame hides."""
        parser = self.parser()
        async for frame in self._frames(response):
            for chunk in parser.feed(frame):
                yield chunk
        for chunk in parser.finish():
            yield chunk

    @staticmethod
    async def _frames(response: Response) -> AsyncIterator[dict[str, Any]]:
        """The JSON objects of a stream; a body that is one such object is read as it is."""
        reader, unread, body = EventReader(), bytearray(), response.body()
        async for piece in body:
            events = reader.feed(piece)
            response.heard = response.heard or bool(events)
            if not response.heard:
                unread += piece
            for event in events:
                if event == DONE:
                    await drain(body)
                    return
                for frame in frames(event):
                    yield frame
        for event in reader.finish():
            response.heard = True
            for frame in frames(event):
                yield frame
        if unread and not response.heard:
            yield parse(bytes(unread))

    def parser(self) -> Parser:
        """A parser for one stream."""
        return Parser(self.hidden_fault, self.finished)

    async def models(self) -> tuple[Listed, ...]:
        """The provider's own list."""
        status, headers, body = await self.http.json("GET", self.models_path)
        if status != 200:
            raise self.fault(status, headers, body)
        if hidden := self.hidden_fault(body):
            raise hidden
        rows = body.get("data") or []
        return tuple(self.listed(row) for row in rows if isinstance(row, dict) and row.get("id"))

    def listed(self, row: Mapping[str, Any]) -> Listed:
        """A row of the list as a value."""
        return Listed(name=str(row["id"]), context=row.get("context_length"))

    async def probe(self) -> None:
        """Ask for the list of models, which needs the key."""
        await self.models()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    def body(self, request: Request) -> dict[str, Any]:
        """The request as JSON values.

        Raises `BadRequest` for what the vendor cannot do and that would change the meaning.
        """
        body: dict[str, Any] = {
            "model": request.model.name,
            "messages": [wire_message(message) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            self.max_tokens_field: request.max_tokens,
            "temperature": self._clamped(request.temperature),
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            "seed": request.seed,
            "response_format": request.response_format,
            "tools": list(request.tools) or None,
            "tool_choice": request.tool_choice,
        }
        self.adjust(body, request)
        return {k: v for k, v in body.items() if v is not None and k not in self.drops}

    def _clamped(self, temperature: float | None) -> float | None:
        if temperature is None:
            return None
        low, high = self.temperature_range
        return min(max(temperature, low), high)

    def adjust(self, body: dict[str, Any], request: Request) -> None:
        """Change the body to the vendor's dialect."""

    def refuse(self, what: str, remedy: str) -> BadRequest:
        """The error for an option that the vendor does not have."""
        return BadRequest(f"{self.account.title} cannot take {what}.", remedy)

    def refine(self, fault: Fault) -> Fault:
        """The fault with the code that the vendor hides elsewhere."""
        return fault

    def classify(self, fault: Fault) -> Kind:
        """The class of a fault: by the vendor's code or type, else by the status."""
        known = self.codes.get(fault.code) or self.codes.get(fault.type)
        return known or faults.by_status(fault)

    def fault(
        self, status: int, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> ProviderError:
        """The error that a refused request, or an error inside a good one, means."""
        found = faults.read(status, body)
        if self.account.key:
            found = replace(found, message=found.message.replace(self.account.key, "***"))
        found = self.refine(found)
        kind = self.classify(found)
        wait = faults.retry_after(headers, time.time(), found)
        return faults.explain(kind, self.account.title, found, wait, self._auth_remedy())

    def _auth_remedy(self) -> str:
        hint = self.account.key_hint or f"providers.{self.name}.api_key holds it"
        return (
            f"Check the key ({hint}) and the address ({self.account.base_url}): keys are often "
            "bound to a region."
        )

    def hidden_fault(self, frame: Mapping[str, Any]) -> ProviderError | None:
        """The error inside a frame of a response whose status was 200."""
        error = frame.get("error")
        if not error:
            return None
        status = error.get("code") if isinstance(error, Mapping) else None
        if not isinstance(status, int) or not 400 <= status < 600:
            status = 500
        return self.fault(status, {}, frame)

    def finished(self, reason: str) -> Finish:
        """The finish that a reason means; raises for those that are errors."""
        meaning = _FINISHES.get(reason, "stop")
        if isinstance(meaning, str):
            return meaning
        fault = Fault(status=200, code=reason, message="")
        raise faults.explain(meaning, self.account.title, fault, None, self._auth_remedy())


def wire_message(message: Message) -> dict[str, Any]:
    """A message in OpenAI's form."""
    content: Any = message.content
    if not isinstance(content, str):
        content = [
            {"type": "image_url", "image_url": {"url": part.image_url}}
            if part.image_url
            else {"type": "text", "text": part.text}
            for part in message.content
            if not isinstance(part, str)
        ]
    wire: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    return wire
