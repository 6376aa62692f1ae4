"""An upstream on a thread that sends its tokens at a given rate and notes when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.servers.openai import FakeOpenAI
from tests.servers.upstream import Answer, Spent

SPLIT = "\x1e"
"""Stands between two tokens of an answer's text."""
_WORDS = ("so", "the", "sum", "of", "all", "terms", "below", "it", "is")


class Paced(FakeOpenAI):
    """Waits `gap` seconds before each token but the first; times are seconds since the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.gap = 0.0
        self.last_token_at = 0.0
        self.hung_up_at = 0.0

    def frames(
        self, text: str, reasoning: str, tools: Any, finish: str, spent: Spent
    ) -> Iterator[dict[str, Any]]:
        """A chunk for every part of the text."""
        del reasoning, tools
        yield self.frame({"role": "assistant", "content": ""})
        for piece in text.split(SPLIT):
            yield self.frame({"content": piece})
        yield self.frame({}, finish)
        yield {**self.head(), "choices": [], "usage": self.usage(spent)}

    async def _hold(self, answer: Answer, number: int) -> None:
        behind_tokens = len(answer.pieces) - 3
        if 1 < number < behind_tokens:
            await asyncio.sleep(self.gap)
        elif number == behind_tokens:
            self.last_token_at = time.time()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await super()._serve(request)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up_at = time.time()
            raise


def essay(tokens: int, size: int) -> str:
    """An answer of `tokens` parts and `size` characters: prose, maths, lists; each part numbered.

    A part begins with a mark like `t00017`, by which a page can be asked how far it is.
    """
    parts = []
    for number in range(tokens):
        gap = "\n\n" if number % 12 == 0 else "\n- " if number % 12 > 8 else " "
        mark = f"{gap}t{number:05}"
        maths = f" $x_{{{number}}}^2$" if number % 3 == 0 else ""
        fill = " ".join(_WORDS)[: max(0, size // tokens - len(mark + maths) - 1)]
        parts.append(f"{mark}{maths} {fill}")
    return SPLIT.join(parts)
