"""The HTTP client: the only module that imports one.

httpx over aiohttp's connections: httpx's own pool is the slow part at many calls at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from smartrouter_serve.config import ResilienceSettings
from smartrouter_serve.errors import RUN_AGAIN, Overloaded, ProviderError, TruncatedStream

if TYPE_CHECKING:
    import httpx

_USER_AGENT = "smartrouter"
_FAREWELL = 0.05
"""Seconds that a body which has said its last word may take to end."""
_FETCH = "Check the address, then run it again."


@dataclass(slots=True, kw_only=True)
class Response:
    """A response whose body has not been read yet."""

    status: int
    headers: Mapping[str, str]
    body: Callable[[], AsyncIterator[bytes]]
    heard: bool = False
    """Set by the reader once something came that is no keep-alive: patience is another then."""

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.body()])


async def drain(body: AsyncIterator[bytes]) -> None:
    """Read a body to its end, so that its connection can be used again; soon give up."""
    with suppress(ProviderError, TimeoutError):
        async with asyncio.timeout(_FAREWELL):
            async for _ in body:
                pass


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a body, or its text under `message`."""
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"message": body[:300].decode("utf-8", "replace")}


class HttpClient:
    """A pooled client for one provider; made on first use, on the loop that uses it."""

    def __init__(
        self,
        title: str,
        base_url: str,
        headers: Mapping[str, str],
        patience: ResilienceSettings,
        first_token_timeout: float | None = None,
    ) -> None:
        self._title = title
        self.base_url = base_url.rstrip("/")
        self._headers = {"user-agent": _USER_AGENT, **headers}
        self._patience = patience
        self._first = first_token_timeout or patience.first_token_timeout
        self._client: httpx.AsyncClient | None = None
        self._urls: dict[str, httpx.URL] = {}
        self.clock_skew: float | None = None
        """Seconds that this machine's clock is ahead of the provider's, by its first reply."""

    def _url(self, path: str) -> httpx.URL:
        """The address of `path`; to parse one costs more than the rest of a request."""
        if path not in self._urls:
            import httpx

            self._urls[path] = httpx.URL(self.base_url + path)
        return self._urls[path]

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            import httpx
            from httpx_aiohttp import HttpxAiohttpClient

            patience = self._patience
            self._client = HttpxAiohttpClient(
                headers=self._headers,
                timeout=httpx.Timeout(
                    connect=patience.connect_timeout,
                    read=None,  # `_pieces` has the limits
                    write=patience.idle_timeout,
                    pool=None,
                ),
                limits=httpx.Limits(max_connections=1_000, max_keepalive_connections=200),
                follow_redirects=False,
            )
        return self._client

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> AsyncIterator[Response]:
        """Send a request; leaving the context closes the connection if the body is not read.

        Raises `Overloaded` where there is no connection or no answer in time.
        """
        import httpx

        client = self._open()
        try:
            request = client.build_request(method, self._url(path), json=body)
            async with asyncio.timeout(self._first):
                response = await client.send(request, stream=True)
        except httpx.ConnectTimeout as error:
            # The transport tells every failed connection so; the cause knows better.
            cause = error.__cause__ or error
            raise self._unreachable(_plain(cause)) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Overloaded(
                f"{self._title} did not answer within {self._first:g} s.",
                "It is busy or out of reach: run it again, "
                "or another model with -m; `smartrouter models` lists them.",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unreachable(_plain(error)) from error
        except Exception as error:
            if not type(error).__module__.startswith("aiohttp"):
                raise
            raise self._unreachable("no web server answers there") from error
        try:
            if self.clock_skew is None:
                self._note_clock(response.headers.get("date"))
            told = Response(
                status=response.status_code,
                headers=response.headers,
                body=lambda: self._pieces(response, told),
            )
            yield told
        finally:
            if not response.is_closed:  # it is once it was read to its end
                with anyio.CancelScope(shield=True):
                    await response.aclose()

    def _unreachable(self, why: str) -> Overloaded:
        return Overloaded(
            f"{self._title} cannot be reached at {self.base_url}: {why}.",
            "Check the address and the network; `smartrouter doctor` looks at both.",
        )

    def _note_clock(self, date: str | None) -> None:
        with suppress(TypeError, ValueError):
            self.clock_skew = time.time() - parsedate_to_datetime(date or "").timestamp()

    async def _pieces(self, response: httpx.Response, told: Response) -> AsyncIterator[bytes]:
        """The body; until something was heard there is one time limit for all, then one a piece."""
        import httpx

        pieces = response.aiter_bytes()
        begin = time.monotonic() + self._first
        try:
            while True:
                idle = self._patience.idle_timeout
                left = idle if told.heard else begin - time.monotonic()
                async with asyncio.timeout(left):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
        except (TimeoutError, httpx.TimeoutException) as error:
            raise self._silent(heard=told.heard) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TruncatedStream(
                f"{self._title} cut the connection in mid-answer.", RUN_AGAIN
            ) from error

    def _silent(self, *, heard: bool) -> ProviderError:
        if heard:
            return TruncatedStream(f"{self._title} fell silent in mid-answer.", RUN_AGAIN)
        return Overloaded(
            f"{self._title} did not begin to answer within {self._first:g} s.",
            RUN_AGAIN,
        )

    async def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a request and read status, headers and the JSON object of the reply."""
        async with self.stream(method, path, body) as response:
            return response.status, response.headers, parse(await response.read())

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _plain(error: BaseException) -> str:
    """The first line of an error, or its kind."""
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


async def download(
    url: str, target: Path, progress: Callable[[int, int | None], None], *, patience: float = 4.0
) -> None:
    """Download to `target`, going on from what is already there.

    Waits `patience` seconds for a connection. Raises `Overloaded` or `TruncatedStream`; what has
    arrived stays, so the next call goes on from it.
    """
    import httpx

    have = target.stat().st_size if target.exists() else 0
    headers = {"range": f"bytes={have}-"} if have else {}
    timeout = httpx.Timeout(60, connect=patience)
    try:
        async with (
            httpx.AsyncClient(timeout=timeout, follow_redirects=True) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == 416:
                return
            if response.status_code not in (200, 206):
                raise Overloaded(f"{url} answers with status {response.status_code}.", _FETCH)
            have = have if response.status_code == 206 else 0
            length = response.headers.get("content-length")
            total = have + int(length) if length else None
            with target.open("ab" if have else "wb") as file:
                async for piece in response.aiter_bytes():
                    file.write(piece)
                    have += len(piece)
                    progress(have, total)
    except (httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
        raise Overloaded(f"{url} cannot be read: {_plain(error)}.", _FETCH) from error
    if total is not None and have < total:
        raise TruncatedStream(f"{url} ended after {have:,} of {total:,} bytes.", _FETCH)
