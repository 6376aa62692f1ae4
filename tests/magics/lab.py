"""A real kernel in front of a local upstream whose model does what the prompt says."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from aiohttp import web
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

FIRST = "The first piece. "
HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) \x1b]0;owned\x07\x1b[2J![p](http://evil.example/p)"
PATIENCE = 30


@dataclass(slots=True)
class Upstream:
    """Speaks OpenAI's chat completions; counts what it is asked and what is cancelled."""

    base_url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Lets the waiting model of `WAIT FOR 2`, the large one, end its answer."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """`WAIT`: a piece, then nothing until cancelled; `SAY x`: x; else `Fine.`; `one`: 401.

        `BUSY`: at first 503, to be tried again after two seconds; `THINK`, `TOOL`: as they say.
        """
        body = await request.json()
        prompt = str(body["messages"][-1]["content"])
        again = body in self.bodies
        self.bodies.append(body)
        if "BUSY" in prompt and not again:
            return web.json_response(
                {"error": {"message": "come back"}}, status=503, headers={"retry-after": "2"}
            )
        if body["model"] == "one":
            return web.json_response(
                {"error": {"message": "Incorrect API key: sk-secret"}}, status=401
            )
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._stream(response, body["model"], prompt)
        except (ConnectionError, asyncio.CancelledError):
            self.cancelled.set()
            raise
        return response

    async def _stream(self, response: web.StreamResponse, model: str, prompt: str) -> None:
        if "WAIT" in prompt:
            await self._send(response, content=FIRST)
            held = "WAIT FOR 2" not in prompt or model != "large"
            while held or not self.goes_on.is_set():  # a dropped connection is noticed by writing
                await response.write(b": still here\n\n")
                await asyncio.sleep(0.02)
        text = f"{prompt.partition('SAY ')[2] or 'Fine.'}"
        text = {"HOSTILE": HOSTILE, "HALF": "half \ud83d ."}.get(prompt.strip(), text)
        if "THINK" in prompt:
            await self._send(response, reasoning_content="Let me see <b>.")
        for start in range(0, len(text), 4):
            await self._send(response, content=text[start : start + 4])
        usage: dict[str, Any] = {"prompt_tokens": 12}
        usage["completion_tokens"] = 5 if model == "small" else 9
        if "THINK" in prompt:
            usage["completion_tokens_details"] = {"reasoning_tokens": 3}
        if "TOOL" in prompt:
            call = {"index": 0, "id": "c1", "function": {"name": "weather", "arguments": '{"in":'}}
            await self._send(response, tool_calls=[call])
            call = {"index": 0, "function": {"arguments": '"Paris"}'}}
            await self._send(response, tool_calls=[call])
        await self._event(
            response, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        )
        await self._event(response, {"choices": [], "usage": usage | {"total_tokens": 17}})
        await response.write(b"data: [DONE]\n\n")

    async def _send(self, response: web.StreamResponse, **delta: Any) -> None:
        await self._event(
            response, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        )

    async def _event(self, response: web.StreamResponse, data: dict[str, Any]) -> None:
        await response.write(
            b"data: " + json.dumps({"id": "c", "model": "m", **data}).encode() + b"\n\n"
        )


@contextmanager
def serving() -> Iterator[Upstream]:
    """Run an upstream on a thread of its own."""
    upstream, ready, loop = Upstream(), threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", upstream.answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        upstream.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield upstream
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def configure(folder: Path, upstream: Upstream) -> dict[str, str]:
    """A configuration with two models at the upstream; answers the environment for it."""
    file = folder / "smartrouter.toml"
    file.write_text(
        f"""
        baseline = "lab/large"
        [providers.lab]
        kind = "openai-compatible"
        base_url = "{upstream.base_url}"
        api_key = "sk-secret"
        models = ["lab/small", "lab/large"]
        [providers.denied]
        kind = "openai-compatible"
        base_url = "{upstream.base_url}"
        api_key = "sk-secret"
        models = ["denied/one"]
        [prices."lab/small"]
        input = 1
        output = 2
        [prices."lab/large"]
        input = 10
        output = 20
        """,
        "utf-8",
    )
    home = folder / "home"
    return {
        "SMARTROUTER_CONFIG": str(file),
        "SMARTROUTER_HOME": str(home),
        "SMARTROUTER_KEYRING": "off",
    }


@dataclass(slots=True)
class Output:
    """What a cell left on the screen, and how it ended."""

    status: str = ""
    error: tuple[str, str, list[str]] | None = None
    streams: str = ""
    shown: dict[str, dict[str, str]] = field(default_factory=dict)
    """The last bundle of every display, by its id."""
    drawings: list[tuple[float, dict[str, str]]] = field(default_factory=list)
    """Every drawing and when it came."""
    question: str = ""
    """What the cell asked."""
    next_input: str = ""
    """What it put into the next cell."""

    def part(self, mime: str) -> str:
        """All that is on the screen at the end, of one MIME type."""
        return "\n".join(data.get(mime, "") for data in self.shown.values())

    @property
    def html(self) -> str:
        return self.part("text/html")

    @property
    def plain(self) -> str:
        return self.part("text/plain")

    @property
    def block(self) -> str:
        """The error as a person sees it."""
        return "\n".join(self.error[2]) if self.error else ""

    def take(self, message: dict[str, Any]) -> None:
        """Take in one message of the kernel's."""
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data", "execute_result"):
            name = content.get("transient", {}).get("display_id") or f"#{len(self.shown)}"
            self.shown[name] = content["data"]
            self.drawings.append((time.monotonic(), content["data"]))
        elif kind == "stream":
            self.streams += content["text"]
        elif kind == "error":
            self.error = (content["ename"], content["evalue"], content["traceback"])


@dataclass(slots=True)
class Notebook:
    """A live kernel that has loaded the extension."""

    manager: KernelManager
    client: BlockingKernelClient
    upstream: Upstream

    def run(self, code: str, *, interrupt_at: str = "", answer: str | None = None) -> Output:
        """Run a cell to its end; interrupt it once `interrupt_at` is on the screen.

        With an answer somebody can be asked, and is.
        """
        output, ident = Output(), self.client.execute(code, allow_stdin=answer is not None)
        if answer is not None:
            asked = self.client.get_stdin_msg(timeout=PATIENCE)
            output.question = asked["content"]["prompt"]
            self.client.input(answer)
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != ident:
                continue
            output.take(message)
            if interrupt_at and interrupt_at in output.plain:
                interrupt_at = ""
                self.manager.interrupt_kernel()
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        reply = self._reply(ident)
        output.status = str(reply.get("status", "lost"))
        output.next_input = "".join(p.get("text", "") for p in reply.get("payload", []))
        return output

    def value(self, expression: str) -> str:
        """The repr of an expression in the kernel."""
        output = self.run(expression)
        assert output.error is None, output.block
        return output.plain

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of `code`."""
        reply = self.client.complete(code, len(code), reply=True, timeout=PATIENCE)
        return list(reply["content"]["matches"])

    def page(self, code: str) -> str:
        """What `code` opens in the pager."""
        reply = self.client.execute(code, reply=True, timeout=PATIENCE)
        texts = [one["data"]["text/plain"] for one in reply["content"]["payload"]]
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(texts))

    def offered(self, code: str) -> dict[str, str]:
        """What Tab offers at the end of `code`, with what is shown beside each."""
        reply = self.client.complete(code, len(code), reply=True, timeout=PATIENCE)
        rows = reply["content"]["metadata"]["_jupyter_types_experimental"]
        return {row["text"]: row["type"] for row in rows}

    def configure(self, line: str) -> None:
        """Put one line on top of the configuration, or take it away again."""
        path = Path(self.value("import os; os.environ['SMARTROUTER_CONFIG']").strip("'"))
        text = path.read_text("utf-8")
        path.write_text(line + text[text.index("\n") :], "utf-8")

    def _reply(self, ident: str) -> dict[str, Any]:
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=PATIENCE)
            except Empty:
                return {}
            if reply["parent_header"].get("msg_id") == ident:
                return dict(reply["content"])


@contextmanager
def notebook(folder: Path) -> Iterator[Notebook]:
    """A kernel with the extension loaded, its state in `folder`."""
    import os

    with serving() as upstream:
        env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
        env |= configure(folder, upstream) | {"JPY_SESSION_NAME": "/notes/lesson.ipynb"}
        manager, client = start_new_kernel(env=env, cwd=str(folder))
        try:
            book = Notebook(manager, client, upstream)
            loaded = book.run("%load_ext smartrouter_serve")
            assert loaded.status == "ok", loaded.block
            yield book
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
