"""A local server that speaks OpenAI's chat completions, and says what it was told to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Script:
    """How a model answers."""

    pieces: list[str] = field(default_factory=lambda: ["Hello ", "there ", "friend"])
    status: int = 200
    error: dict[str, Any] | None = None
    cut: bool = False
    """The stream ends without a finish reason."""
    hang: bool = False
    """After the pieces it waits until the caller is gone."""
    thoughts: list[str] = field(default_factory=list)
    """What it thinks before it answers."""
    pause: int | None = None
    """Wait for `Upstream.go` before the piece of this number."""


class Upstream:
    """The server, its scripts by model name, and what it saw."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.listed: list[str] = ["small"]
        self.spoken = threading.Event()
        """A hanging answer has sent its pieces."""
        self.go = threading.Event()
        """Lets answers that pause go on."""
        self.left = threading.Event()
        """The caller of a hanging answer is gone."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        serve = self._server.serve_forever
        threading.Thread(target=serve, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                upstream.keys.append(self.headers.get("authorization", ""))
                self._json(200, {"data": [{"id": name} for name in upstream.listed]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                upstream.bodies.append(body)
                upstream.keys.append(self.headers.get("authorization", ""))
                script = upstream.scripts.get(body["model"], Script())
                if script.error is not None:
                    self._json(script.status, {"error": script.error})
                else:
                    self._stream(script)

            def _json(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, script: Script) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                for thought in script.thoughts:
                    self._event({"choices": [{"delta": {"reasoning_content": thought}}]})
                for number, piece in enumerate(script.pieces):
                    if number == script.pause:
                        upstream.go.wait(60)
                    self._event({"choices": [{"delta": {"content": piece}}]})
                if script.hang:
                    upstream.spoken.set()
                    self.connection.settimeout(60)
                    if self.connection.recv(1) == b"":
                        upstream.left.set()
                elif not script.cut:
                    self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                    count = len(script.pieces)
                    usage = {"prompt_tokens": 10, "completion_tokens": count}
                    self._event({"choices": [], "usage": usage})
                    self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def _event(self, value: dict[str, Any]) -> None:
                self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
