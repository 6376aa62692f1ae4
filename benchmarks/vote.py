"""A vote in mid-battle: from the click until the losers' upstream connections are closed.

Eight contestants in a real kernel, seven of them lose; the click is sent as a front end sends it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from benchmarks.bench import MODEL, Figure, settings

ROUNDS = 12
CONTESTANTS = 8
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_DELTA = {"index": 0, "delta": {"content": "Words. "}, "finish_reason": None}


def _chunk(**data: object) -> bytes:
    event = b"data: " + json.dumps({"id": "c", "model": "m", **data}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


class Slow:
    """Streams a word every 50 ms until it is left, and notes when that was."""

    def __init__(self) -> None:
        self.open = 0
        self.left: list[float] = []
        self.end = threading.Event()
        """Lets whoever is still there have the end of the answer."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                await reader.readexactly(length)
                writer.write(_HEAD)
                self.open += 1
                await self._stream(reader, writer)
        writer.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client says nothing while it reads: what can be read is the end of the connection.
        gone = asyncio.ensure_future(reader.read(1))
        while not self.end.is_set():
            writer.write(_chunk(choices=[_DELTA]))
            done, _ = await asyncio.wait([gone], timeout=0.05)
            if done:
                self.left.append(time.monotonic())
                raise ConnectionError
        gone.cancel()
        await asyncio.wait([gone])
        usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        stop = {"index": 0, "delta": {}, "finish_reason": "stop"}
        writer.write(_chunk(choices=[stop]) + _chunk(choices=[], usage=usage))
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


@contextmanager
def _serving() -> Iterator[tuple[Slow, str]]:
    slow, loop, ports = Slow(), asyncio.new_event_loop(), []
    ready = threading.Event()

    async def start() -> None:
        server = await asyncio.start_server(slow.serve, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(10)
    yield slow, f"http://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(loop.stop)


def _clicked(client: BlockingKernelClient, slow: Slow) -> list[float]:
    """Seconds from the click until each loser's connection was closed."""
    slow.left.clear()
    slow.end.clear()
    slow.open = 0
    models = ",".join(f"{MODEL}@temperature=0.{number}" for number in range(1, CONTESTANTS + 1))
    run = client.execute(f"%%arena --no-cache -m {models}\nHello")
    comm, sent, shown = "", 0.0, False
    while True:
        try:
            message = client.get_iopub_msg(timeout=0.02)
        except Exception:
            message = {"msg_type": "", "content": {}, "parent_header": {}}
        content = message["content"]
        state = content.get("data", {}).get("state", {})
        if message["msg_type"] == "comm_open" and state.get("description") == "1":
            comm = content["comm_id"]
        shown = shown or "widget-view" in str(content.get("data", {}))
        if shown and comm and slow.open == CONTESTANTS and not sent:
            data = {"method": "custom", "content": {"event": "click"}}
            click = client.session.msg("comm_msg", {"comm_id": comm, "data": data})
            sent = time.monotonic()
            client.shell_channel.send(click)
        if len(slow.left) == CONTESTANTS - 1:
            slow.end.set()
        ours = message["parent_header"].get("msg_id") == run
        if ours and content.get("execution_state") == "idle":
            return [at - sent for at in slow.left]


def run() -> list[Figure]:
    """The slowest of the seven losers, in twelve battles."""
    with _serving() as (slow, base):
        config = settings(base).file
        manager, client = start_new_kernel()
        try:
            code = (
                f"import os; os.environ['SMARTROUTER_CONFIG'] = {str(config)!r}\n"
                f"os.environ['SMARTROUTER_HOME'] = {str(config.parent)!r}\n"
                "%load_ext smartrouter_serve"
            )
            client.execute_interactive(code, timeout=60)
            rounds = [max(_clicked(client, slow)) * 1000 for _ in range(ROUNDS + 1)][1:]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    return [
        Figure(
            name="Vote in mid-battle of 8 to the last loser's close",
            value=max(rounds),
            unit="ms",
            limit=250,
            peer=f"median {statistics.median(rounds):.1f} ms, worst of {ROUNDS} battles",
        )
    ]
