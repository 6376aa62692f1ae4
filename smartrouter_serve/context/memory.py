"""Sessions and equal answers for as long as the process lives."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import fields
from typing import Any

from smartrouter_serve.calls import Route
from smartrouter_serve.errors import UsageError
from smartrouter_serve.types import Message, Reply

_ANSWERS = 500
_PER_CALL = {
    "run",
    "project",
    "notebook",
    "deadline",
    "budget_nanos",
    "dry_run",
    "cache",
    "session",
}
"""Fields that do not change what is asked."""
_ASKED = tuple(field.name for field in fields(Route) if field.name not in _PER_CALL)


class MemoryContext:
    """`ContextStore` without a disk."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[Message, ...]] = {}
        self._answers: OrderedDict[str, Reply] = OrderedDict()

    def successor(self) -> MemoryContext:
        """The same sessions, without the answers."""
        heir = MemoryContext()
        heir._turns = self._turns
        return heir

    async def gather(self, route: Route) -> tuple[Message, ...]:
        """The session's turns between the call's system message and its own turns."""
        if route.context:
            raise UsageError(
                f"The context source {route.context[0]!r} is not known.",
                "This version keeps sessions only: leave --context out, or use --session NAME.",
            )
        system = tuple(m for m in route.messages if m.role == "system")
        own = tuple(m for m in route.messages if m.role != "system")
        return (*system, *self._turns.get(route.session, ()), *own)

    async def lookup(self, sent: Route) -> Reply | None:
        """The answer to an equal call."""
        return self._answers.get(_key(sent))

    async def remember(self, route: Route, sent: Route, reply: Reply) -> None:
        """Keep the turn and the answer; an answer that was cut short is not worth keeping."""
        if route.session:
            own = tuple(m for m in route.messages if m.role != "system")
            answer = Message(role="assistant", content=reply.text, tool_calls=reply.tool_calls)
            self._turns[route.session] = (*self._turns.get(route.session, ()), *own, answer)
        if reply.finish == "stop" and not reply.tool_calls:
            self._answers[_key(sent)] = reply
            while len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)

    async def sessions(self) -> list[dict[str, Any]]:
        """Name and number of turns."""
        return [{"name": name, "turns": len(turns)} for name, turns in self._turns.items()]


def _key(sent: Route) -> str:
    """A digest of everything that changes what is asked."""
    asked = repr([getattr(sent, name) for name in _ASKED])
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
