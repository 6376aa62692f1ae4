"""Ollama by its native API: the window is asked for, so that nothing is cut silently."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from smartrouter_serve.calls import ToolCallDelta
from smartrouter_serve.engine.ports import Chunk, Listed, Request
from smartrouter_serve.errors import ContextOverflow
from smartrouter_serve.providers.http import Response
from smartrouter_serve.providers.openai_compatible import OpenAICompatible
from smartrouter_serve.providers.sse import LineReader, frames
from smartrouter_serve.types import Finish, Message, ToolCall, Usage

_SMALLEST_WINDOW = 4_096
_ANSWER = 2_048
"""Tokens of the window that are kept for an answer without a limit."""
_STEP = 2_048
"""Windows are rounded up to this, since every new size loads the model again."""


def address(host: str | None) -> str:
    """The address that `OLLAMA_HOST` means, read as Ollama reads it.

    Scheme and port may be left out; a scheme without a port means that scheme's own port. An
    address to listen on everywhere is asked at this machine.
    """
    text = (host or "").strip().strip("\"'").rstrip("/")
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme if separator else "http"
    rest, slash, path = rest.partition("/")
    name, port = _host_and_port(rest)
    if not port and not separator:
        port = "11434"
    everywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nosec B104
    name = everywhere.get(name, name)
    name = f"[{name}]" if ":" in name else name
    return f"{scheme}://{name}" + (f":{port}" if port else "") + slash + path


def _host_and_port(text: str) -> tuple[str, str]:
    """Split a host from its port; an IPv6 address may lack its brackets."""
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        return name, rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    name, _, port = text.partition(":")
    return name, port


class Ollama(OpenAICompatible):
    """`/api/chat`, JSON lines."""

    chat_path = "/api/chat"
    first_token_timeout = 300.0  # the first call loads the model

    async def chunks(self, response: Response) -> AsyncIterator[Chunk]:
        """The answer's chunks, a line of JSON each."""
        reader = LineReader()
        seen: list[ToolCallDelta] = []
        async for piece in response.body():
            response.heard = True
            for line in reader.feed(piece):
                for frame in frames(line):
                    yield self._chunk(frame, seen)
        for line in reader.finish():
            for frame in frames(line):
                yield self._chunk(frame, seen)

    def body(self, request: Request) -> dict[str, Any]:
        """The request in Ollama's form."""
        options = {
            "num_ctx": self._window(request),
            "num_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": list(request.stop) or None,
        }
        schema = (request.response_format or {}).get("json_schema", {}).get("schema")
        wants_json = (request.response_format or {}).get("type") == "json_object"
        body = {
            "model": request.model.name,
            "messages": [self._message(message) for message in request.messages],
            "stream": True,
            "truncate": False,
            "shift": False,
            "options": {key: value for key, value in options.items() if value is not None},
            "format": schema or ("json" if wants_json else None),
            "tools": list(request.tools) or None,
            "think": self._think(request),
        }
        if request.tool_choice not in (None, "auto"):
            raise self.refuse(f"tool_choice {request.tool_choice!r}", "Use auto, or leave it out.")
        return {key: value for key, value in body.items() if value is not None}

    @staticmethod
    def _think(request: Request) -> bool | str | None:
        if "think" not in request.model.capabilities:
            return None
        if "effort" in request.model.capabilities and request.think != "off":
            return request.think
        return request.think != "off"

    def _window(self, request: Request) -> int:
        """A window that prompt and answer fit in, since Ollama cuts a longer prompt silently."""
        needed = request.input_tokens * 5 // 4 + (request.max_tokens or _ANSWER)
        window = max(-(-needed // _STEP) * _STEP, _SMALLEST_WINDOW)
        if request.input_tokens > request.model.context:
            raise ContextOverflow(
                f"{request.model.id} has a window of {request.model.context:,} tokens; the prompt "
                f"has about {request.input_tokens:,}.",
                "Shorten the prompt, or use a model with a larger window: "
                "`smartrouter models` shows them.",
            )
        return min(window, request.model.context)

    def _message(self, message: Message) -> dict[str, Any]:
        wire: dict[str, Any] = {"role": message.role, "content": message.text}
        if not isinstance(message.content, str):
            images = [self._image(part.image_url) for part in message.content if part.image_url]
            wire |= {"images": images} if images else {}
        if message.tool_calls:
            wire["tool_calls"] = [
                {"function": {"name": call.name, "arguments": self._arguments(call)}}
                for call in message.tool_calls
            ]
        return wire

    def _arguments(self, call: ToolCall) -> Any:
        try:
            return json.loads(call.arguments or "{}")
        except ValueError as error:
            raise self.refuse(
                f"the arguments of the call of {call.name!r}", "They must be a JSON object."
            ) from error

    def _image(self, url: str) -> str:
        """The base64 of a `data:` address; fetching others is not ours to do."""
        head, comma, data = url.partition(",")
        if not head.startswith("data:") or not comma or "base64" not in head:
            raise self.refuse("an image by its web address", "Give it as a base64 data: address.")
        return data

    @staticmethod
    def _calls(
        calls: Sequence[Mapping[str, Any]], seen: list[ToolCallDelta]
    ) -> tuple[ToolCallDelta, ...]:
        """The calls of a line, numbered on from those of the lines before."""
        new = []
        for call in calls:
            function = call.get("function") or {}
            new.append(
                ToolCallDelta(
                    index=len(seen),
                    id=f"call_{len(seen)}",
                    name=function.get("name") or "",
                    arguments=json.dumps(function.get("arguments") or {}),
                )
            )
            seen.append(new[-1])
        return tuple(new)

    def _chunk(self, frame: Mapping[str, Any], seen: list[ToolCallDelta]) -> Chunk:
        hidden = self.hidden_fault(frame)
        if hidden is not None:
            raise hidden
        message = frame.get("message") or {}
        calls = self._calls(message.get("tool_calls") or (), seen)
        done = bool(frame.get("done"))
        return Chunk(
            text=message.get("content") or "",
            reasoning=message.get("thinking") or "",
            tool_calls=calls,
            usage=_usage(frame) if done else None,
            finish=_finish(frame, called=bool(seen)) if done else None,
            load_seconds=(frame.get("load_duration") or 0) / 1e9,
        )

    async def models(self) -> tuple[Listed, ...]:
        """What is installed, with window and capabilities from `/api/show`."""
        status, headers, body = await self.http.json("GET", "/api/tags")
        if status != 200:
            raise self.fault(status, headers, body)
        names = [row["model"] for row in body.get("models") or ()]
        return tuple([await self._show(name) for name in names])

    async def _show(self, name: str) -> Listed:
        status, _, body = await self.http.json("POST", "/api/show", {"model": name})
        if status != 200:  # one broken model is no reason to lose the list
            return Listed(name=name)
        info = body.get("model_info") or {}
        architecture = info.get("general.architecture")
        spoken = {"tools": "tools", "vision": "images", "thinking": "think"}
        found = {spoken[c] for c in body.get("capabilities") or () if c in spoken}
        extra = {"think_off"} if "think" in found else set()
        return Listed(
            name=name,
            context=info.get(f"{architecture}.context_length"),
            capabilities=frozenset({"json", "json_schema"} | found | extra),
        )

    async def probe(self) -> None:
        """`/api/version`: liveness."""
        status, headers, body = await self.http.json("GET", "/api/version")
        if status != 200:
            raise self.fault(status, headers, body)


def _usage(frame: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=frame.get("prompt_eval_count") or 0,
        output_tokens=frame.get("eval_count") or 0,
    )


def _finish(frame: Mapping[str, Any], *, called: bool) -> Finish:
    if called:
        return "tool_calls"
    return "length" if frame.get("done_reason") == "length" else "stop"
