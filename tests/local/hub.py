"""A publisher's file server with the faults of real ones, and packages as a registry has them."""

from __future__ import annotations

import hashlib
import re
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from smartrouter_serve.providers.local.store import Offer, Part


def weights(size: int = 300_000) -> bytes:
    """Bytes that begin as a GGUF does and never repeat in step with a block."""
    return b"GGUF" + b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size // 32))


def sha256(data: bytes) -> str:
    """The digest as `models.toml` has it."""
    return hashlib.sha256(data).hexdigest()


@dataclass(eq=False, slots=True)
class Hub:
    """Serves one file at every path, by ranges; its faults are set from outside."""

    data: bytes = field(repr=False)
    status: int = 0
    """Answer with this status instead."""
    cut_after: int | None = None
    """Send so many bytes of each answer, then close the connection."""
    ranges: bool = True
    """False answers a range with the whole file, as plain servers do."""
    redirect: str = ""
    sent: int = 0
    """Bytes of bodies that left."""
    asked: list[str | None] = field(default_factory=list)
    """The `Range` of each request."""
    pause_after: int | None = None
    """Send so many bytes, then wait for `go_on`."""
    paused: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "weights.gguf") -> str:
        """The address of the file under some name."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("range")
        self.asked.append(wanted)
        if self.redirect or self.status:
            request.send_response(self.status or 302)
            if self.redirect:
                request.send_header("location", self.redirect)
            request.send_header("content-length", "0")
            request.end_headers()
            return
        found = re.fullmatch(r"bytes=(\d+)-", wanted or "") if self.ranges else None
        start = int(found[1]) if found else 0
        request.send_response((416 if start >= len(self.data) else 206) if found else 200)
        body = self.data[start:]
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        try:
            self._send(request, body)
        except OSError:
            request.close_connection = True

    def _send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        first = body[: self.pause_after] if self.pause_after is not None else body
        first = first[: self.cut_after] if self.cut_after is not None else first
        request.wfile.write(first)
        self.sent += len(first)
        if self.cut_after is not None:
            request.close_connection = True
            return
        rest = body[len(first) :]
        if rest:
            self.paused.set()
            self.go_on.wait(30)
            request.wfile.write(rest)
            self.sent += len(rest)


def offered(data: bytes, url: str, *parts: Part, **changed: Any) -> Offer:
    """An offer of these bytes."""
    facts = {"sha256": sha256(data), "bytes": len(data)} | changed
    return Offer(
        name="small", title="A small model", licence="Apache-2.0", url=url, parts=parts, **facts
    )


def a_wheel(folder: Path, package: str, files: dict[str, bytes], *, version: str = "1.0") -> Part:
    """Put a wheel into `folder`; the part that its first file is."""
    stem = package.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
    form = b"Wheel-Version: 1.0\nGenerator: hub\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{stem}-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(f"{stem}/{name}", content)
        wheel.writestr(f"{info}/METADATA", about)
        wheel.writestr(f"{info}/WHEEL", form)
        wheel.writestr(f"{info}/RECORD", b"")
    return Part(package=f"{package}=={version}", file=next(iter(files)))
