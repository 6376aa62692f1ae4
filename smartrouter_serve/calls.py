"""The vocabulary of the seam in front of the engine: a call goes in, events come out.

Every value here is frozen and survives JSON and pickle (`encode`, `decode`). A call's stream holds
any number of events of its lanes; every lane ends in exactly one `Finished` or `Failed`, and the
stream's last event is that of lane `""`, the call itself.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from smartrouter_serve.errors import Problem
from smartrouter_serve.types import (
    Battle,
    Decision,
    Message,
    Reply,
    Think,
    ToolCall,
    Variant,
)

Converge = Literal["none", "judge", "consensus", "synthesis"]
NO_WINNER = ("tie", "none")
"""What a battle can be voted besides one of its contestants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Answer one conversation with one model."""

    messages: tuple[Message, ...]
    model: Variant | None = None
    """Pins the model; None lets the decision choose."""
    policy: str = ""
    """`cheap`, `balanced`, `best`, `fast` or a number from 0 (cheap) to 1 (best); empty: config."""
    budget_nanos: int | None = None
    """The most that this call may cost."""
    intent: str = ""
    max_latency: float | None = None
    """Seconds that the whole answer is expected to take at most."""
    deadline: float | None = None
    """Seconds after which the call is given up; None: the configured one."""
    session: str = ""
    context: tuple[str, ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    think: Think | None = None
    response_format: dict[str, Any] | None = None
    """OpenAI's `response_format`, passed through."""
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str | dict[str, Any] | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    top_p: float | None = None
    cache: bool = True
    dry_run: bool = False
    """Decide only: the stream is `Decided`, then `Finished` without a reply."""
    project: str = ""
    notebook: str = ""
    run: str = ""
    """The run's id; empty lets the engine make one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    """Answer one conversation with several models side by side."""

    route: Route
    """The prompt and the options that every contestant shares."""
    group: str = ""
    models: tuple[Variant, ...] = ()
    converge: Converge = "none"
    blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Say who won a battle; the vote is evidence for the router.

    While the battle runs, the vote ends it: every contestant but the one chosen is stopped.
    """

    battle: str
    choice: str
    """A contestant's number from 1 or its label, or `tie` or `none`."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop contestants of a battle that runs; the others go on."""

    battle: str
    contestants: tuple[str, ...]
    """Their numbers from 1 or labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Ask for data that is already there; answered by one `Finished` with `data`."""

    subject: Literal[
        "status",
        "models",
        "groups",
        "usage",
        "spending",
        "budgets",
        "unconfirmed",
        "leaderboard",
        "battle",
        "why",
        "prices",
        "estimate",
        "sessions",
    ]
    arguments: dict[str, Any] = field(default_factory=dict)


Call = Route | Arena | Vote | Stop | Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision of a lane."""

    lane: str = ""
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing to show yet, and why: `waiting for zhipu/glm-5`, `retrying in 2.0 s`."""

    lane: str = ""
    reason: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer."""

    lane: str = ""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """A piece of the thinking before the answer."""

    lane: str = ""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call; pieces of one `index` are joined."""

    lane: str = ""
    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """Another model takes over; text of this lane so far is void."""

    lane: str = ""
    from_model: str
    to_model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A lane's good end."""

    lane: str = ""
    result: Reply | Battle | None = None
    data: Any = None
    """What a `Query`, `Vote` or `Stop` answers: JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A lane's bad end; what it used up to then is in the ledger."""

    lane: str = ""
    problem: Problem
    text: str = ""
    """What had arrived before."""
    cost_nanos: int | None = None
    """What a contestant had used; None where a price is unknown."""


Event = (
    Decided | Waiting | TextDelta | ReasoningDelta | ToolCallDelta | Switched | Finished | Failed
)


class Backend(Protocol):
    """The seam in front of the engine: embedded it is the engine itself, else a gateway."""

    def send(self, call: Call) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """Open a call's stream of events; leaving the context cancels what still runs."""
        ...

    async def aclose(self) -> None:
        """Close what the backend holds."""
        ...


_KINDS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Route,
        Arena,
        Vote,
        Stop,
        Query,
        Decided,
        Waiting,
        TextDelta,
        ReasoningDelta,
        ToolCallDelta,
        Switched,
        Finished,
        Failed,
    )
}
_adapters: dict[type[Any], Any] = {}


def _adapter(cls: type[Any]) -> Any:
    """A pydantic adapter of `cls`, made once; pydantic is imported on first use only."""
    if cls not in _adapters:
        from pydantic import TypeAdapter

        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]


def encode(value: Call | Event) -> dict[str, Any]:
    """Turn a call or an event into JSON values, tagged with its kind."""
    data: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json")
    return {"kind": type(value).__name__, **data}


def decode(data: dict[str, Any]) -> Any:
    """Turn what `encode` made back into the value.

    Raises `ValueError` where the kind or a field is unknown or of the wrong type.
    """
    fields = dict(data)
    kind = fields.pop("kind", None)
    if kind not in _KINDS:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(_KINDS)}")
    return _adapter(_KINDS[kind]).validate_python(fields)


def run_id() -> str:
    """A short id that a person can type: 8 characters, 40 bits."""
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()


def tool_calls(deltas: list[ToolCallDelta]) -> tuple[ToolCall, ...]:
    """Join the pieces of tool calls, in the order of their index."""
    joined: dict[int, ToolCall] = {}
    for delta in deltas:
        known = joined.get(delta.index, ToolCall(id="", name="", arguments=""))
        joined[delta.index] = ToolCall(
            id=known.id or delta.id,
            name=known.name or delta.name,
            arguments=known.arguments + delta.arguments,
        )
    return tuple(joined[index] for index in sorted(joined))
